/* The native host whose pages bench/run page reads. */
#include "bench/page.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const functions[] = {"fill", "libbench_touch.so:fill", "touch",
	"libbench_touch.so:touch", "scatter", "libbench_touch.so:scatter", "each",
	"libbench_touch.so:each", NULL};

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
		rc = proc_call(*ret_host, "each", "100", NULL, err);
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

int page_each(struct proc *clone, struct page_times *ret, struct ramet_err *err)
{
	auto_free char *json = NULL;
	int rc = proc_call(clone, "each", "100", &json, err);
	if (rc == 0 && sscanf(json, "[%lf,%lf,%lf]", &ret->median, &ret->p99, &ret->mean) != 3)
		rc = err_set(err, RAMET_EPROTO, "the clone answered %s", json);
	return rc;
}
