/* Answers: out of the slots into results, or sent again another way. */
#include "libramet/channel_slots.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "libramet/result.h"

#include <string.h>

#define IN_PLACE 65536 /* bytes of an output from which on it is not copied */

void answer_learn(struct function *f, uint64_t run_ns)
{
	uint64_t ns = MAX(run_ns, (uint64_t)1);
	f->mean_ns = f->mean_ns == 0 ? ns : (7 * f->mean_ns + ns) / 8;
}

static void fill_facts(const struct lease *lease, const struct channel_call *call,
	const struct slots_answer *a, struct result_facts *ret)
{
	struct channel_slots *s = ((struct function *)lease->owner)->channel;
	double total = (double)span_ns(call->begin_ns, quick_clock_now_ns(&s->clock)) / 1000;
	double run = (double)a->run_ns / 1000;
	bool once = lease->once;
	bool known = once && a->kind >= RAMET_START_WARM && a->kind <= RAMET_START_COLD;
	*ret = (struct result_facts){
		.function = call->function,
		.version = lease->version,
		.call = call->id,
		.node = lease->node,
		.instance = once ? a->instance : lease->instance,
		.pid = once ? a->pid : lease->pid,
		.rank = call->options.rank,
		.group = call->options.group ? call->options.group : 1,
		.start = known ? (enum ramet_start)a->kind : RAMET_START_WARM,
		.queue_us = total > run ? total - run : 0,
		.run_us = run,
		.total_us = total,
		.binary = a->binary,
		.output = a->status == 0 ? a->data : NULL,
		.output_len = a->status == 0 ? a->len : 0,
	};
}

bool answer_is_behind(const struct channel_call *call)
{
	return call->options.flags & RAMET_CALL_BEHIND;
}

static void give_back(struct channel_call *call)
{
	struct ramet_err err = {0};
	err_set(&err, RAMET_EAGAIN, "a call of %s that was sent ahead did not begin",
		call->function);
	call->lease = NULL;
	place_drop_copy(call);
	call->events->done(call, NULL, &err);
}

/* sends a call again by the socket: it was not begun, or may be run twice */
static int send_again(
	struct channel_slots *s, struct channel_call *call, const void *data, size_t len)
{
	const struct function *f = call->function_record;
	const struct channel_request request = {f->name, data, len, &call->options, true};
	uint64_t passed_ms = span_ns(call->begin_ns, now_ns()) / NSEC_PER_MSEC;
	if (answer_is_behind(call)) {
		give_back(call);
		return 0;
	}
	if (call->options.deadline_ms > 0) /* what is left of it */
		call->options.deadline_ms -=
			(uint32_t)MIN(passed_ms, call->options.deadline_ms - 1ull);
	call->lease = NULL;
	return place_by_socket(s, &request, call, NULL);
}

/* true: it is on its way again */
static bool retry(struct lease *lease, struct channel_call *call, const struct slots_answer *a)
{
	struct channel_slots *s = ((struct function *)lease->owner)->channel;
	size_t len = 0;
	if (a->begun && a->status == 0)
		return false;
	const void *input = slots_input(&lease->slots, call->slot, &len);
	if (!a->begun && input && len <= SLOTS_PAYLOAD_MAX)
		return send_again(s, call, input, len) == 0;
	bool lost = a->status == RAMET_ELOST || a->status == RAMET_EPEER;
	return lost && call->copy && send_again(s, call, call->copy, call->copy_len) == 0;
}

/* *ret_kept: the slot is the result's now */
static struct ramet_result *make_result(struct lease *lease, const struct channel_call *call,
	const struct slots_answer *a, bool *ret_kept, struct ramet_err *err)
{
	struct result_facts facts;
	struct ramet_result *result = NULL;
	fill_facts(lease, call, a, &facts);
	if (a->status != 0) {
		if (result_make_failed(&facts, a->status, a->data, a->len, &result, err) < 0)
			err_prefix(err, "the answer of %s", call->function);
		return result;
	}
	if (a->len > lease->output) {
		err_set(err, RAMET_ELIMIT, "the output of %s has %zu bytes", call->function,
			a->len);
		return NULL;
	}
	if (a->len >= IN_PLACE)
		facts.memory = lease_keep(lease, call->slot);
	result = result_make(&facts);
	if (!result) {
		if (facts.memory)
			facts.memory->release(facts.memory);
		(void)err_nomem(err);
	}
	*ret_kept = facts.memory != NULL;
	return result;
}

/* the instance has written what cannot be: its failure, and no answer */
static struct ramet_result *make_broken(
	struct lease *lease, const struct channel_call *call, struct ramet_err *err)
{
	const struct slots_answer none = {0};
	CLEANUP(buf_fini) struct buf b = {0};
	struct result_facts facts;
	struct ramet_result *result = NULL;
	err_set(err, RAMET_EPROTO, "%s wrote over the memory by which it is called",
		call->function);
	fill_facts(lease, call, &none, &facts);
	facts.output_len = 0;
	wire_map(&b, 1);
	wire_key(&b, "error");
	wire_map(&b, 3);
	wire_kstr(&b, "code", err_name(err->code));
	wire_kstr(&b, "kind", "user");
	wire_kstr(&b, "message", err->msg);
	if (wire_end(&b, NULL) == 0)
		(void)result_make_failed(&facts, err->code, b.data, b.len, &result, NULL);
	return result;
}

static void leave(struct lease *lease)
{
	struct function *f = lease->owner;
	lease->under_way--;
	f->channel->under_way--;
}

/* takes the answer out of a slot that is done or broken */
static void answer(struct lease *lease, unsigned slot)
{
	struct function *f = lease->owner;
	struct channel_call *call = steal_ptr(&lease->calls[slot]);
	struct ramet_result *result = NULL;
	struct ramet_err err;
	struct slots_answer a;
	leave(lease);
	bool again = false;
	bool kept = false;
	err_clear(&err);
	int rc = slots_broken(&lease->slots, slot) ? RAMET_EPROTO
						   : slots_answer(&lease->slots, slot, &a);
	if (rc == 0 && lease->far && a.status == RAMET_EPROTO && a.len == 0)
		rc = RAMET_EPROTO; /* so its node says */
	if (rc < 0) {
		result = make_broken(lease, call, &err);
		lease_break(lease);
	} else {
		again = retry(lease, call, &a);
		if (!again)
			result = make_result(lease, call, &a, &kept, &err);
		if (a.status == 0)
			answer_learn(f, a.run_ns);
	}
	if (!kept)
		slots_release(&lease->slots, slot);
	if (again)
		return;
	call->lease = NULL;
	place_drop_copy(call);
	call->events->done(call, result, &err);
}

/* an answer that nobody waits for */
static void answer_to_nobody(struct lease *lease, unsigned slot)
{
	lease->forgotten &= ~(1u << slot);
	leave(lease);
	slots_release(&lease->slots, slot);
}

void answer_all(struct lease *lease)
{
	for (unsigned i = 0; i < SLOTS_COUNT && lease->under_way > 0; i++) {
		bool forgotten = lease->forgotten & 1u << i;
		if ((!lease->calls[i] && !forgotten) ||
			(!slots_done(&lease->slots, i) && !slots_broken(&lease->slots, i)))
			continue;
		if (forgotten)
			answer_to_nobody(lease, i);
		else
			answer(lease, i);
	}
}

static struct channel_call *newest_behind(const struct lease *lease)
{
	struct channel_call *newest = NULL;
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		struct channel_call *call = lease->calls[i];
		if (call && answer_is_behind(call) && (!newest || newest->number < call->number))
			newest = call;
	}
	return newest;
}

/* The newest first: an instance that takes one meanwhile takes the oldest, and the order is kept.
 */
static void give_back_all(struct lease *lease)
{
	for (;;) {
		struct channel_call *call = newest_behind(lease);
		if (!call || !slots_withdraw(&lease->slots, call->slot))
			return; /* it has begun, and so have those before it */
		lease->calls[call->slot] = NULL;
		leave(lease);
		give_back(call);
	}
}

void answer_give_back(struct channel_slots *s)
{
	list_for_each (lease, &s->leases, struct lease, ready_link)
		if (lease->under_way > 1 && lease_age(lease) >= BEHIND_NS)
			give_back_all(lease);
}

/* submitted while the lease was being returned: nobody has it, nor can anybody take it any more */
static bool rescue(struct lease *lease, struct channel_call *call)
{
	struct channel_slots *s = ((struct function *)lease->owner)->channel;
	size_t len = 0;
	if (!slots_withdraw(&lease->slots, call->slot))
		return false;
	const void *input = slots_input(&lease->slots, call->slot, &len);
	return input && send_again(s, call, input, len) == 0;
}

void answer_lose_all(struct lease *lease, const struct ramet_err *err)
{
	struct ramet_err lost = {0};
	err_set(&lost, RAMET_ELOST, "the lease ended without an answer");
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		struct ramet_result *result = NULL;
		struct ramet_err broken = {0};
		struct channel_call *call = steal_ptr(&lease->calls[i]);
		if (lease->forgotten & 1u << i)
			answer_to_nobody(lease, i);
		if (!call)
			continue;
		leave(lease);
		if (!err && rescue(lease, call))
			continue;
		if (!err && slots_broken(&lease->slots, i))
			result = make_broken(lease, call, &broken);
		call->lease = NULL;
		place_drop_copy(call);
		call->events->done(call, result, err ? err : broken.code ? &broken : &lost);
	}
}
