/* bench/run page: what a page costs that is not there yet. */
#include "bench/cases.h"
#include "bench/page.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const functions[] = {"fill", "libbench_touch.so:fill", "touch",
	"libbench_touch.so:touch", "scatter", "libbench_touch.so:scatter", NULL};

int page_host(
	struct node *node, struct proc **ret_host, struct image **ret_image, struct ramet_err *err)
{
	struct capture_stats stats;
	uint64_t stall;
	char size[16];
	snprintf(size, sizeof(size), "%d", PAGE_MB);
	int rc = proc_host(node, "native", BENCH_LIBS, ret_host, err);
	if (rc == 0)
		rc = proc_load(*ret_host, BENCH_LIBS, functions, err);
	if (rc == 0)
		rc = proc_call(*ret_host, "fill", size, NULL, err);
	if (rc == 0)
		rc = proc_call(*ret_host, "touch", "100", NULL, err);
	if (rc == 0)
		rc = proc_call(*ret_host, "scatter", "100", NULL, err);
	if (rc == 0)
		rc = proc_capture(*ret_host, ret_image, &stats, &stall, err);
	return rc;
}

int page_touch(struct proc *clone, bool scattered, double *ret_ns, struct ramet_err *err)
{
	auto_free char *json = NULL;
	int rc = proc_call(clone, scattered ? "scatter" : "touch", "100", &json, err);
	if (rc == 0)
		*ret_ns = strtod(json, NULL);
	return rc;
}

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
	static const struct bench_case cases[] = {{"fault", page_fault, true},
		{"sibling", sibling, false}, {"revoke", page_revoke, false},
		{"checksum", page_checksum, false}};
	return cases_main("page", cases, ARRAY_LEN(cases), argc, argv);
}
