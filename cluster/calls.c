/* Calls: admission, the table of all of them, deadlines, the one end that each has. Where they run
 * is decided in calls_place.c, running here is calls_local.c, elsewhere calls_remote.c; results
 * that are kept, calls_wait.c. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static struct list *bucket_of(const struct calls *calls, const char *id)
{
	return (struct list *)&calls->buckets[hash64(id, strlen(id)) % CALLS_BUCKETS];
}

struct call *calls_find(const struct calls *calls, const char *id)
{
	list_for_each (call, bucket_of(calls, id), struct call, link)
		if (strcmp(call->id, id) == 0)
			return call;
	return NULL;
}

void calls_make_id(struct calls *calls, char ret_id[CALL_ID_MAX])
{
	uint32_t random = 0;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random = (uint32_t)now_ns();
	snprintf(ret_id, CALL_ID_MAX, "%u-%llx-%08x", calls->node->config.node,
		(unsigned long long)(++calls->sequence & 0xffffffff), random);
}

static int check_request(
	const struct calls *calls, const struct call_request *request, struct ramet_err *err)
{
	if (calls->node->stopping)
		return err_set(
			err, RAMET_ECLOSED, "node %u is shutting down", calls->node->config.node);
	if (request->len > CLIENT_MAX_PAYLOAD)
		return err_set(err, RAMET_ELIMIT, "the input has %zu bytes, the limit is %u",
			request->len, CLIENT_MAX_PAYLOAD);
	if (request->len > CALLS_MAX_QUEUED_BYTES - calls->queued_bytes)
		return err_set(err, RAMET_EAGAIN,
			"node %u holds %llu bytes of input of calls that wait: try again later",
			calls->node->config.node, (unsigned long long)calls->queued_bytes);
	if (calls->nqueued >= calls->node->config.max_queue)
		return err_set(err, RAMET_EAGAIN,
			"%u calls wait on node %u (max_queue): try again later", calls->nqueued,
			calls->node->config.node);
	if (request->id && (strlen(request->id) >= CALL_ID_MAX || calls_find(calls, request->id)))
		return err_set(err, RAMET_EEXIST, "a call %s exists already", request->id);
	return 0;
}

static int copy_input(struct call *call, const struct call_request *request, struct ramet_err *err)
{
	call->data = malloc(MAX(request->len, (size_t)1));
	if (!call->data)
		return err_nomem(err);
	if (request->len > 0)
		memcpy(call->data, request->data, request->len);
	call->len = request->len;
	call->calls->queued_bytes += call->len;
	return 0;
}

static void on_deadline(struct loop_timer *timer);

static void set_deadline(struct call *call, uint64_t asked_ns)
{
	struct node *node = call->calls->node;
	uint64_t limit = call->app->limits.deadline_ms ? call->app->limits.deadline_ms
						       : node->config.deadline_ms;
	uint64_t span = asked_ns ? asked_ns : limit * NSEC_PER_MSEC;
	if (span == 0)
		return;
	span = MIN(span, UINT64_MAX / 8);
	call->deadline_ns = call->arrival_ns + span;
	call->hard_ns = MAX(
		call->arrival_ns + 2 * span, call->deadline_ns + CALLS_GRACE_MS * NSEC_PER_MSEC);
	(void)loop_timer_set(node->loop, &call->timer, call->deadline_ns, on_deadline);
}

int calls_admit(struct calls *calls, const struct call_request *request, struct app_version *app,
	call_done_fn *done, void *user, struct call **ret_call, struct ramet_err *err)
{
	int rc = check_request(calls, request, err);
	if (rc == 0)
		rc = tenant_admit(calls, app->uid, err);
	if (rc < 0)
		return rc;
	struct call *call = calloc(1, sizeof(*call));
	if (!call)
		return err_nomem(err);
	call->calls = calls;
	list_init(&call->link);
	list_init(&call->queue_link);
	list_init(&call->waits);
	call->arrival_ns = now_ns();
	call->tenant = request->tenant;
	call->app = app_version_get(app);
	snprintf(call->function, sizeof(call->function), "%s", request->function);
	call->binary = request->binary;
	call->own = request->own_instance;
	call->detach = request->detach;
	call->pinned = request->node;
	call->origin = request->origin;
	call->rank = request->rank;
	call->size = MAX(request->size, 1u);
	call->done = done;
	call->on_event = request->on_event;
	call->user = user;
	rc = copy_input(call, request, err);
	if (rc < 0) {
		call_free(call);
		return rc;
	}
	if (request->id)
		snprintf(call->id, sizeof(call->id), "%s", request->id);
	else
		calls_make_id(calls, call->id);
	list_append(bucket_of(calls, call->id), &call->link);
	set_deadline(call, request->deadline_ns);
	*ret_call = call;
	return 0;
}

int calls_submit(struct calls *calls, const struct call_request *request, call_done_fn *done,
	void *user, char ret_id[CALL_ID_MAX], struct ramet_err *err)
{
	struct app_version *app = request->app;
	if (!app) {
		struct registry_entry *entry = NULL;
		int rc = registry_find(
			calls->node->registry, request->tenant, request->function, &entry, err);
		if (rc < 0)
			return rc;
		app = entry->version;
	}
	struct call *call = NULL;
	int rc = calls_admit(calls, request, app, done, user, &call, err);
	if (rc < 0)
		return rc;
	if (ret_id)
		memcpy(ret_id, call->id, CALL_ID_MAX);
	if (call->origin != 0)
		call_run_here(call);
	else
		call_place(call);
	return 0;
}

void call_free(struct call *call)
{
	loop_timer_cancel(&call->timer);
	list_remove(&call->link);
	list_remove(&call->queue_link);
	call->calls->queued_bytes -= call->len;
	app_version_put(call->app);
	call_error_fini(&call->error);
	call_result_fini(&call->kept);
	free(call->data);
	free(call);
}

/* --- the end --- */

void call_finish(struct call *call, struct call_result *result)
{
	struct calls *calls = call->calls;
	loop_timer_cancel(&call->timer);
	memcpy(result->id, call->id, CALL_ID_MAX);
	memcpy(result->function, call->function, sizeof(result->function));
	snprintf(result->version, sizeof(result->version), "%s", call->app->id);
	result->rank = call->rank;
	result->size = call->size;
	result->ns.total = now_ns() - call->arrival_ns;
	if (result->error.err.code < 0 && result->error.node == 0)
		result->error.node = calls->node->config.node;
	calls_count(call, result);
	calls_touch(calls);
	call_done_fn *done = call->done;
	void *user = call->user;
	if (call->detach) {
		call->state = CALL_KEPT; /* nothing is left to cancel */
		call->done = NULL;
		if (done)
			done(user, result);
		call_keep(call, result);
		return;
	}
	list_remove(&call->link); /* its id is over before its owner hears of it */
	if (done)
		done(user, result);
	call_free(call);
}

void call_finish_error(struct call *call, const struct call_error *error)
{
	struct call_result result = {0};
	(void)call_error_copy(
		&result.error, error); /* without memory its texts are missing, not its code */
	call_finish(call, &result);
	call_result_fini(&result);
}

static void fail_now(struct loop_timer *timer)
{
	struct calls *calls = container_of(timer, struct calls, fail_timer);
	while (!list_empty(&calls->failing)) {
		struct call *call = list_first(&calls->failing, struct call, queue_link);
		list_remove(&call->queue_link);
		struct call_error error = call->error;
		memset(&call->error, 0, sizeof(call->error));
		call_finish_error(call, &error);
		call_error_fini(&error);
	}
}

void call_fail(struct call *call, const struct call_error *error)
{
	struct calls *calls = call->calls;
	if (call->state == CALL_FAILING)
		return;
	call_error_fini(&call->error);
	(void)call_error_copy(&call->error, error);
	call->state = CALL_FAILING;
	list_append(&calls->failing, &call->queue_link);
	/* arming a timer fails only without memory for the heap, which has a place for this one
	 * since the last time */
	(void)loop_timer_set(calls->node->loop, &calls->fail_timer, now_ns(), fail_now);
}

void call_fail_err(struct call *call, const struct ramet_err *err)
{
	struct call_error error = {.err = *err, .node = call->calls->node->config.node};
	call_fail(call, &error);
}

/* take it from wherever it is; what runs for it is ended */
static void call_stop(struct call *call)
{
	if (call->state == CALL_FORWARDED)
		call_unforward(call, true);
	else if (call->state == CALL_PAUSED)
		list_remove(&call->queue_link);
	else if (call->state == CALL_WAITING || call->state == CALL_RUNNING)
		call_leave(call);
}

/* Its death ends the call, and tells more: what else its process had run into. false: that did not
 * come in time, or it runs elsewhere. */
static bool kill_running(struct call *call, const struct ramet_err *why)
{
	if (call->state != CALL_RUNNING || call->killed ||
		loop_timer_set(call->calls->node->loop, &call->timer,
			now_ns() + CALLS_KILL_MS * NSEC_PER_MSEC, on_deadline) < 0)
		return false;
	call->killed = true;
	instance_fail(call->servant->inst, why);
	return true;
}

static void expire(struct call *call)
{
	struct call_result result = {0};
	struct call_error error = {.node = call->calls->node->config.node};
	err_set(&error.err, RAMET_EDEADLINE, "the deadline of %s (%llu ms) passed %s",
		call->function,
		(unsigned long long)((call->deadline_ns - call->arrival_ns + NSEC_PER_MSEC - 1) /
			NSEC_PER_MSEC),
		call->state == CALL_WAITING || call->state == CALL_PAUSED
			? "before it had an instance"
			: "and it did not stop: its process was killed");
	if (kill_running(call, &error.err))
		return;
	if (call->state == CALL_RUNNING) {
		const struct instance_result ended = {
			.error = &error, .run_ns = now_ns() - call->ready_ns};
		instance_add_log_tail(call->servant->inst, &error);
		servant_fill_result(call->servant, call, &ended, &result);
	} else {
		(void)call_error_copy(&result.error, &error);
	}
	call_error_fini(&error);
	call_stop(call);
	call_finish(call, &result);
	call_result_fini(&result);
}

static void on_deadline(struct loop_timer *timer)
{
	struct call *call = container_of(timer, struct call, timer);
	uint64_t now = now_ns();
	uint64_t last = call->hard_ns;
	if (call->state == CALL_FORWARDED)
		last += CALLS_PEER_GRACE_MS * NSEC_PER_MSEC;
	/* whoever runs it ends it at the deadline by itself; if not, we do at the hard one */
	if ((call->state == CALL_RUNNING || call->state == CALL_FORWARDED) && now < last &&
		loop_timer_set(call->calls->node->loop, &call->timer, last, on_deadline) == 0)
		return;
	if (call->state != CALL_FAILING)
		expire(call);
}

static void cancel(struct call *call)
{
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECANCELED, "the call was cancelled");
	call_stop(call);
	call_fail_err(call, &err);
}

void call_revoke(struct call *call)
{
	struct ramet_err err = {0};
	if (call->state == CALL_KEPT || call->state == CALL_FAILING)
		return;
	err_set(&err, RAMET_EREVOKED, "%s was removed while the call ran", call->function);
	call_stop(call);
	call_fail_err(call, &err);
}

void call_orphan(struct call *call)
{
	struct call_error error = {.node = call->calls->node->config.node, .retryable = true};
	if (call->state == CALL_KEPT || call->state == CALL_FAILING)
		return;
	err_set(&error.err, RAMET_ELOST,
		"node %u, where this call came from, was not heard of any more while it ran",
		call->origin);
	call_stop(call);
	call_fail(call, &error);
}

int calls_cancel(struct calls *calls, uint32_t tenant, const char *id)
{
	struct call *call = calls_find(calls, id);
	if (!call || call->state == CALL_KEPT || call->state == CALL_FAILING)
		return RAMET_ENOTFOUND;
	if (tenant != 0 && tenant != call->tenant)
		return RAMET_ENOTFOUND;
	cancel(call);
	return 0;
}

void calls_cancel_group(struct calls *calls, const char *group, uint32_t origin)
{
	size_t len = strlen(group);
	for (unsigned i = 0; i < CALLS_BUCKETS; i++)
		list_for_each_safe (call, &calls->buckets[i], struct call, link)
			if (call->origin == origin && strncmp(call->id, group, len) == 0 &&
				call->id[len] == '.')
				(void)calls_cancel(calls, 0, call->id);
}

void calls_forget(struct calls *calls, const char *id)
{
	struct call *call = calls_find(calls, id);
	if (!call)
		return;
	call->done = NULL;
	call->on_event = NULL;
	if (call->state != CALL_KEPT && call->state != CALL_FAILING)
		cancel(call);
}

void calls_taken(struct calls *calls, const char *id, uint64_t weight)
{
	struct call *call = calls_find(calls, id);
	if (!call || !call->on_event)
		return;
	if (call->state == CALL_RUNNING)
		instance_taken(call->servant->inst, weight);
	else if (call->state == CALL_FORWARDED)
		call_tell_taken(call, weight);
}

/* --- what others see --- */

void calls_get_stats(const struct calls *calls, struct calls_stats *ret_stats)
{
	*ret_stats = (struct calls_stats){
		.running = calls->nrunning,
		.queued = calls->nqueued,
		.forwarded = calls->nforwarded,
		.kept = calls->nkept,
		.total = calls->total,
		.failed = calls->failed,
	};
}

void calls_touch(struct calls *calls)
{
	calls->touched = true;
}

void calls_tell_load(const struct calls *calls)
{
	struct members *members = calls->node->members;
	struct member_load load = *members_load(members);
	load.busy = calls->nrunning + calls->nleased;
	load.queued = calls->nqueued;
	members_set_load(members, &load);
}

static bool publish(struct loop_idle *hook)
{
	struct calls *calls = container_of(hook, struct calls, hook);
	struct node *node = calls->node;
	if (!calls->touched || !node->members)
		return false;
	calls->touched = false;
	struct member_load load = {
		.instances = instances_count(node->instances, NULL),
		.busy = calls->nrunning + calls->nleased,
		.queued = calls->nqueued,
		.capacity = node->config.capacity,
		.templates = seeds_templates(node->seeds),
		.seeds = seeds_count(node->seeds),
		.cache_bytes = seeds_cache_bytes(node->seeds),
		.calls = calls->total,
	};
	members_set_load(node->members, &load);
	seeds_publish(node->seeds);
	return false;
}

int calls_create(struct node *node, struct calls **ret_calls, struct ramet_err *err)
{
	struct calls *calls = calloc(1, sizeof(*calls));
	if (!calls)
		return err_nomem(err);
	calls->node = node;
	for (unsigned i = 0; i < CALLS_BUCKETS; i++)
		list_init(&calls->buckets[i]);
	list_init(&calls->peers);
	struct list *lists[] = {&calls->pools, &calls->servants, &calls->idle, &calls->kept,
		&calls->waits, &calls->counters, &calls->failing, &calls->paused, &calls->leases,
		&calls->unfit, &calls->tenants};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_init(lists[i]);
	calls->touched = true;
	loop_idle_add(node->loop, &calls->hook, publish);
	*ret_calls = calls;
	return 0;
}

static void forget_call(struct call *call)
{
	if (call->state == CALL_FORWARDED)
		call_unforward(call, true);
	call_served_drop(call->done, call->user);
	call_free(call);
}

void calls_destroy(struct calls *calls)
{
	if (!calls)
		return;
	loop_idle_remove(&calls->hook);
	loop_timer_cancel(&calls->idle_timer);
	loop_timer_cancel(&calls->kept_timer);
	loop_timer_cancel(&calls->fail_timer);
	loop_timer_cancel(&calls->pause_timer);
	calls_destroy_waits(calls);
	leases_destroy(calls);
	calls_destroy_unfit(calls);
	servants_destroy(calls);
	for (unsigned i = 0; i < CALLS_BUCKETS; i++)
		list_for_each_safe (call, &calls->buckets[i], struct call, link)
			forget_call(call);
	list_for_each_safe (pool, &calls->pools, struct pool, link) {
		instance_stock_clear(&pool->stock);
		app_version_put(pool->app);
		free(pool);
	}
	tenants_destroy_all(calls);
	calls_destroy_peers(calls);
	list_for_each_safe (c, &calls->counters, struct function_counter, link)
		free(c);
	free(calls);
}
