/* A bare engine in a process of its own, which times itself. It is told "SYMBOL INPUT CALLS" in a
 * line: a new isolate with the file loaded, and so many calls; 0 is one call, whose answer
 * "MICROSECONDS OUTPUT" counts the isolate, too. Otherwise the first half of the calls warms up. */
#ifndef BENCH_BARE_PROCESS_H
#define BENCH_BARE_PROCESS_H

#include "base/err.h"

#include <stdio.h>
#include <sys/types.h>

struct bare_process {
	FILE *to, *from;
	pid_t pid;
};

/* bare_process_start - program FILE; bare_process_stop() in any case */
int bare_process_start(
	struct bare_process *bare, const char *program, const char *file, struct ramet_err *err);
void bare_process_stop(struct bare_process *bare);
int bare_process_ask(struct bare_process *bare, const char *symbol, double input, unsigned calls,
	double *ret_output, double *ret_us, struct ramet_err *err);

#endif
