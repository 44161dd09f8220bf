/* bench/run page --vm: what pages cost by RDMA. In a guest: tests/vm/run. */
#include "bench/cases.h"
#include "bench/page.h"

#include "base/cleanup.h"

#include <string.h>

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {{.name = "verbs_fault", .fn = page_verbs_fault},
		{.name = "verbs_working_set", .fn = page_verbs_working_set}};
	if (argc == 2 && strcmp(argv[1], "--peer") == 0)
		return page_verbs_peer();
	return cases_main("page", cases, ARRAY_LEN(cases), argc, argv);
}
