/* What a benchmark knows of the guests (tests/vm/run) that it runs in, and programs in any of them.
 */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

#include "base/cleanup.h"
#include "base/err.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define GUEST_ADDRESS_MAX 40

unsigned guest_count(void); /* 0: this is no guest */
unsigned guest_self(void); /* which one this is, from 1 */
/* the address on its RDMA device's network */
int guest_address(unsigned guest, char address[GUEST_ADDRESS_MAX], struct ramet_err *err);

/* A program, by its name in PATH or its path; what it says on stdout and stderr comes through
 * `out`. */
struct guest_program {
	pid_t pid;
	FILE *out;
};
int guest_start(struct guest_program *program, unsigned guest, const char *const *argv,
	struct ramet_err *err);
/* guest_end - by SIGTERM, if it has not ended; waits. Fine for one that was not started. */
void guest_end(struct guest_program *program);
/* guest_output - reads all that it says, waits for its end, and gives the text (malloc'ed) */
int guest_output(struct guest_program *program, char **ret_text, struct ramet_err *err);

#endif
