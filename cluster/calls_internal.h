/* Records of calls, of the pools that serve them and of the instances in those pools; for the
 * calls*.c files only.
 *
 * A call on this node waits in the pool of its function and version. A pool starts one instance for
 * each call that waits, as far as the node's limit allows; an instance that becomes free first
 * takes the oldest call that waits, and the start which that call had goes on for the next. */
#ifndef CLUSTER_CALLS_INTERNAL_H
#define CLUSTER_CALLS_INTERNAL_H

#include "base/list.h"
#include "base/loop.h"
#include "cluster/calls.h"
#include "cluster/instances.h"
#include "cluster/leases.h"
#include "cluster/registry.h"
#include "runtime/slots/slots.h"

#define CALLS_BUCKETS 4096
#define CALLS_MAX_IDLE 64 /* instances kept without a call */
#define CALLS_MAX_KEPT 1024 /* results of detached calls */
#define CALLS_MAX_QUEUED_BYTES (512ull << 20)
#define CALLS_MAX_ATTEMPTS 3
#define CALLS_GRACE_MS \
	100 /* an instance has at least this long after the deadline to end the call itself */
#define CALLS_PEER_GRACE_MS 3000 /* and a peer so much longer to tell */

struct call;
struct pool;
struct seed_want;

/* An instance in a pool, from the wish for one until it is gone. */
enum servant_state {
	SERVANT_OBTAINING,
	SERVANT_STARTING,
	SERVANT_IDLE,
	SERVANT_RUNNING,
	SERVANT_LEASED,
	SERVANT_ENDING
};
struct servant {
	struct list link; /* calls->servants */
	struct list idle_link; /* calls->idle, the longest idle first */
	struct calls *calls;
	struct tenant_use *use;
	struct pool
		*pool; /* NULL: a captured host that has not served yet: any function of its app */
	struct app_version *app;
	enum servant_state state;
	enum start_kind kind;
	struct call *call; /* that it starts for, or runs */
	struct lease *lease; /* LEASED, starting for it, or dying of it */
	unsigned slot; /* of the lease, where each has an instance */
	struct seed_want *want;
	struct instance *inst;
	uint64_t begun_ns; /* it was wished for */
	uint64_t idle_ns; /* since when it is idle */
	uint64_t looked_ns; /* at its instance, since it was leased */
	bool used; /* it has run a call, or had a lease */
	bool retired; /* its version is gone: no call after this one */
};

/* A node that calls were forwarded to. What it says of its load does not have those yet that are on
 * their way. */
struct call_peer {
	struct list link;
	uint32_t node;
	unsigned calls; /* that it has now */
};

struct pool {
	struct list link;
	struct calls *calls;
	struct app_version *app;
	char function[CALL_NAME_MAX]; /* or APP_SHARED */
	struct list waiting; /* calls, in order of arrival */
	unsigned servants;
	struct instance_stock stock; /* of clones that wait in a lease's line */
};

#define LEASE_LOG_TAIL 1500 /* of an instance's output, in what its death leaves in the slots */
#define LEASE_RETURN_MS \
	2000 /* an instance without a call has so long to return, or to begin one that waits, and \
		slots without a client so long to become empty */
#define LEASE_SERVED_MAX 10000000 /* between two looks; an instance that says more lies */

enum lease_state { LEASE_ACTIVE, LEASE_CLOSING, LEASE_RETURNING, LEASE_ENDED };
struct lease {
	struct list link; /* calls->leases */
	struct calls *calls;
	uint64_t id;
	enum lease_state state;
	struct app_version *app;
	char function[CALL_NAME_MAX];
	enum start_kind kind; /* of its calls */
	bool once; /* each slot has a servant, for one call; else the first one has all */
	struct servant *servants[SLOTS_COUNT];
	unsigned nservants;
	unsigned line; /* once: how many are to be ready */
	unsigned failures; /* once: starts that failed, one after the other */
	struct slots slots;
	int wake_fd, client_fd; /* eventfds */
	struct loop_watch wake_watch; /* once: of the client's calls to which nobody comes */
	const struct lease_owner *owner; /* NULL: its client has gone */
	void *user;

	bool pinned; /* its calls are to run here */
	uint64_t active_ns; /* something was called */
	uint64_t until_ns; /* it must have ended by then; 0: no such time yet */
	uint64_t counted, counted_failed;
	uint32_t submitted; /* as of the last look */
	unsigned slow_looks; /* that found a call running, and none ended since the one before */
	uint64_t stuck_ns; /* closing: since when calls wait and none runs; 0: they do not */
	unsigned obstinate; /* looks that found new calls although it is closing */
	unsigned unread;
	bool nudged;
	uint32_t cancelled; /* slots whose calls are still to end */
	uint32_t cancel_generation[SLOTS_COUNT];
	uint64_t cancel_ns[SLOTS_COUNT];
};

#define CALLS_CROWDED_PAUSE_MS \
	20 /* until another start, where a function has no process or memory left for one */
#define CALLS_CROWDED_MS 5000 /* and how long this is tried */
#define CALLS_KILL_MS 2000 /* for a death to be told, of what is killed for its deadline */

enum call_state {
	CALL_WAITING,
	CALL_PAUSED,
	CALL_RUNNING,
	CALL_FORWARDED,
	CALL_FAILING,
	CALL_KEPT
};
struct call {
	struct list link; /* of its bucket */
	struct list queue_link; /* pool->waiting, calls->paused, failing or kept */
	struct calls *calls;
	enum call_state state;
	uint32_t tenant;
	char id[CALL_ID_MAX];
	char function[CALL_NAME_MAX];
	struct app_version *app;
	void *data;
	size_t len;
	bool binary, own, detach;
	uint32_t pinned, origin, rank, size;
	uint64_t arrival_ns, deadline_ns, hard_ns; /* hard: it is over then, whatever happens */
	call_done_fn *done;
	call_event_fn *on_event; /* NULL: nobody listens */
	void *user;
	struct tenant_use *use; /* while it waits */
	uint64_t crowded_ns; /* when there first was no process or memory for an instance */
	unsigned attempts;
	bool killed; /* at its deadline; its death is to come */

	struct pool *pool;
	struct servant *servant; /* starts for it, or runs it */
	enum start_kind kind;
	uint64_t begun_ns, ready_ns;

	uint64_t bus_id;
	struct call_peer *counted; /* FORWARDED: where it counts; NULL: nowhere */
	uint32_t peer; /* it was forwarded to */
	bool with_meta;

	struct loop_timer timer;
	struct call_error error;
	struct call_result kept; /* CALL_KEPT */
	struct list waits;
};

/* what a tenant has of this node's */
struct tenant_use {
	struct list link; /* calls->tenants */
	uint32_t uid;
	unsigned servants, queued;
};

struct function_counter {
	struct list link;
	uint32_t tenant;
	char function[CALL_NAME_MAX];
	struct calls_function_stats stats;
};

struct calls {
	struct node *node;
	struct list buckets[CALLS_BUCKETS];
	struct list pools, servants, idle, kept, waits, counters, failing, paused, leases, unfit,
		tenants;
	uint64_t lease_id;
	bool leases_quiet; /* nothing was called at the last look */
	struct loop_timer lease_timer;
	uint64_t sequence;
	uint64_t queued_bytes;
	unsigned nqueued, nrunning, nforwarded, nservants, nidle, nkept;
	struct list peers; /* that calls were forwarded to */
	unsigned nleased; /* what leases_busy() last saw */
	uint64_t leased_until_ns; /* and for how long that is good */
	uint64_t total, failed;
	bool touched, starved; /* starved: a call waits because the node is full */
	bool pinched; /* a call waits because its tenant has all that it may have */
	struct loop_idle hook;
	struct loop_timer idle_timer, kept_timer, fail_timer, pause_timer;
};

/* calls.c */
struct call *calls_find(const struct calls *calls, const char *id);
int calls_admit(struct calls *calls, const struct call_request *request, struct app_version *app,
	call_done_fn *done, void *user, struct call **ret_call, struct ramet_err *err);
/* the one end of a call; fills in id, names, times and rank of result, and frees the call (or keeps
 * it) */
void call_finish(struct call *call, struct call_result *result);
void call_finish_error(struct call *call, const struct call_error *error);
/* call_fail - the same, later, from the loop: for failures within a call of the public functions */
void call_fail(struct call *call, const struct call_error *error);
void call_fail_err(struct call *call, const struct ramet_err *err);
/* call_revoke - its function was removed: it ends with EREVOKED, if it has not ended */
void call_revoke(struct call *call);
/* call_orphan - the node that it came from is dead for us: it ends as lost, if it has not ended */
void call_orphan(struct call *call);
void call_free(struct call *call);

/* calls_unfit.c */
void calls_destroy_unfit(struct calls *calls);

/* calls_local.c */
void call_run_here(struct call *call);
/* leave the pool: what starts for it goes on for others or is given up, what runs it is ended */
void call_leave(struct call *call);
/* call_retry - begin again after a failure, if that is allowed; ran: the function may have begun.
 * false: it was not */
void calls_resume_paused(struct loop_timer *timer);
bool call_retry(struct call *call, const struct call_error *error, bool ran);
void servant_run(struct servant *servant, struct call *call, enum start_kind kind);
/* calls_pool - that of the instances which this function is called in; NULL: there are none */
struct pool *calls_pool(
	const struct calls *calls, const struct app_version *app, const char *function);
struct pool *pool_new(
	struct calls *calls, struct app_version *app, const char *function); /* NULL: no memory */
void pool_release(struct pool *pool); /* frees it when nothing is in it */

/* calls_servants.c */
int servant_start(struct pool *pool, struct call *call, struct ramet_err *err);
/* what a caller is told; ret owns copies of the error's texts and refers to result's output */
void servant_fill_result(const struct servant *servant, const struct call *call,
	const struct instance_result *result, struct call_result *ret);
void servant_end(struct servant *servant);
void servant_became_idle(struct servant *servant);
void servant_orphaned(struct servant *servant); /* the call it starts for has gone */
struct servant *servant_take_idle(struct calls *calls, const struct pool *pool);
/* servants_room - one more may be started for this tenant; else an idle one makes room, if there is
 * any */
bool servants_room(struct calls *calls, uint32_t uid);
void calls_expire_idle(struct loop_timer *timer);
void servants_destroy(struct calls *calls);
void servant_next(struct servant *servant); /* calls_local.c: it is free: the next call, or idle */
void calls_balance(struct calls *calls); /* calls_local.c: there is room again */

/* calls_leases.c */
/* calls_servants.c: an idle one (RAMET_EAGAIN), or one that is started for a slot */
int servant_lend(struct calls *calls, struct lease *lease, struct ramet_err *err);
int servant_start_leased(struct lease *lease, unsigned slot, struct ramet_err *err);
struct servant *lease_servant(const struct lease *lease, unsigned slot); /* or NULL */
int lease_give(struct lease *lease, struct servant *servant, struct ramet_err *err);
uint64_t lease_output(const struct app_version *app); /* bytes an answer may have */
void lease_wake_client(struct lease *lease);
void lease_try_return(struct lease *lease);
void lease_on_unleased(struct lease *lease);
/* a servant of it has gone, or never came to be */
void lease_on_gone(struct lease *lease, struct servant *servant, const struct call_error *cause);
void lease_end(struct lease *lease);
void lease_fail(struct lease *lease, const struct ramet_err *why); /* its instances are killed */
void lease_pack_cause(const struct call_error *cause, struct buf *b);
/* calls_leases_line.c */
int lease_line_open(struct lease *lease, struct ramet_err *err);
void lease_line_seat(struct lease *lease, unsigned slot, struct servant *servant);
void lease_line_leave(struct lease *lease, unsigned slot);
void lease_line_fill(struct lease *lease);
void lease_line_started(struct lease *lease, struct servant *servant);
void lease_line_gone(
	struct lease *lease, struct servant *servant, const struct call_error *cause, bool failed);
void lease_line_close(struct lease *lease); /* those that wait for a call end */
void lease_line_look(struct lease *lease, const struct slots_view *view, bool quiet);
void leases_sweep(struct calls *calls); /* tell of those that have ended, and free them */
/* leases_reclaim - one of this tenant's (UINT32_MAX: of anybody's) is to be returned, for others
 * who wait; false: there is none */
bool leases_reclaim(struct calls *calls, uint32_t uid);
/* leases_drop_version - a version is gone: its leases end, and what runs there, if `running`. It
 * may free servants that have not begun to start. */
void leases_drop_version(struct calls *calls, uint32_t tenant, const char *version, bool running);
void leases_destroy(struct calls *calls);
/* calls_leases_keep.c */
void leases_arm(struct calls *calls);
void leases_arm_now(struct calls *calls);
void leases_count(struct lease *lease);
unsigned leases_busy(struct calls *calls); /* instances that have a call of a lease, about now */
/* calls_leases_spread.c */
void lease_look_slow(struct lease *lease, const struct slots_view *view);
/* RAMET_EAGAIN: a call would go to another node, which is not full as this one is */
int lease_check_spread(
	struct calls *calls, const struct registry_entry *entry, struct ramet_err *err);
void leases_spread(struct calls *calls); /* one that is to go, if any */

/* calls_count.c */
void calls_count(const struct call *call, const struct call_result *result);
void calls_count_leased(
	struct calls *calls, const struct lease *lease, uint64_t served, uint64_t failed);

/* calls_tenants.c */
/* tenant_use - its record; NULL: no memory */
struct tenant_use *tenant_use(struct calls *calls, uint32_t uid);
bool tenant_full(const struct calls *calls, uint32_t uid); /* of instances */
/* tenant_admit - one more call may wait, or RAMET_ELIMIT */
int tenant_admit(const struct calls *calls, uint32_t uid, struct ramet_err *err);
void tenant_release(struct tenant_use *use); /* frees one that has nothing */
void tenants_destroy_all(struct calls *calls);

/* calls_place.c */
void call_place(struct call *call);

/* calls_remote.c */
void call_forward(struct call *call, uint32_t node);
void call_unforward(struct call *call, bool tell);
void call_tell_taken(struct call *call, uint64_t weight);
unsigned calls_forwarded_to(const struct calls *calls, uint32_t node); /* that it has now */
void calls_destroy_peers(struct calls *calls);
/* the node ends: a peer that waits for this outcome is told so; others are not */
void call_served_drop(call_done_fn *done, void *user);

/* calls_wait.c */
void call_keep(struct call *call, struct call_result *result);
void calls_expire_kept(struct loop_timer *timer);
void calls_destroy_waits(struct calls *calls);

#endif
