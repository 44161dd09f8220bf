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
#include "cluster/registry.h"

#define CALLS_BUCKETS 4096
#define CALLS_MAX_IDLE 64 /* instances kept without a call */
#define CALLS_MAX_KEPT 1024 /* results of detached calls */
#define CALLS_MAX_QUEUED_BYTES (512ull << 20)
#define CALLS_MAX_ATTEMPTS 3
#define CALLS_GRACE_MS \
	100 /* an instance has at least this long after the deadline to end the call itself */
#define CALLS_PEER_GRACE_MS 1000 /* and a peer so much longer to tell */

struct call;
struct pool;
struct seed_want;

/* An instance in a pool, from the wish for one until it is gone. */
enum servant_state {
	SERVANT_OBTAINING,
	SERVANT_STARTING,
	SERVANT_IDLE,
	SERVANT_RUNNING,
	SERVANT_ENDING
};
struct servant {
	struct list link; /* calls->servants */
	struct list idle_link; /* calls->idle, the longest idle first */
	struct calls *calls;
	struct pool
		*pool; /* NULL: a captured host that has not served yet: any function of its app */
	struct app_version *app;
	enum servant_state state;
	enum start_kind kind;
	struct call *call; /* that it starts for, or runs */
	struct seed_want *want;
	struct instance *inst;
	uint64_t begun_ns; /* it was wished for */
	uint64_t idle_ns; /* since when it is idle */
	bool retired; /* its version is gone: no call after this one */
};

struct pool {
	struct list link;
	struct calls *calls;
	struct app_version *app;
	char function[CALL_NAME_MAX];
	struct list waiting; /* calls, in order of arrival */
	unsigned servants;
};

enum call_state { CALL_WAITING, CALL_RUNNING, CALL_FORWARDED, CALL_FAILING, CALL_KEPT };
struct call {
	struct list link; /* of its bucket */
	struct list queue_link; /* pool->waiting, calls->failing or calls->kept */
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
	void *user;
	unsigned attempts;

	struct pool *pool;
	struct servant *servant; /* starts for it, or runs it */
	enum start_kind kind;
	uint64_t begun_ns, ready_ns;

	uint64_t bus_id;
	uint32_t peer; /* it was forwarded to */
	bool with_meta;

	struct loop_timer timer;
	struct call_error error;
	struct call_result kept; /* CALL_KEPT */
	struct list waits;
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
	struct list pools, servants, idle, kept, waits, counters, failing;
	uint64_t sequence;
	uint64_t queued_bytes;
	unsigned nqueued, nrunning, nforwarded, nservants, nidle, nkept;
	uint64_t total, failed;
	bool touched, starved; /* starved: a call waits because the node is full */
	struct loop_idle hook;
	struct loop_timer idle_timer, kept_timer, fail_timer;
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

/* calls_local.c */
void call_run_here(struct call *call);
/* leave the pool: what starts for it goes on for others or is given up, what runs it is ended */
void call_leave(struct call *call);
/* call_retry - begin again after a failure, if that is allowed; ran: the function may have begun.
 * false: it was not */
bool call_retry(struct call *call, const struct call_error *error, bool ran);
void servant_run(struct servant *servant, struct call *call, enum start_kind kind);
struct pool *calls_pool(const struct calls *calls, const char *version, const char *function);
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
bool servants_room(struct calls
		*calls); /* one more may be started; else an idle one makes room, if there is any */
void calls_expire_idle(struct loop_timer *timer);
void servants_destroy(struct calls *calls);
void servant_next(struct servant *servant); /* calls_local.c: it is free: the next call, or idle */
void calls_balance(struct calls *calls); /* calls_local.c: there is room again */

/* calls_place.c */
void call_place(struct call *call);

/* calls_remote.c */
void call_forward(struct call *call, uint32_t node);
void call_unforward(struct call *call, bool tell);
/* the node ends: a peer that waits for this outcome is told so; others are not */
void call_served_drop(call_done_fn *done, void *user);

/* calls_wait.c */
void call_keep(struct call *call, struct call_result *result);
void calls_expire_kept(struct loop_timer *timer);
void calls_destroy_waits(struct calls *calls);

#endif
