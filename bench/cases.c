/* Choosing and running the cases of a benchmark: see cases.h. */
#include "bench/cases.h"

#include "base/fault.h"
#include "base/log.h"
#include "bench/report.h"

#include <getopt.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int usage(const char *bench, const struct bench_case *cases, size_t count)
{
	fprintf(stderr, "usage: bench/run %s [--json] [--only CASE,…]   (cases:", bench);
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, " %s", cases[i].name);
	fprintf(stderr, ")\n");
	return 2;
}

/* bit i: case i; 0: one of the names, separated by commas, is unknown */
static unsigned choose(const struct bench_case *cases, size_t count, char *names)
{
	unsigned chosen = 0;
	char *rest = names;
	for (char *name; (name = strsep(&rest, ","));) {
		size_t i = 0;
		while (i < count && strcmp(cases[i].name, name) != 0)
			i++;
		if (i == count)
			return 0;
		chosen |= 1u << i;
	}
	return chosen;
}

static int run_case(const struct bench_case *one, struct ramet_err *err)
{
	cpu_set_t before, first;
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (!one->pinned)
		return one->fn(err);
	if (sched_getaffinity(0, sizeof(before), &before) < 0 ||
		sched_setaffinity(0, sizeof(first), &first) < 0)
		return err_errno(err, RAMET_EIO, "pin to CPU 0");
	int rc = one->fn(err);
	(void)sched_setaffinity(0, sizeof(before), &before);
	return rc;
}

int cases_main(
	const char *bench, const struct bench_case *cases, size_t count, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"only", required_argument, NULL, 'o'}, {0}};
	struct ramet_err err = {0};
	unsigned chosen = 0;
	bool json = false;
	int option;
	for (size_t i = 0; i < count; i++)
		chosen |= cases[i].by_name ? 0 : 1u << i;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		json |= option == 'j';
		if (option == 'o')
			chosen = choose(cases, count, optarg);
		if (option == '?' || !chosen)
			return usage(bench, cases, count);
	}
	if (optind < argc)
		return usage(bench, cases, count);
	fault_init();
	log_init("bench", LOG_WARN, STDERR_FILENO);
	report_begin(bench, json);
	for (size_t i = 0; i < count; i++) {
		if ((chosen & 1u << i) && run_case(&cases[i], &err) < 0) {
			fprintf(stderr, "bench %s, %s: %s\n", bench, cases[i].name, err.msg);
			return 1;
		}
	}
	return 0;
}
