/* Leases: an instance given to one client for a time, whose calls then go through shared memory
 *(runtime/slots/). rametd makes the memory, watches over it (deadlines, cancelled calls, a dead
 *instance) and takes the instance back. Part of calls (calls_leases*.c). Control loop only.
 *
 *	ACTIVE ── returned, idle, new version, others wait ──> CLOSING ── nothing waits or runs ──>
 *RETURNING ── unleased ──> gone └─────────────────────────── the instance dies
 *──────────────────────────────────────────────────────────────────^ */
#ifndef CLUSTER_LEASES_H
#define CLUSTER_LEASES_H

#include "base/err.h"
#include "cluster/registry.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LEASES_MAX_OF_CLIENT 64
#define LEASE_IDLE_MS 2000 /* without a call: others may have the instance */
#define LEASE_CANCEL_MS 100 /* what was cancelled and still runs is killed then */

struct calls;
struct lease;

/* What the client is to be told. rametd itself never writes an eventfd that a tenant has, who could
 * make it block. */
struct lease_owner {
	/* there may be an answer, or the lease closes: it is to look, although nobody has woken it
	 */
	void (*on_look)(void *user, struct lease *lease);
	/* whether its calls or answers have been under way elsewhere since it was last asked: such
	 * a lease is not idle. NULL: they never are. */
	bool (*busy)(void *user, struct lease *lease);
	/* last, once, never from within a call of these functions: everything in the slots has an
	 * answer */
	void (*on_ended)(void *user, struct lease *lease);
};

struct lease_request {
	uint32_t tenant;
	const char *function;
	bool pinned; /* its calls are to run here, however full this node is */
	int client_fd; /* wakes the client; duplicated, and never used but by the instance */
	const struct lease_owner *owner;
	void *user;
};
/* lease_grant - an idle instance of the function's version. RAMET_EAGAIN: there is none, or no
 * room, now (calls make them); RAMET_ENOTFOUND; RAMET_ENOTSUP: the function's calls do not go this
 * way (`fresh`). */
int lease_grant(struct calls *calls, const struct lease_request *request, struct lease **ret_lease,
	struct ramet_err *err);
/* lease_close - to be returned, as soon as nothing waits or runs; on_ended follows */
void lease_close(struct lease *lease);
/* lease_forget - its client has gone: what waits or runs is of no more use; on_ended does not come
 */
void lease_forget(struct lease *lease);
/* lease_break - its instance wrote what cannot be: kill it; on_ended follows */
void lease_break(struct lease *lease);
/* lease_cancel - end a call that runs. RAMET_ENOTFOUND: it does not. */
int lease_cancel(struct lease *lease, unsigned slot, uint32_t generation);

/* What a client must know of its lease; good until the loop's next turn. */
struct lease_info {
	uint64_t id;
	const struct app_version *app;
	const char *function;
	uint64_t instance;
	pid_t pid;
	bool once; /* each call has an instance of its own: then there is no `instance` */
	int slots_fd, wake_fd;
	uint64_t deadline_ms, max_output;
};
void lease_get_info(const struct lease *lease, struct lease_info *ret_info);

#endif
