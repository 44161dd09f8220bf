/* The instances in pools: started through seeds, kept while idle, ended when there are too many or
 * they are idle for too long. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/node.h"
#include "cluster/seeds.h"

#include <stdlib.h>
#include <string.h>

static struct servant *servant_new(struct calls *calls, struct app_version *app)
{
	struct servant *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->use = tenant_use(calls, app->uid);
	if (!s->use) {
		free(s);
		return NULL;
	}
	s->use->servants++;
	s->calls = calls;
	s->app = app_version_get(app);
	s->begun_ns = now_ns();
	list_init(&s->idle_link);
	list_append(&calls->servants, &s->link);
	calls->nservants++;
	return s;
}

static void leave_idle(struct servant *s)
{
	if (s->state != SERVANT_IDLE)
		return;
	list_remove(&s->idle_link);
	s->calls->nidle--;
	calls_touch(s->calls);
}

static void servant_free(struct servant *s)
{
	struct calls *calls = s->calls;
	leave_idle(s);
	list_remove(&s->link);
	calls->nservants--;
	s->use->servants--;
	tenant_release(s->use);
	if (s->pool) {
		s->pool->servants--;
		pool_release(s->pool);
	}
	app_version_put(s->app);
	free(s);
	calls_touch(calls);
}

/* it never came to be able to serve */
static void servant_failed(struct servant *s, const struct call_error *error)
{
	struct call *call = steal_ptr(&s->call);
	struct calls *calls = s->calls;
	struct lease *lease = steal_ptr(&s->lease);
	if (call) {
		call->servant = NULL;
		call_leave(call);
	}
	s->state = SERVANT_STARTING;
	if (lease)
		lease_on_gone(lease, s, error);
	servant_free(s);
	if (call && !call_retry(call, error, false))
		call_fail(call, error);
	calls_balance(calls);
}

static void on_started(void *user, struct instance *inst)
{
	struct servant *s = user;
	(void)inst;
	if (!s->lease) {
		servant_next(s);
		return;
	}
	s->state = SERVANT_LEASED;
	lease_line_started(s->lease, s);
}

static bool reusable(const struct servant *s)
{
	struct instance_info info;
	instance_get_info(s->inst, &info);
	return info.state == INSTANCE_IDLE && !s->retired &&
		!app_version_once(s->app, s->pool->function);
}

void servant_fill_result(const struct servant *s, const struct call *call,
	const struct instance_result *result, struct call_result *ret)
{
	struct instance_info info;
	instance_get_info(s->inst, &info);
	bool forked = call->kind == START_LOCAL_FORK || call->kind == START_REMOTE_FORK;
	*ret = (struct call_result){
		.node = s->calls->node->config.node,
		.instance = info.id,
		.pid = info.pid,
		.start = call->kind,
		.source_node = call->kind == START_REMOTE_FORK ? info.source_node : 0,
		.binary = result->binary,
		.output = result->output,
		.output_len = result->output_len,
		.ns =
			{
				.queue = call->begun_ns - call->arrival_ns,
				.start = call->ready_ns - call->begun_ns,
				.first_instruction = forked ? info.first_instruction_ns : 0,
				.run = result->run_ns,
			},
	};
	(void)call_error_copy(&ret->error, result->error);
}

static void on_result(void *user, struct instance *inst, const struct instance_result *result)
{
	struct servant *s = user;
	struct calls *calls = s->calls;
	struct call *call = steal_ptr(&s->call);
	call->servant = NULL;
	call->pool = NULL;
	calls->nrunning--;
	bool first = call->kind != START_WARM;
	if (result->error->err.code == 0 || !call_retry(call, result->error, true)) {
		struct call_result full;
		servant_fill_result(s, call, result, &full);
		call_finish(call, &full);
		call_result_fini(&full);
	}
	if (s->state != SERVANT_RUNNING)
		return; /* its owner's answer to the result has ended it */
	if (first)
		seeds_first_call_done(calls->node->seeds, inst, result->error->err.code == 0);
	if (reusable(s))
		servant_next(s);
	else
		servant_end(s);
}

static void on_event(void *user, struct instance *inst, const struct call_event *event)
{
	struct servant *s = user;
	(void)inst;
	if (s->call && s->call->on_event)
		s->call->on_event(s->call->user, event);
}

static void on_unleased(void *user, struct instance *inst)
{
	struct servant *s = user;
	(void)inst;
	lease_on_unleased(steal_ptr(&s->lease));
	if (s->state != SERVANT_LEASED)
		return; /* it is being ended */
	s->state = SERVANT_RUNNING; /* as after a call */
	if (reusable(s))
		servant_next(s);
	else
		servant_end(s);
}

static void on_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	struct servant *s = user;
	struct calls *calls = s->calls;
	(void)inst;
	if (s->lease && s->state != SERVANT_STARTING)
		lease_on_gone(steal_ptr(&s->lease), s, cause);
	if (s->state == SERVANT_STARTING) {
		servant_failed(s, cause);
		return;
	}
	servant_free(s);
	calls_balance(calls);
}

static const struct instance_handler servant_handler = {
	.on_started = on_started,
	.on_result = on_result,
	.on_event = on_event,
	.on_unleased = on_unleased,
	.on_gone = on_gone,
};

static void on_grant(void *user, const struct seed_grant *grant, const struct call_error *error)
{
	struct servant *s = user;
	s->want = NULL;
	if (!grant) {
		servant_failed(s, error);
		return;
	}
	s->kind = grant->kind;
	s->state = SERVANT_STARTING;
	if (grant->host) {
		s->inst = grant->host;
		instance_own(s->inst, &servant_handler, s);
		on_started(s, s->inst);
		return;
	}
	struct call_error failed = {0};
	struct instance_clone clone = grant->clone;
	clone.stock = s->lease ? &s->pool->stock : NULL;
	if (s->lease && clone.npopulate == 0) { /* it waits in line, not its caller */
		clone.populate = grant->writes;
		clone.npopulate = grant->nwrites;
	}
	if (instance_start_clone(s->calls->node->instances, &clone, &servant_handler, s, &s->inst,
		    &failed.err) < 0)
		servant_failed(s, &failed);
}

static int obtain(
	struct pool *pool, bool leased, struct servant **ret_servant, struct ramet_err *err)
{
	struct calls *calls = pool->calls;
	struct servant *s = servant_new(calls, pool->app);
	if (!s)
		return err_nomem(err);
	s->state = SERVANT_OBTAINING;
	s->pool = pool;
	pool->servants++;
	int rc = seeds_want(
		calls->node->seeds, pool->app, pool->function, leased, on_grant, s, &s->want, err);
	if (rc < 0) {
		servant_free(s);
		return rc;
	}
	*ret_servant = s;
	return 0;
}

int servant_start(struct pool *pool, struct call *call, struct ramet_err *err)
{
	struct servant *s = NULL;
	int rc = obtain(pool, false, &s, err);
	if (rc < 0)
		return rc;
	s->call = call;
	call->servant = s;
	return 0;
}

int servant_start_leased(struct lease *lease, unsigned slot, struct ramet_err *err)
{
	struct servant *s = NULL;
	struct pool *pool = calls_pool(lease->calls, lease->app, lease->function);
	if (!pool)
		pool = pool_new(lease->calls, lease->app, lease->function);
	if (!pool)
		return err_nomem(err);
	int rc = obtain(pool, true, &s, err);
	if (rc < 0) {
		pool_release(pool);
		return rc;
	}
	s->lease = lease;
	s->slot = slot;
	lease_line_seat(lease, slot, s);
	return 0;
}

void servant_end(struct servant *s)
{
	if (s->state == SERVANT_ENDING)
		return;
	if (s->state == SERVANT_OBTAINING) {
		seeds_want_cancel(s->want);
		if (s->lease)
			lease_line_leave(s->lease, s->slot);
		servant_free(s);
		return;
	}
	leave_idle(s);
	s->state = SERVANT_ENDING;
	instance_end(s->inst);
}

void servant_orphaned(struct servant *s)
{
	s->call = NULL;
	list_for_each (call, &s->pool->waiting, struct call, queue_link) {
		if (call->servant)
			continue;
		s->call = call;
		call->servant = s;
		return;
	}
	if (s->state == SERVANT_OBTAINING)
		servant_end(s);
}

/* A host has all of its app's memory for itself, a clone shares it with the seed. */
static uint64_t idle_end_ns(const struct servant *s)
{
	const struct node *node = s->calls->node;
	uint64_t keep_ms = node->config.idle_ms;
	if (s->kind == START_COLD && seeds_have(node->seeds, s->app->uid, s->app->id))
		keep_ms = MIN(keep_ms, node->config.host_idle_ms);
	return s->idle_ns + keep_ms * NSEC_PER_MSEC;
}

static void arm_idle(struct calls *calls, uint64_t end_ns)
{
	const struct loop_timer *timer = &calls->idle_timer;
	if (timer->heap_pos == 0 || timer->deadline_ns > end_ns)
		(void)loop_timer_set(
			calls->node->loop, &calls->idle_timer, end_ns, calls_expire_idle);
}

void calls_expire_idle(struct loop_timer *timer)
{
	struct calls *calls = container_of(timer, struct calls, idle_timer);
	uint64_t now = now_ns();
	list_for_each_safe (s, &calls->idle, struct servant, idle_link) {
		uint64_t end_ns = idle_end_ns(s);
		if (end_ns <= now)
			servant_end(s);
		else
			arm_idle(calls, end_ns);
	}
}

void servant_became_idle(struct servant *s)
{
	struct calls *calls = s->calls;
	s->state = SERVANT_IDLE;
	s->idle_ns = now_ns();
	list_append(&calls->idle, &s->idle_link);
	calls->nidle++;
	calls_touch(calls);
	if (calls->nidle > CALLS_MAX_IDLE || calls->starved)
		servant_end(list_first(&calls->idle, struct servant, idle_link));
	else if (calls->pinched && s->use->queued > 0 && tenant_full(calls, s->use->uid))
		servant_end(s); /* for one of another function */
	if (s->state == SERVANT_IDLE)
		arm_idle(calls, idle_end_ns(s));
}

/* How fit an idle one is; 0: not at all. Whoever has run calls is warm; who was started for a call
 * that another one took, and came late, is not yet. */
static unsigned fitness(const struct servant *s, const struct pool *pool)
{
	if (s->pool == pool)
		return s->used ? 3 : 2;
	return !s->pool && strcmp(s->app->id, pool->app->id) == 0;
}

/* of the fittest ones who became idle last */
struct servant *servant_take_idle(struct calls *calls, const struct pool *pool)
{
	struct servant *best = NULL;
	unsigned best_fitness = 0;
	for (struct list *at = calls->idle.prev; at != &calls->idle && best_fitness < 3;
		at = at->prev) {
		struct servant *s = list_entry(at, struct servant, idle_link);
		unsigned fit = fitness(s, pool);
		if (fit <= best_fitness)
			continue;
		best = s;
		best_fitness = fit;
	}
	if (!best)
		return NULL;
	leave_idle(best);
	if (!best->pool) {
		best->pool = (struct pool *)pool;
		best->pool->servants++;
	}
	best->used = true;
	return best;
}

int servant_lend(struct calls *calls, struct lease *lease, struct ramet_err *err)
{
	struct pool *pool = calls_pool(calls, lease->app, lease->function);
	struct servant *s =
		pool && list_empty(&pool->waiting) ? servant_take_idle(calls, pool) : NULL;
	if (!s)
		return err_set(err, RAMET_EAGAIN, "no instance of %s is idle", lease->function);
	s->state = SERVANT_LEASED;
	s->lease = lease;
	s->slot = 0;
	lease->servants[0] = s;
	lease->nservants = 1;
	return 0;
}

/* what it has may be needed for another of its functions */
static void pinch(struct calls *calls, uint32_t uid)
{
	calls->pinched = true;
	list_for_each (s, &calls->idle, struct servant, idle_link) {
		if (s->app->uid != uid)
			continue;
		servant_end(s);
		return;
	}
	(void)leases_reclaim(calls, uid);
}

bool servants_room(struct calls *calls, uint32_t uid)
{
	if (tenant_full(calls, uid)) {
		pinch(calls, uid);
		return false;
	}
	if (calls->nservants < calls->node->config.max_instances)
		return true;
	calls->starved = true;
	if (!list_empty(&calls->idle))
		servant_end(list_first(&calls->idle, struct servant, idle_link));
	else
		(void)leases_reclaim(calls, UINT32_MAX);
	return false;
}

int calls_adopt(struct calls *calls, struct instance *inst, struct ramet_err *err)
{
	struct instance_info info;
	instance_get_info(inst, &info);
	struct servant *s = servant_new(calls, (struct app_version *)info.app);
	if (!s)
		return err_nomem(err);
	s->kind = info.kind;
	s->inst = inst;
	instance_own(inst, &servant_handler, s);
	s->state = SERVANT_RUNNING; /* as after a call: the next one finds it warm */
	servant_next(s);
	return 0;
}

unsigned calls_idle(const struct calls *calls, const char *version)
{
	unsigned n = 0;
	list_for_each (s, &calls->idle, struct servant, idle_link)
		n += strcmp(s->app->id, version) == 0;
	return n;
}

unsigned calls_drop_version(struct calls *calls, uint32_t tenant, const char *version, bool running)
{
	unsigned ended = 0;
	if (running) {
		for (unsigned i = 0; i < CALLS_BUCKETS; i++)
			list_for_each_safe (call, &calls->buckets[i], struct call, link)
				if (strcmp(call->app->id, version) == 0)
					call_revoke(call);
	}
	leases_drop_version(calls, tenant, version, running);
	list_for_each_safe (s, &calls->servants, struct servant, link) {
		if (s->app->uid != tenant || strcmp(s->app->id, version) != 0)
			continue;
		s->retired = true;
		ended += s->state == SERVANT_IDLE || s->state == SERVANT_ENDING;
		if (s->state == SERVANT_IDLE)
			servant_end(s);
	}
	return ended;
}

void servants_destroy(struct calls *calls)
{
	list_for_each_safe (s, &calls->servants, struct servant, link) {
		if (s->want)
			seeds_want_cancel(s->want);
		list_remove(&s->link);
		app_version_put(s->app);
		free(s);
	}
}
