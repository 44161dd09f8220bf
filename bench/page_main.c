/* bench/run page: what a page costs that is not there yet. */
#include "bench/page.h"
#include "bench/report.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: bench_page [--json] [--only fault|sibling]\n";
static const char *const functions[] = {
	"fill", "libbench_touch.so:fill", "touch", "libbench_touch.so:touch",
	"scatter", "libbench_touch.so:scatter", NULL};

int page_host(struct node *node, struct proc **ret_host, struct image **ret_image,
	struct ramet_err *err)
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

static int run(const char *only, struct ramet_err *err)
{
	struct node node;
	int rc = 0;
	if (!only || strcmp(only, "fault") == 0)
		rc = page_fault(err);
	if (rc < 0 || (only && strcmp(only, "sibling") != 0))
		return rc;
	rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = page_sibling(&node, err);
	node_close(&node);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"only", required_argument, NULL, 'o'}, {0}};
	const char *only = NULL;
	struct ramet_err err = {0};
	bool json = false;
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j') {
			json = true;
		} else if (option == 'o') {
			only = optarg;
		} else {
			fputs(usage, stderr);
			return 2;
		}
	}
	fault_init();
	log_init("bench", LOG_WARN, STDERR_FILENO);
	report_begin("page", json);
	if (run(only, &err) < 0) {
		fprintf(stderr, "bench_page: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
