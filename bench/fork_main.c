/* bench/run fork: what forks cost here. */
#include "bench/fork.h"
#include "bench/report.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: bench_fork [--json] [--only local|rate|capture|remote|sizes]\n";

const char *fork_apps(void)
{
	return BENCH_APPS;
}

const char *fork_libs(void)
{
	return BENCH_LIBS;
}

static int run(const char *only, struct ramet_err *err)
{
	static const struct {
		const char *name;
		int (*fn)(struct node *node, struct ramet_err *err);
	} cases[] = {{"local", fork_local}, {"capture", fork_capture}, {"remote", fork_remote},
		{"sizes", fork_sizes}};
	struct node node;
	int rc = 0;
	if (!only || strcmp(only, "rate") == 0)
		rc = fork_rate(err);
	if (rc < 0 || (only && strcmp(only, "rate") == 0))
		return rc;
	rc = node_open(&node, 0, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(cases); i++)
		if (!only || strcmp(only, cases[i].name) == 0)
			rc = cases[i].fn(&node, err);
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
	report_begin("fork", json);
	if (run(only, &err) < 0) {
		fprintf(stderr, "bench_fork: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
