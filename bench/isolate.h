/* The cases of bench/run isolate, by file. */
#ifndef BENCH_ISOLATE_H
#define BENCH_ISOLATE_H

#include "base/err.h"

#include <stddef.h>

/* isolate_start.c: isolates with a function loaded and a first call made, of an engine and of the
 * language as it is */
int isolate_lua(struct ramet_err *err);
int isolate_wasm(struct ramet_err *err);
int isolate_v8(struct ramet_err *err);
int isolate_clone(struct ramet_err *err); /* Python calls in new clones */
/* isolate_cluster.c: what apps/isolate.py measures in clusters of ours */
int isolate_module(struct ramet_err *err); /* a Python app that is what it was again */
int isolate_hot(struct ramet_err *err); /* first calls of trained forks on another node */
int isolate_density(struct ramet_err *err); /* memory of functions, and of processes */
int isolate_tax(struct ramet_err *err); /* clones of one language, and of two */

/* The bare languages: as many isolates as in the engine's case, with the same function loaded and
 * called once, all of them alive at the end; what one took, in nanoseconds. In a process of their
 * own. RAMET_EIO: a wrong answer */
#define ISOLATE_INPUT "21"
#define ISOLATE_OUTPUT "42"
int bare_lua(const char *dir, unsigned count, double *ret_ns);
int bare_wasm(const char *dir, unsigned count, double *ret_ns);
#ifdef __cplusplus
extern "C"
#endif
	int
	bare_v8(const char *dir, unsigned count, double *ret_ns);

#endif
