/* The main program of a benchmark: its cases by name, chosen by --only, and how it prints. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct bench_case {
	const char *name;
	int (*fn)(struct ramet_err *err);
	bool pinned; /* to CPU 0, with all that it starts */
	bool by_name; /* takes long: only if it was asked for */
};

/* cases_main - parses [--json] [--only CASE,…] and runs what was asked for, in the table's order;
 * the exit status: 0, 1 a case failed (told on stderr), 2 usage */
int cases_main(
	const char *bench, const struct bench_case *cases, size_t count, int argc, char **argv);

#endif
