/* Calls on this node: pools, who serves whom, results, retries. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/client_proto.h"
#include "cluster/node.h"
#include "cluster/secrets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pool *calls_pool(
	const struct calls *calls, const struct app_version *app, const char *function)
{
	const char *name = app_version_pool(app, function);
	list_for_each (pool, &calls->pools, struct pool, link)
		if (strcmp(pool->app->id, app->id) == 0 && strcmp(pool->function, name) == 0)
			return pool;
	return NULL;
}

struct pool *pool_new(struct calls *calls, struct app_version *app, const char *function)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pool->calls = calls;
	pool->app = app_version_get(app);
	snprintf(pool->function, sizeof(pool->function), "%s", app_version_pool(app, function));
	list_init(&pool->waiting);
	instance_stock_init(&pool->stock);
	list_append(&calls->pools, &pool->link);
	return pool;
}

static struct pool *pool_for(struct call *call)
{
	struct pool *pool = calls_pool(call->calls, call->app, call->function);
	return pool ? pool : pool_new(call->calls, call->app, call->function);
}

void pool_release(struct pool *pool)
{
	if (pool->servants > 0 || !list_empty(&pool->waiting))
		return;
	list_remove(&pool->link);
	instance_stock_clear(&pool->stock);
	app_version_put(pool->app);
	free(pool);
}

unsigned calls_waiting(const struct calls *calls, const char *version)
{
	unsigned n = 0;
	list_for_each (pool, &calls->pools, struct pool, link)
		if (strcmp(pool->app->id, version) == 0)
			list_for_each (call, &pool->waiting, struct call, queue_link)
				n++;
	return n;
}

static struct servant *orphan_of(const struct pool *pool)
{
	list_for_each (s, &pool->calls->servants, struct servant, link)
		if (s->pool == pool && !s->call && !s->lease &&
			(s->state == SERVANT_OBTAINING || s->state == SERVANT_STARTING))
			return s;
	return NULL;
}

/* find somebody for a call that waits; false: the node is full, it goes on waiting */
static bool serve(struct call *call)
{
	struct pool *pool = call->pool;
	struct servant *servant = servant_take_idle(call->calls, pool);
	if (servant) {
		servant_run(servant, call, START_WARM);
		return true;
	}
	servant = call->own ? NULL : orphan_of(pool);
	if (servant) {
		servant->call = call;
		call->servant = servant;
		return true;
	}
	if (!servants_room(call->calls, call->app->uid))
		return false;
	struct ramet_err err = {0};
	if (servant_start(pool, call, &err) < 0) {
		call_leave(call);
		call_fail_err(call, &err);
	}
	return true;
}

static bool lacks_secret(struct call *call)
{
	struct ramet_err err = {0};
	const char *missing = secrets_missing(call->calls->node->secrets, call->app);
	if (!missing)
		return false;
	err_set(&err, RAMET_EREFUSED, "secret %s of app %s is not set: ramet secret set %s",
		missing, call->app->app, missing);
	call_fail_err(call, &err);
	return true;
}

void call_run_here(struct call *call)
{
	call->state = CALL_WAITING;
	if (lacks_secret(call))
		return;
	call->pool = pool_for(call);
	call->use = call->pool ? tenant_use(call->calls, call->app->uid) : NULL;
	if (!call->use) {
		struct ramet_err err = {0};
		if (call->pool)
			pool_release(steal_ptr(&call->pool));
		err_nomem(&err);
		call_fail_err(call, &err);
		return;
	}
	list_append(&call->pool->waiting, &call->queue_link);
	call->calls->nqueued++;
	call->use->queued++;
	calls_touch(call->calls);
	(void)serve(call);
}

static struct call *pool_unserved(const struct pool *pool)
{
	list_for_each (call, &pool->waiting, struct call, queue_link)
		if (!call->servant)
			return call;
	return NULL;
}

/* *ret_pinched: there are some whose tenant has all that it may have, which are passed over */
static struct call *first_unserved(struct calls *calls, bool *ret_pinched)
{
	*ret_pinched = false;
	list_for_each (pool, &calls->pools, struct pool, link) {
		struct call *call = pool_unserved(pool);
		if (call && !tenant_full(calls, pool->app->uid))
			return call;
		*ret_pinched = *ret_pinched || call;
	}
	return NULL;
}

void calls_balance(struct calls *calls)
{
	while (calls->starved || calls->pinched) {
		bool pinched;
		struct call *call = first_unserved(calls, &pinched);
		if (call && !serve(call))
			return;
		if (call)
			continue;
		calls->starved = false;
		calls->pinched = pinched;
		return;
	}
}

static void leave_queue(struct call *call)
{
	list_remove(&call->queue_link);
	call->calls->nqueued--;
	call->use->queued--;
	tenant_release(steal_ptr(&call->use));
}

void servant_run(struct servant *servant, struct call *call, enum start_kind kind)
{
	struct calls *calls = call->calls;
	uint64_t now = now_ns();
	leave_queue(call);
	if (call->servant && call->servant != servant) {
		struct servant *other = call->servant;
		call->servant = NULL;
		servant_orphaned(other);
	}
	call->servant = servant;
	call->state = CALL_RUNNING;
	call->kind = kind;
	call->begun_ns = kind == START_WARM ? now : MAX(servant->begun_ns, call->arrival_ns);
	call->ready_ns = now;
	servant->call = call;
	servant->used = true;
	servant->state = SERVANT_RUNNING;
	calls->nrunning++;
	calls_touch(calls);
	if (call->deadline_ns != 0 && kind != START_WARM && call->deadline_ns <= now)
		log_debug("call.late", "call=%s",
			call->id); /* the host ends it at once: its deadline has passed */
	struct instance_call order = {
		.id = call->id,
		.function = call->function,
		.data = call->data,
		.len = call->len,
		.binary = call->binary,
		.rank = call->rank,
		.size = call->size,
		.deadline_ns = call->deadline_ns,
		.secrets = true,
		.events = call->on_event != NULL,
		.reset = app_version_resets(call->app, call->function),
		.max_output =
			call->app->limits.output ? call->app->limits.output : CLIENT_MAX_PAYLOAD,
	};
	struct call_error error = {0};
	if (instance_call(servant->inst, &order, &error.err) == 0)
		return;
	call_leave(call);
	if (!call_retry(call, &error, false))
		call_fail(call, &error);
}

/* who has waited longest and has nobody, or may be taken from the start that is under way for it */
static struct call *next_waiting(const struct pool *pool)
{
	list_for_each (call, &pool->waiting, struct call, queue_link)
		if (!call->own || !call->servant)
			return call;
	return NULL;
}

static struct call *next_for(const struct servant *servant)
{
	if (servant->pool)
		return next_waiting(servant->pool);
	list_for_each (pool, &servant->calls->pools, struct pool, link) {
		struct call *call =
			strcmp(pool->app->id, servant->app->id) == 0 ? next_waiting(pool) : NULL;
		if (call)
			return call;
	}
	return NULL;
}

void servant_next(struct servant *servant)
{
	struct call *call = servant->call;
	enum start_kind kind = servant->state == SERVANT_STARTING ? servant->kind : START_WARM;
	if (!call)
		call = next_for(servant);
	if (!call) {
		servant_became_idle(servant);
		return;
	}
	if (!servant->pool) {
		servant->pool = call->pool;
		servant->pool->servants++;
	}
	servant_run(servant, call, kind);
}

void call_leave(struct call *call)
{
	struct servant *servant = steal_ptr(&call->servant);
	struct pool *pool = steal_ptr(&call->pool);
	if (call->state == CALL_WAITING) {
		leave_queue(call);
		pool->servants++; /* keeps it while its last servant may go */
		if (servant)
			servant_orphaned(servant);
		pool->servants--;
		pool_release(pool);
	} else {
		servant->call = NULL;
		call->calls->nrunning--;
		servant_end(servant);
	}
	calls_touch(call->calls);
}

static void go_again(struct call *call)
{
	if (call->origin != 0)
		call_run_here(call);
	else
		call_place(call);
}

void calls_resume_paused(struct loop_timer *timer)
{
	struct calls *calls = container_of(timer, struct calls, pause_timer);
	struct list due;
	list_init(&due);
	list_for_each_safe (call, &calls->paused, struct call, queue_link) {
		list_remove(&call->queue_link);
		list_append(&due, &call->queue_link);
	}
	while (!list_empty(&due)) {
		struct call *call = list_first(&due, struct call, queue_link);
		list_remove(&call->queue_link);
		go_again(call);
	}
}

/* The function has all the processes or memory that its limit allows. What has them ends some time;
 * a call that another one of its function crowds out is not to fail for that at once. */
static bool pause_crowded(struct call *call, const struct call_error *error)
{
	struct calls *calls = call->calls;
	uint64_t now = now_ns();
	if (error->err.code != RAMET_ELIMIT ||
		(error->err.sys != EAGAIN && error->err.sys != ENOMEM))
		return false;
	if (call->crowded_ns == 0)
		call->crowded_ns = now;
	if (calls->node->stopping || now - call->crowded_ns > CALLS_CROWDED_MS * NSEC_PER_MSEC)
		return false;
	call->state = CALL_PAUSED;
	list_append(&calls->paused, &call->queue_link);
	if (calls->pause_timer.heap_pos == 0)
		(void)loop_timer_set(calls->node->loop, &calls->pause_timer,
			now + CALLS_CROWDED_PAUSE_MS * NSEC_PER_MSEC, calls_resume_paused);
	return true;
}

bool call_retry(struct call *call, const struct call_error *error, bool ran)
{
	if (!ran && pause_crowded(call, error))
		return true;
	bool lost = error->err.code == RAMET_ELOST;
	bool failed_start = error->err.code == RAMET_EPEER || error->err.code == RAMET_ETIMEOUT ||
		error->err.code == RAMET_EREVOKED || error->err.code == RAMET_EAGAIN || lost;
	if (!ran && call_error_unfit(error, call->app))
		failed_start = calls_note_unfit(call->calls, call->app, error->node) &&
			call->origin == 0 && !call->pinned; /* else the asker looks elsewhere */
	bool allowed = ran ? (lost || error->err.code == RAMET_EPEER) && call->app->idempotent
			   : failed_start;
	if (!allowed || call->calls->node->stopping || ++call->attempts >= CALLS_MAX_ATTEMPTS)
		return false;
	if (call->deadline_ns != 0 && call->deadline_ns <= now_ns())
		return false;
	log_info("call.retry", "call=%s function=%s attempt=%u err=%s", call->id, call->function,
		call->attempts + 1, err_name(error->err.code));
	if (call->deadline_ns != 0) /* it may have been set to the hard one */
		(void)loop_timer_set(
			call->calls->node->loop, &call->timer, call->deadline_ns, call->timer.fn);
	go_again(call);
	return true;
}
