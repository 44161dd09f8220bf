/* bench/run invoke --vm: what calls cost by RDMA. In a guest: tests/vm/run. */
#include "bench/cases.h"
#include "bench/invoke.h"

#include "base/cleanup.h"

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {{.name = "verbs_64", .fn = invoke_verbs}};
	return cases_main("invoke", cases, ARRAY_LEN(cases), argc, argv);
}
