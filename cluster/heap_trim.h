/* Giving back what malloc keeps. What is freed in many pieces among pieces of what stays is kept by
 * malloc, resident: after sixty redeployments in a row 100 MiB, of which 2 were in use. So the
 * daemon's heap (the one that brk() moves; rametd has no other) is looked at every few seconds, and
 * when it has grown, a worker has malloc give back what it has no use for. Control loop only. */
#ifndef CLUSTER_HEAP_TRIM_H
#define CLUSTER_HEAP_TRIM_H

#include "base/err.h"
#include "base/loop.h"

#include <stdint.h>

struct heap_trim;
struct workers;

/* heap_trim_create - look_ns: the time between two looks. The workers are destroyed before it. */
int heap_trim_create(struct loop *loop, struct workers *workers, uint64_t look_ns,
	struct heap_trim **ret_trim, struct ramet_err *err);
void heap_trim_destroy(struct heap_trim *trim); /* NULL is fine */

#endif
