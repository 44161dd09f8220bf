/* bench/run page: what a page costs that is not there yet. */
#include "bench/cases.h"
#include "bench/page.h"

#include "base/cleanup.h"

static int sibling(struct ramet_err *err)
{
	struct node node;
	int rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = page_sibling(&node, err);
	node_close(&node);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{.name = "fault", .fn = page_fault, .pinned = true},
		{.name = "sibling", .fn = sibling}, {.name = "revoke", .fn = page_revoke},
		{.name = "checksum", .fn = page_checksum}};
	return cases_main("page", cases, ARRAY_LEN(cases), argc, argv);
}
