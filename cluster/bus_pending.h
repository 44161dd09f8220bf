/* Requests of ours that wait for a peer's answer: a table by id, with their time limits. */
#ifndef CLUSTER_BUS_PENDING_H
#define CLUSTER_BUS_PENDING_H

#include "base/err.h"
#include "base/loop.h"
#include "cluster/bus.h"

#include <stdint.h>

struct pending;

/* zeroed but for loop: empty */
struct bus_pending {
	struct loop *loop;
	struct pending **slots;
	uint32_t nslots, free_hint, count;
	uint64_t sequence;
};
void bus_pending_fini(struct bus_pending *table); /* what is left is dropped */

/* timeout_ns 0: none. RAMET_EAGAIN: BUS_MAX_INFLIGHT are there. */
int bus_pending_add(struct bus_pending *table, uint32_t node, const char *type, uint64_t timeout_ns,
	bus_answer_fn *fn, void *user, uint64_t *ret_id, struct ramet_err *err);
void bus_pending_drop(
	struct bus_pending *table, uint64_t id); /* without telling anybody; unknown ids are fine */
/* ends a request with what its node answered; an answer that comes too late, or from another node,
 * does nothing */
void bus_pending_answer(struct bus_pending *table, uint64_t id, uint32_t node,
	const struct wire_value *body, const struct ramet_err *error);
void bus_pending_want_parts(struct bus_pending *table, uint64_t id, bus_part_fn *fn);
/* a part of the answer; without somebody who wants it nothing happens */
void bus_pending_part(
	struct bus_pending *table, uint64_t id, uint32_t node, const struct wire_value *body);
/* ends all that were sent to a node before now; node 0: to any */
void bus_pending_fail(struct bus_pending *table, uint32_t node, const struct ramet_err *error);

#endif
