/* Bursts: one function, n calls at the same time, each in an instance of its own, ranks 0 to n-1.
 * One decision (scheduler/place.h), one message per node; each node starts its share; results
 * stream back. Control loop only. */
#ifndef CLUSTER_BURSTS_H
#define CLUSTER_BURSTS_H

#include "base/cleanup.h"
#include "base/err.h"
#include "cluster/calls_result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bursts;
struct node;

struct burst_request {
	uint32_t tenant;
	const char *function;
	const void *data; /* copied; every rank gets the same */
	size_t len;
	bool binary;
	uint64_t deadline_ns; /* from now; 0: the function's */
	uint32_t count;
	uint32_t node; /* all of it there; 0: spread */
};
struct burst_summary {
	uint32_t count, ok, failed;
	uint32_t warm, local_fork, remote_fork, cold;
	uint32_t nodes; /* that took part */
	uint64_t total_ns;
};
struct burst_handler {
	void (*on_result)(void *user,
		const struct call_result *result); /* once for each rank, in any order */
	void (*on_summary)(void *user, const struct burst_summary *summary); /* last, once */
};

int bursts_create(struct node *node, struct bursts **ret_bursts, struct ramet_err *err);
void bursts_destroy(struct bursts *bursts); /* before calls; NULL is fine */
DEFINE_CLEANUP(struct bursts, bursts_destroy)

/* the handler is never called from within; errors as calls_submit() */
int bursts_submit(struct bursts *bursts, const struct burst_request *request,
	const struct burst_handler *handler, void *user, char ret_id[CALL_ID_MAX],
	struct ramet_err *err);
/* every rank that is not over ends with RAMET_ECANCELED; results and summary still come */
int bursts_cancel(struct bursts *bursts, uint32_t tenant, const char *id);
void bursts_forget(struct bursts *bursts,
	const char *id); /* as cancel, but the handler is not called any more */
void bursts_node_down(struct bursts *bursts, uint32_t node);

/* Between daemons:
 *   burst.run     {id, uid, function, version, meta?, data, binary, deadline: as in call.run,
 * first: uint, count: uint, size: uint}                → {} begun: ranks [first, first + count) run
 * here; then as many notices burst.result  {id, result: as in call.run} notice, once for each
 *   burst.cancel  {id} notice */
struct bus_request;
struct wire_value;
void bursts_on_run(
	struct bursts *bursts, struct bus_request *request, const struct wire_value *body);
void bursts_on_result(
	struct bursts *bursts, struct bus_request *request, const struct wire_value *body);
void bursts_on_cancel(
	struct bursts *bursts, struct bus_request *request, const struct wire_value *body);

#endif
