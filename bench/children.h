/* Children that are made, run and reaped: one, or as many per second as there can be. */
#ifndef BENCH_CHILDREN_H
#define BENCH_CHILDREN_H

#include "bench/node.h"

#define CHILDREN_BURST \
	48 /* at once: what the pool of sandboxes gives before it is refilled in haste */

/* children_rate - count of them, a multiple of a burst, one burst after the other, per second */
int children_rate(
	struct node *node, uint64_t tmpl, unsigned count, double *ret_rate, struct ramet_err *err);

/* children_run - one clone from the request to its end, which must be a good one */
int children_run(struct node *node, uint64_t tmpl, const struct clone_options *options,
	struct proc **ret_proc, struct ramet_err *err);

#endif
