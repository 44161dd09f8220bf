/* Calls: from a request of a client or a peer to exactly one result. Decides where
 * (scheduler/place.h), waits for an instance, watches the deadline, retries what may be retried,
 * keeps the results of detached calls. Control loop only; nothing blocks; `done` is never called
 * from within the call that names it. */
#ifndef CLUSTER_CALLS_H
#define CLUSTER_CALLS_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/wire.h"
#include "cluster/call_event.h"
#include "cluster/calls_result.h"
#include "cluster/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct calls;
struct node;

/* result is valid during the call */
typedef void call_done_fn(void *user, const struct call_result *result);
/* event is valid during the call, which may end the call that emits. Of what comes, calls_taken()
 * is due for its weight (call_event_weight()), at once or later: the call waits when too much is
 * not taken. */
typedef void call_event_fn(void *user, const struct call_event *event);

struct call_request {
	uint32_t tenant; /* uid */
	const char *function;
	const void *data; /* copied */
	size_t len;
	bool binary;
	uint32_t node; /* must run there; 0: wherever is best */
	uint64_t deadline_ns; /* from now; 0: the function's, if it has one */
	uint32_t rank, size; /* size 0 counts as 1 */
	bool own_instance; /* of a burst: never share an instance with another call that is waiting
			    */
	bool detach; /* nobody waits: keep the result for calls_wait(); done may be NULL */
	const char *id; /* made by another node, or by a burst; NULL: made here */
	struct app_version
		*app; /* this very version, of which function is one; NULL: what the registry has */
	uint32_t origin; /* node that forwarded it, and then it runs here or fails; 0: it came from
			    a client here */
	call_event_fn *on_event; /* with the user of done; NULL: nobody listens */
};

/* limits are those of node->config: max_instances, max_queue, idle_ms, deadline_ms */
int calls_create(struct node *node, struct calls **ret_calls, struct ramet_err *err);
/* ends everything without calling done; before instances and seeds are destroyed; NULL is fine */
void calls_destroy(struct calls *calls);
DEFINE_CLEANUP(struct calls, calls_destroy)

/* calls_submit - 0 and done comes exactly once, later. Errors, and then done never comes:
 * RAMET_ENOTFOUND (function or node), RAMET_EAGAIN (queue full), RAMET_ELIMIT (payload),
 * RAMET_ENOMEM. ret_id may be NULL. */
int calls_submit(struct calls *calls, const struct call_request *request, call_done_fn *done,
	void *user, char ret_id[CALL_ID_MAX], struct ramet_err *err);
/* calls_cancel - what is queued is dropped, what runs is killed; done comes with RAMET_ECANCELED.
 * RAMET_ENOTFOUND: over, unknown, or of another tenant. Tenant 0 may cancel any. */
int calls_cancel(struct calls *calls, uint32_t tenant, const char *id);
/* calls_taken - of the events of a call of its own, so much has gone to who listens. Of a call that
 * is over it means nothing. */
void calls_taken(struct calls *calls, const char *id, uint64_t weight);
/* calls_forget - as cancel, but done is not called any more: its owner has gone */
void calls_forget(struct calls *calls, const char *id);

/* calls_wait - the result of a detached call, from any node; given out once. done comes with the
 * result, or with an error ENOTFOUND or ETIMEOUT in a result that has only id and error. timeout_ns
 * 0: none. *ret_wait is good for calls_wait_cancel() until done; done never comes after that. */
struct call_wait;
int calls_wait(struct calls *calls, uint32_t tenant, const char *id, uint64_t timeout_ns,
	call_done_fn *done, void *user, struct call_wait **ret_wait, struct ramet_err *err);
void calls_wait_cancel(struct call_wait *wait);

/* calls_drop_version - a version is gone: end its idle instances; `running`: its calls end with
 * EREVOKED, and their instances end too. Returns how many instances it ended. Seeds are dropped by
 * seeds_drop(). */
unsigned calls_drop_version(
	struct calls *calls, uint32_t tenant, const char *version, bool running);
/* calls_node_down - a member is gone: calls forwarded to it are retried (idempotent) or LOST, those
 * from it cancelled */
void calls_node_down(struct calls *calls, uint32_t node);

/* Between daemons (requests of the bus; results as in cluster/client_proto.h, without t and req):
 *   call.run     {id, uid: uint (of the caller), function, version, meta?: map, data: bin, binary:
 * bool, deadline: uint (ns that are left; 0 none), rank, size, own: bool}     → the result; it runs
 * there or fails Error ENOTFOUND when the version is not known there yet: asked again with meta
 * (app_version_pack). With events?: bool, its events come as parts of the answer (call_event.h).
 *   call.cancel  {id, uid}                                          notice
 *   call.taken   {id, uid, weight: uint}    of its events                  notice
 *   call.wait    {id, uid, timeout: uint ns}                        → the result of a detached call
 */
struct bus_request;
void calls_on_run(struct calls *calls, struct bus_request *request, const struct wire_value *body);
void calls_on_taken(
	struct calls *calls, struct bus_request *request, const struct wire_value *body);
void calls_on_cancel(
	struct calls *calls, struct bus_request *request, const struct wire_value *body);
void calls_on_wait(struct calls *calls, struct bus_request *request, const struct wire_value *body);

/* for bursts: the part of call.run that burst.run shares. *ret_order's request points into it and
 * into body; its app is a reference. */
struct call_order {
	struct call_request request;
	char id[CALL_ID_MAX];
	char function[CALL_NAME_MAX];
	struct app_version *app;
};
int calls_parse_order(struct calls *calls, const struct wire_value *body,
	struct call_order *ret_order, struct ramet_err *err);
/* cancel all members "group.N" that `origin` sent */
void calls_cancel_group(struct calls *calls, const char *group, uint32_t origin);

/* calls_adopt - a cold host that has been captured becomes an idle instance of its app; takes
 * ownership of it */
struct instance;
int calls_adopt(struct calls *calls, struct instance *inst, struct ramet_err *err);
unsigned calls_idle(const struct calls *calls,
	const char *version); /* instances of a version that wait for a call */
unsigned calls_waiting(const struct calls *calls,
	const char *version); /* calls of a version, here, without an instance */
/* what this node tells others has changed (load, holdings): told at the end of the loop's turn */
void calls_touch(struct calls *calls);
/* calls_tell_load - sets the calls in what members tell of this node: what goes out before the end
 * of the turn, such as an answer, has them as they are */
void calls_tell_load(const struct calls *calls);
/* what the scheduler sees of the cluster for a version: free() *ret_nodes; the first is this node
 */
struct place_node;
int calls_view(struct calls *calls, const struct app_version *app, const char *function,
	struct place_node **ret_nodes, unsigned *ret_count, struct ramet_err *err);

struct calls_stats {
	uint32_t running, queued, forwarded, kept;
	uint64_t total, failed;
};
/* calls_get_pinched - tenants that have something here, those of them that have as many instances
 * as they may have, and their calls that wait */
struct calls_pinched {
	unsigned tenants, full, waiting;
};
void calls_get_pinched(const struct calls *calls, struct calls_pinched *ret);
void calls_get_stats(const struct calls *calls, struct calls_stats *ret_stats);

/* counters of one function on this node, all its versions, since the node started */
struct calls_function_stats {
	uint64_t calls, failed, warm, local_fork, remote_fork, cold;
};
void calls_get_function_stats(const struct calls *calls, uint32_t tenant, const char *function,
	struct calls_function_stats *ret_stats);
/* an id for a call or a burst of this node */
void calls_make_id(struct calls *calls, char ret_id[CALL_ID_MAX]);

/* calls_unfit.c: nodes that lack what an app's instances must see there (`data`) */
/* whether a start that failed says so */
bool call_error_unfit(const struct call_error *error, const struct app_version *app);
bool call_result_unfit(const struct call_result *result, const struct app_version *app);
/* calls_note_unfit - its calls go elsewhere for a while; false: no other node is left */
bool calls_note_unfit(struct calls *calls, const struct app_version *app, uint32_t node);
bool calls_unfit(const struct calls *calls, const struct app_version *app, uint32_t node);

/* leases_close_secret - a secret has changed: calls of functions that name it come through us again
 */
void leases_close_secret(struct calls *calls, uint32_t tenant, const char *app, const char *secret);

#endif
