/* The cases of bench/run fork, by file. Each runs on its own and prints its rows. */
#ifndef BENCH_FORK_H
#define BENCH_FORK_H

#include "bench/node.h"

/* an initialised CPython with numpy, its seed and a template of it */
struct python_seed {
	struct proc *host;
	struct image *image;
	uint64_t tmpl;
	uint64_t stall_ns;
};
int python_seed_make(struct node *node, struct python_seed *ret, struct ramet_err *err);
/* python_seed_make_with - the same, with the function "polyglot" of another language, called once;
 * handler: "FILE.LANG:SYMBOL" among the same files */
int python_seed_make_with(struct node *node, const struct proc_language *language,
	const char *handler, struct python_seed *ret, struct ramet_err *err);
void python_seed_end(struct python_seed *seed);
/* one number list from the host: [[a, b], …] of one row; nanoseconds */
int python_seed_baseline(struct python_seed *seed, const char *function, double *ret_first,
	double *ret_total, struct ramet_err *err);

struct working_set;
/* what a call of this function touches and writes, recorded as in service */
int python_seed_record(struct node *node, struct python_seed *seed, const char *function,
	struct working_set **ret_set, struct ramet_err *err);

int fork_local(struct node *node, struct ramet_err *err); /* first instruction, real call, memory */
int fork_rate(struct ramet_err *err); /* children per second on one core; makes its own node */
int fork_capture(struct node *node, struct ramet_err *err); /* stall and slow-down of the host */
int fork_remote(struct node *node, struct ramet_err *err); /* from another node over TCP */
int fork_sizes(struct node *node, struct ramet_err *err); /* native images of growing size */

/* directories of the Python app and of the native one */
const char *fork_apps(void);
const char *fork_libs(void);

#endif
