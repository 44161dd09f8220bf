/* Detached calls: their results are kept here for whoever asks for them, once, from any node. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/bus.h"
#include "cluster/client_proto.h"
#include "cluster/node.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct call_wait {
	struct list link; /* calls->waits */
	struct list call_link; /* call->waits, while the call runs here */
	struct calls *calls;
	struct loop_timer timer; /* its timeout; or at once, when the outcome is known already */
	uint64_t bus_id; /* asked another node */
	char id[CALL_ID_MAX];
	call_done_fn *done;
	void *user;
};

static void wait_free(struct call_wait *wait)
{
	loop_timer_cancel(&wait->timer);
	if (wait->bus_id != 0)
		bus_forget(wait->calls->node->bus, wait->bus_id);
	list_remove(&wait->link);
	list_remove(&wait->call_link);
	free(wait);
}

void calls_wait_cancel(struct call_wait *wait)
{
	if (wait)
		wait_free(wait);
}

void calls_destroy_waits(struct calls *calls)
{
	list_for_each_safe (wait, &calls->waits, struct call_wait, link) {
		call_served_drop(wait->done, wait->user);
		wait_free(wait);
	}
}

static void wait_tell(struct call_wait *wait, const struct call_result *result)
{
	call_done_fn *done = wait->done;
	void *user = wait->user;
	wait_free(wait);
	done(user, result);
}

static void wait_tell_err(struct call_wait *wait, const struct ramet_err *err)
{
	struct call_result result = {
		.error.err = *err, .error.node = wait->calls->node->config.node};
	memcpy(result.id, wait->id, sizeof(result.id));
	wait_tell(wait, &result);
}

static void kept_free(struct call *call)
{
	call->calls->nkept--;
	call_free(call);
}

/* Telling may end the client that is told, and with it others of these waits: each is looked for
 * anew, in a list that they leave by themselves. */
static void give_out(struct call *call)
{
	struct call_result result = call->kept;
	struct list waits;
	memset(&call->kept, 0, sizeof(call->kept));
	list_insert(&call->waits, &waits);
	list_remove(&call->waits);
	kept_free(call);
	bool given = false;
	while (!list_empty(&waits)) {
		struct call_wait *wait = list_first(&waits, struct call_wait, call_link);
		list_remove(&wait->call_link);
		if (given) {
			struct ramet_err late = {0};
			err_set(&late, RAMET_ENOTFOUND,
				"the result of call %s was given to another", wait->id);
			wait_tell_err(wait, &late);
		} else {
			given = true;
			wait_tell(wait, &result);
		}
	}
	call_result_fini(&result);
}

/* its time is over, or there are too many */
static void drop_kept(struct call *call)
{
	if (list_empty(&call->waits))
		kept_free(call);
	else
		give_out(call);
}

static void arm_kept(struct calls *calls)
{
	if (list_empty(&calls->kept) || calls->kept_timer.heap_pos != 0)
		return;
	struct call *oldest = list_first(&calls->kept, struct call, queue_link);
	(void)loop_timer_set(
		calls->node->loop, &calls->kept_timer, oldest->hard_ns, calls_expire_kept);
}

void calls_expire_kept(struct loop_timer *timer)
{
	struct calls *calls = container_of(timer, struct calls, kept_timer);
	uint64_t now = now_ns();
	while (!list_empty(&calls->kept)) {
		struct call *oldest = list_first(&calls->kept, struct call, queue_link);
		if (oldest->hard_ns > now)
			break;
		drop_kept(oldest);
	}
	arm_kept(calls);
}

static void give_out_later(struct loop_timer *timer)
{
	struct call_wait *wait = container_of(timer, struct call_wait, timer);
	give_out(calls_find(wait->calls, wait->id));
}

static int keep_output(struct call_result *kept, const struct call_result *result)
{
	*kept = *result;
	kept->storage = NULL;
	kept->output = NULL;
	if (call_error_copy(&kept->error, &result->error) < 0)
		return RAMET_ENOMEM;
	if (result->output_len == 0)
		return 0;
	kept->storage = malloc(result->output_len);
	if (!kept->storage)
		return RAMET_ENOMEM;
	memcpy(kept->storage, result->output, result->output_len);
	kept->output = kept->storage;
	return 0;
}

void call_keep(struct call *call, struct call_result *result)
{
	struct calls *calls = call->calls;
	if (keep_output(&call->kept, result) < 0) {
		err_nomem(&call->kept.error.err);
		call->kept.output_len = 0;
	}
	call->hard_ns = now_ns() + CLIENT_KEEP_MS * NSEC_PER_MSEC;
	list_append(&calls->kept, &call->queue_link);
	calls->nkept++;
	if (calls->nkept > CALLS_MAX_KEPT)
		drop_kept(list_first(&calls->kept, struct call, queue_link));
	if (!list_empty(&call->waits))
		give_out(call);
	arm_kept(calls);
}

static void timed_out(struct loop_timer *timer)
{
	struct call_wait *wait = container_of(timer, struct call_wait, timer);
	struct ramet_err err = {0};
	err_set(&err, RAMET_ETIMEOUT, "call %s goes on; its result is kept when it ends", wait->id);
	wait_tell_err(wait, &err);
}

static void on_peer_answer(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct call_wait *wait = user;
	struct call_result result = {0};
	struct ramet_err err = {0};
	wait->bus_id = 0;
	if (error) {
		wait_tell_err(wait, error);
	} else if (call_result_parse(body, &result, &err) < 0) {
		wait_tell_err(wait, &err);
	} else {
		wait_tell(wait, &result);
		call_result_fini(&result);
	}
}

static int ask_peer(struct call_wait *wait, uint32_t peer, uint32_t tenant, uint64_t timeout_ns,
	struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 3);
	wire_kstr(&b, "id", wait->id);
	wire_kuint(&b, "uid", tenant);
	wire_kuint(&b, "timeout", timeout_ns);
	int rc = wire_end(&b, err);
	if (rc == 0) /* the peer keeps the time; the bus tells when it is dead */
		rc = bus_call(wait->calls->node->bus, peer, "call.wait", &b, 0, on_peer_answer,
			wait, &wait->bus_id, err);
	return rc;
}

/* wait for a call of ours, over or not */
static int wait_here(
	struct call_wait *wait, uint32_t tenant, uint64_t timeout_ns, struct ramet_err *err)
{
	struct calls *calls = wait->calls;
	struct call *call = calls_find(calls, wait->id);
	if (!call || !call->detach || (tenant != 0 && tenant != call->tenant))
		return err_set(err, RAMET_ENOTFOUND,
			"no detached call %s: its result was given out, or is too old", wait->id);
	if (call->state == CALL_KEPT && !list_empty(&call->waits))
		return err_set(err, RAMET_ENOTFOUND, "the result of call %s was given to another",
			wait->id);
	list_append(&call->waits, &wait->call_link);
	if (call->state == CALL_KEPT)
		return loop_timer_set(calls->node->loop, &wait->timer, now_ns(), give_out_later);
	if (timeout_ns != 0)
		return loop_timer_set(
			calls->node->loop, &wait->timer, now_ns() + timeout_ns, timed_out);
	return 0;
}

int calls_wait(struct calls *calls, uint32_t tenant, const char *id, uint64_t timeout_ns,
	call_done_fn *done, void *user, struct call_wait **ret_wait, struct ramet_err *err)
{
	struct call_wait *wait = calloc(1, sizeof(*wait));
	if (!wait)
		return err_nomem(err);
	wait->calls = calls;
	wait->done = done;
	wait->user = user;
	snprintf(wait->id, sizeof(wait->id), "%s", id);
	list_init(&wait->call_link);
	list_append(&calls->waits, &wait->link);
	unsigned long peer = strtoul(id, NULL, 10); /* an id begins with the node that made it */
	int rc = peer == 0 || peer == calls->node->config.node || peer > UINT32_MAX
		? wait_here(wait, tenant, timeout_ns, err)
		: ask_peer(wait, (uint32_t)peer, tenant, timeout_ns, err);
	if (rc < 0) {
		wait_free(wait);
		return rc;
	}
	*ret_wait = wait;
	return 0;
}
