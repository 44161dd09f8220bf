/* Where a call goes: functions and their leases, what waits for one, and what goes by the socket.
 */
#include "libramet/channel_slots.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "libramet/lease_far.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORTH_WAITING_NS \
	200000 /* about what a start costs: longer than that nobody queues behind others */
#define STUCK_NS (2ull * WORTH_WAITING_NS)
#define STUCK_FAR_NS (10ull * WORTH_WAITING_NS) /* on another node: answers take their time */
#define MAX_LEASES 64 /* of one function */
#define ASK_AGAIN_NS (5 * NSEC_PER_MSEC) /* after a refusal; doubled up to the next one */
#define ASK_AGAIN_MAX_NS NSEC_PER_SEC

/* --- functions --- */

static struct function *find(const struct channel_slots *s, const char *name, uint32_t node)
{
	const struct list *bucket = &s->functions[hash64(name, strlen(name)) % BUCKETS];
	list_for_each (f, bucket, struct function, link)
		if (f->node == node && strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static struct function *find_or_add(struct channel_slots *s, const char *name, uint32_t node)
{
	struct function *f = s->last;
	if (f && f->node == node && strcmp(f->name, name) == 0)
		return f;
	f = find(s, name, node);
	s->last = f;
	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->channel = s;
	f->node = node;
	f->pause_ns = ASK_AGAIN_NS;
	snprintf(f->name, sizeof(f->name), "%s", name);
	list_init(&f->leases);
	list_init(&f->held);
	list_append(&s->functions[hash64(name, strlen(name)) % BUCKETS], &f->link);
	return f;
}

/* --- inputs that are kept --- */

static int keep_copy(
	struct channel_call *call, const struct channel_request *request, struct ramet_err *err)
{
	if (call->copy)
		return 0;
	call->copy = malloc(request->len ? request->len : 1);
	if (!call->copy)
		return err_nomem(err);
	if (request->len > 0)
		memcpy(call->copy, request->data, request->len);
	call->copy_len = request->len;
	return 0;
}

void place_drop_copy(struct channel_call *call)
{
	free(steal_ptr(&call->copy));
}

/* --- where a call goes --- */

static bool through_slots(const struct channel_request *request)
{
	return request->len <= SLOTS_PAYLOAD_MAX &&
		!(request->options->flags & (RAMET_CALL_DETACH | RAMET_CALL_EVENTS));
}

/* quick enough to wait behind what is under way there */
static bool worth_waiting(const struct function *f, const struct lease *lease)
{
	if (lease->once) /* nobody is in front; at most the next of the line is late */
		return true;
	uint64_t stuck_ns = lease->far ? STUCK_FAR_NS : STUCK_NS;
	if (lease_age(lease) > stuck_ns) /* this one is not as quick as the others */
		return false;
	return f->mean_ns != 0 && lease->under_way * f->mean_ns < WORTH_WAITING_NS;
}

/* The same for what is sent ahead, which has nowhere else to go, and comes back if this was wrong.
 * So one call that took long, for somebody else needed its CPU, does not end it. What has gone to
 * another node does not come back. */
static bool worth_going_ahead(const struct function *f, const struct lease *lease)
{
	if (lease->far)
		return false;
	return lease->once ||
		(lease_age(lease) < BEHIND_NS && f->mean_ns != 0 &&
			lease->under_way * f->mean_ns < BEHIND_NS / 2);
}

/* whether a call may wait behind others there */
static bool may_wait(const struct function *f, const struct lease *lease, uint32_t flags)
{
	if (flags & RAMET_CALL_BEHIND)
		return worth_going_ahead(f, lease);
	if (flags & RAMET_CALL_ALONE && !lease->once)
		return false;
	return worth_waiting(f, lease);
}

/* whether a call may be the first in one more instance */
static bool may_begin(const struct function *f, const struct ramet_call_options *options)
{
	if (!(options->flags & RAMET_CALL_BEHIND) || options->instances == 0)
		return true;
	unsigned busy = f->by_socket;
	list_for_each (lease, &f->leases, struct lease, link)
		busy += lease->under_way > 0;
	return busy < options->instances;
}

/* the lease for a call: the one with the fewest under way, if there are any only where it may wait;
 * NULL: none */
static struct lease *best_lease(const struct function *f, const struct ramet_call_options *options)
{
	struct lease *best = NULL;
	bool idle = may_begin(f, options);
	list_for_each (lease, &f->leases, struct lease, link) {
		if (!lease_usable(lease) || (best && best->under_way <= lease->under_way))
			continue;
		if (lease->under_way == 0 ? idle : may_wait(f, lease, options->flags))
			best = lease;
	}
	return best;
}

static uint64_t deadline_of(
	const struct lease *lease, const struct channel_call *call, uint32_t *ret_span_ms)
{
	uint32_t ms = call->options.deadline_ms ? call->options.deadline_ms : lease->deadline_ms;
	*ret_span_ms = ms;
	return ms ? call->begin_ns + (uint64_t)lease->offset_ns + ms * NSEC_PER_MSEC : 0;
}

static int place(struct channel_slots *s, struct lease *lease,
	const struct channel_request *request, struct channel_call *call, struct ramet_err *err)
{
	bool wake = false;
	struct slots_request r = {
		.data = request->data,
		.len = request->len,
		.binary = call->options.flags & RAMET_CALL_BINARY,
		.rank = call->options.rank,
		.size = call->options.group ? call->options.group : 1,
		.number = ++s->number,
		.goes_on = request->goes_on,
	};
	r.deadline_ns = deadline_of(lease, call, &r.span_ms);
	int rc = lease->idempotent ? keep_copy(call, request, err) : 0;
	if (s->asleep) /* another thread, which did not wait for this lease */
		slots_client_sleeps(&lease->slots);
	if (rc == 0)
		rc = slots_submit(&lease->slots, &r, &call->slot, &wake);
	if (rc < 0)
		return rc;
	call->lease = lease;
	call->number = r.number;
	lease->calls[call->slot] = call;
	lease->under_way++;
	s->under_way++;
	slots_make_id(lease->node, lease->id, r.number, call->id);
	call->events->accepted(call, call->id);
	if (wake)
		lease_wake(lease);
	return 0;
}

/* RAMET_ECLOSED: no lease takes it */
static int try_leases(struct channel_slots *s, struct function *f,
	const struct channel_request *request, struct channel_call *call, struct ramet_err *err)
{
	list_for_each (lease, &f->leases, struct lease, link) {
		lease_collect(lease);
		answer_all(lease); /* what is done is not under way any more */
	}
	struct lease *lease = best_lease(f, &call->options);
	if (!lease)
		return RAMET_ECLOSED;
	return place(s, lease, request, call, err);
}

/* --- by the socket --- */

static bool ask(struct channel_slots *s, struct function *f);

static void on_socket_accepted(struct channel_call *call, const char *id)
{
	call->owner->accepted(call, id);
}

static void on_socket_event(struct channel_call *call, struct message *message)
{
	call->owner->event(call, message);
}

void place_leave_socket(struct channel_call *call)
{
	struct function *f = steal_ptr(&call->function_record);
	if (!call->owner)
		return;
	call->events = steal_ptr(&call->owner);
	place_drop_copy(call);
	if (f)
		f->by_socket--;
}

static void on_socket_done(
	struct channel_call *call, struct ramet_result *result, const struct ramet_err *err)
{
	struct function *f = call->function_record;
	place_leave_socket(call);
	if (f && result && !result->failure) {
		answer_learn(f, (uint64_t)(result->run_us * 1000));
		/* who counts instances sends calls ahead, which go to none on another node */
		if (!(call->options.flags & RAMET_CALL_ALONE))
			f->near = result->node;
		if (f->calls > 1) /* its instance is likely to be idle now */
			(void)ask(f->channel, f);
	}
	call->events->done(call, result, err);
}

static const struct channel_events socket_events = {
	.accepted = on_socket_accepted, .event = on_socket_event, .done = on_socket_done};

int place_by_socket(struct channel_slots *s, const struct channel_request *request,
	struct channel_call *call, struct ramet_err *err)
{
	struct function *f = call->function_record;
	call->owner = call->events;
	call->events = &socket_events;
	if (f)
		f->by_socket++;
	int rc = s->socket->ops->submit(s->socket, request, call, err);
	if (rc < 0)
		place_leave_socket(call);
	return rc;
}

/* the lease is there, or is not to be had */
static void release_held(struct channel_slots *s, struct function *f)
{
	while (!list_empty(&f->held)) {
		struct channel_call *call = list_first(&f->held, struct channel_call, held);
		const struct channel_request request = {
			f->name, call->copy, call->copy_len, &call->options, true};
		struct ramet_err err = {0};
		list_remove(&call->held);
		int rc = try_leases(s, f, &request, call, &err);
		if (rc < 0)
			rc = place_by_socket(s, &request, call, &err);
		if (!call->lease || !call->lease->idempotent)
			place_drop_copy(call);
		if (rc < 0)
			call->events->done(call, NULL, &err);
	}
}

/* --- leases coming and going --- */

static void on_ready(struct lease *lease)
{
	struct function *f = lease->owner;
	struct channel_slots *s = f->channel;
	f->asking = false;
	f->pause_ns = ASK_AGAIN_NS;
	list_append(&s->leases, &lease->ready_link);
	if (lease->far && lease_far_watch(lease->far, s->epoll_fds) < 0)
		lease_far_hang_up(lease->far);
	if (s->armed)
		slots_client_sleeps(&lease->slots);
	release_held(s, f);
}

static void on_look(struct lease *lease)
{
	answer_all(lease);
}

static void on_over(struct lease *lease, const struct ramet_err *err)
{
	struct function *f = lease->owner;
	struct channel_slots *s = f->channel;
	if (lease->ready) {
		if (!err ||
			err->code !=
				RAMET_ECLOSED) /* then rametd may have answered that we have gone */
			answer_all(lease);
		answer_lose_all(lease, err);
	} else {
		f->asking = false;
		f->ask_ns = now_ns() + f->pause_ns;
		f->pause_ns = MIN(f->pause_ns * 2, ASK_AGAIN_MAX_NS);
	}
	f->nleases--;
	list_remove(&lease->link);
	list_remove(&lease->ready_link);
	list_append(&s->over, &lease->link); /* freed when nobody looks at its memory any more */
	release_held(s, f);
}

static const struct lease_events lease_events = {
	.ready = on_ready, .look = on_look, .over = on_over};

/* whether an answer is to come */
static bool ask(struct channel_slots *s, struct function *f)
{
	struct lease *lease = NULL;
	if (f->asking)
		return true;
	if (f->nleases >= MAX_LEASES || (f->ask_ns != 0 && now_ns() < f->ask_ns))
		return false;
	const struct lease_wish wish = {
		.function = f->name, .node = f->node, .near = f->near, .client_fd = s->fd};
	if (lease_ask(s->conn, &wish, &lease_events, f, &lease, NULL) < 0)
		return false; /* the socket will tell */
	f->asking = true;
	f->nleases++;
	list_append(&f->leases, &lease->link);
	return true;
}

/* --- submitting --- */

/* A second call, while the first lease is asked for, would find that lease's instance gone: it
 * waits for the answer. */
static int hold(struct function *f, const struct channel_request *request,
	struct channel_call *call, struct ramet_err *err)
{
	int rc = keep_copy(call, request, err);
	if (rc == 0)
		list_append(&f->held, &call->held);
	return rc;
}

int place_submit(struct channel *channel, const struct channel_request *request,
	struct channel_call *call, struct ramet_err *err)
{
	struct channel_slots *s = slots_of(channel);
	struct function *f = through_slots(request)
		? find_or_add(s, request->function, request->options->node)
		: NULL;
	call->lease = NULL;
	call->copy = NULL;
	call->owner = NULL;
	call->function_record = f;
	call->options = *request->options;
	call->begin_ns = quick_clock_now_ns(&s->clock);
	list_init(&call->held);
	if (!f)
		return answer_is_behind(call) ? RAMET_EAGAIN
					      : place_by_socket(s, request, call, err);
	memcpy(call->function, f->name, sizeof(call->function));
	f->calls++;
	int rc = try_leases(s, f, request, call, err);
	if (rc == RAMET_ECLOSED && answer_is_behind(call))
		rc = RAMET_EAGAIN;
	if (rc == RAMET_ECLOSED && f->calls > 1 && f->by_socket == 0 && ask(s, f) &&
		list_empty(&f->held))
		rc = hold(f, request, call, err);
	if (rc != RAMET_ECLOSED && rc < 0)
		place_drop_copy(call);
	return rc == RAMET_ECLOSED ? place_by_socket(s, request, call, err) : rc;
}

bool place_room(const struct channel *channel, const struct channel_request *request)
{
	const struct channel_slots *s = container_of(channel, const struct channel_slots, base);
	const struct function *f =
		through_slots(request) ? find(s, request->function, request->options->node) : NULL;
	const struct lease *lease = f ? best_lease(f, request->options) : NULL;
	if (lease)
		return lease->under_way + lease->in_place < SLOTS_COUNT ||
			atomic_load(&lease->released) != 0;
	return s->socket->ops->room(s->socket, request);
}
