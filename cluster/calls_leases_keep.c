/* Watching over leases: what is late or cancelled and does not end, what is idle, how much was
 * done. By a timer, which is slow where nothing happens: a dead instance is told of by ramet-spawn,
 * and answers wake the client without us. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/node.h"

#include <string.h>

#define TICK_MS 10
#define BUSY_LOOKS \
	20 /* a look at all leases' slots is good for so many times as long as it took \
	    */
#define LOOK_MS 200 /* between two looks whether an instance can still be told something */
#define QUIET_TICK_MS 250 /* nothing was called since the last look */

void leases_count(struct lease *lease)
{
	struct slots_view view;
	slots_look(&lease->slots, &view);
	uint64_t served = view.served - lease->counted;
	uint64_t failed = view.failed - lease->counted_failed;
	if (served == 0 || served > LEASE_SERVED_MAX)
		return; /* or the instance lies */
	calls_count_leased(lease->calls, lease, served, MIN(failed, served));
	lease->counted = view.served;
	lease->counted_failed = view.failed;
}

/* It may end, and the next call begin, until the signal arrives: not for what it is killed for. */
static void kill_for(
	struct lease *lease, unsigned slot, uint32_t generation, int code, const char *why)
{
	const struct servant *servant = lease_servant(lease, slot);
	struct ramet_err err = {0};
	struct instance_info info;
	instance_get_info(servant->inst, &info);
	if (info.state == INSTANCE_ENDING ||
		(!lease->slots.once && !slots_halt(&lease->slots, slot, generation)))
		return;
	err_set(&err, code, "%s %s", lease->function, why);
	instance_fail(servant->inst, &err);
}

static void expire(struct lease *lease, uint64_t now)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct call_error late = {0};
	err_set(&late.err, RAMET_EDEADLINE, "the deadline passed before %s began", lease->function);
	late.node = lease->calls->node->config.node;
	wire_map(&b, 1);
	wire_key(&b, "error");
	call_error_pack(&late, &b);
	if (slots_expire(&lease->slots, now, b.data, b.oom ? 0 : b.len) > 0)
		lease_wake_client(lease);
}

static void watch_slot(struct lease *lease, unsigned slot, uint64_t now)
{
	struct slots_running running;
	struct servant *servant = lease_servant(lease, slot);
	uint32_t bit = 1u << slot;
	if (!servant || servant->state != SERVANT_LEASED ||
		!slots_look_at(&lease->slots, slot, &running))
		return;
	if (now > servant->looked_ns + LOOK_MS * NSEC_PER_MSEC) {
		servant->looked_ns = now;
		instance_look(servant->inst);
	}
	uint64_t grace = MAX((uint64_t)running.span_ms, (uint64_t)CALLS_GRACE_MS) * NSEC_PER_MSEC;
	bool cancelled =
		lease->cancelled & bit && lease->cancel_generation[slot] == running.generation;
	if (running.deadline_ns != 0 && now > running.deadline_ns &&
		now - running.deadline_ns > grace)
		kill_for(lease, slot, running.generation, RAMET_EDEADLINE,
			"did not end at its deadline, and was killed");
	else if (cancelled && now > lease->cancel_ns[slot] + LEASE_CANCEL_MS * NSEC_PER_MSEC)
		kill_for(lease, slot, running.generation, RAMET_ECANCELED,
			"did not end when it was cancelled, and was killed");
	else if (cancelled)
		instance_interrupt(servant->inst);
	else
		lease->cancelled &= ~bit;
}

static void watch_running(struct lease *lease, const struct slots_view *view, uint64_t now)
{
	for (unsigned i = 0; i < SLOTS_COUNT; i++)
		if (view->runs & 1u << i)
			watch_slot(lease, i, now);
}

/* an instance that has lost what it knew of its client's sleep leaves an answer that nobody reads
 */
static void nudge(struct lease *lease, const struct slots_view *view)
{
	if (view->unread > 0 && lease->unread > 0 && view->submitted == lease->submitted &&
		!lease->nudged) {
		lease_wake_client(lease);
		lease->nudged = true;
	}
	if (view->submitted != lease->submitted)
		lease->nudged = false;
	lease->unread = view->unread;
}

/* neither an instance that does not answer nor whoever still writes to the slots keeps the instance
 * from others */
static void end_overdue(struct lease *lease, uint64_t now)
{
	struct ramet_err err = {0};
	if (lease->until_ns == 0 || now < lease->until_ns)
		return;
	err_set(&err, RAMET_ETIMEOUT, "the lease of %s did not end within %d ms", lease->function,
		LEASE_RETURN_MS);
	lease_fail(lease, &err);
}

/* A client that is told to give it back may have as many calls on the way as there are slots, not
 * more: one that goes on would keep the instance for ever. */
static void end_obstinate(struct lease *lease, const struct slots_view *view)
{
	struct ramet_err err = {0};
	if (lease->state != LEASE_CLOSING || lease->once || view->submitted == lease->submitted ||
		++lease->obstinate <= SLOTS_COUNT)
		return;
	err_set(&err, RAMET_EPROTO, "the client of a lease of %s went on calling after its end",
		lease->function);
	lease_fail(lease, &err);
}

/* What waits is begun, or its instance would not do for other calls either: unless the client has
 * put there what the instance cannot find, or has told it to begin nothing. */
static void end_stuck(struct lease *lease, const struct slots_view *view, uint64_t now)
{
	struct ramet_err err = {0};
	if (lease->state != LEASE_CLOSING || lease->once || view->waiting == 0 ||
		view->running > 0 || view->submitted != lease->submitted) {
		lease->stuck_ns = 0;
		return;
	}
	if (lease->stuck_ns == 0)
		lease->stuck_ns = now;
	if (now - lease->stuck_ns < LEASE_RETURN_MS * NSEC_PER_MSEC)
		return;
	err_set(&err, RAMET_EPROTO, "what waits in the lease of %s is not begun", lease->function);
	lease_fail(lease, &err);
}

static bool keep(struct lease *lease, uint64_t now)
{
	struct slots_view view;
	slots_look(&lease->slots, &view);
	bool busy = lease->owner && lease->owner->busy && lease->owner->busy(lease->user, lease);
	bool quiet =
		view.submitted == lease->submitted && view.waiting + view.running == 0 && !busy;
	lease_look_slow(lease, &view);
	leases_count(lease);
	if (view.waiting > 0)
		expire(lease, now);
	if (view.running > 0)
		watch_running(lease, &view, now);
	nudge(lease, &view);
	lease_line_look(lease, &view, quiet);
	end_obstinate(lease, &view);
	end_stuck(lease, &view, now);
	lease->submitted = view.submitted;
	if (!quiet)
		lease->active_ns = now;
	if (lease->state == LEASE_ACTIVE && now > lease->active_ns + LEASE_IDLE_MS * NSEC_PER_MSEC)
		lease_close(lease);
	lease_try_return(lease);
	end_overdue(lease, now);
	return quiet && lease->state == LEASE_ACTIVE;
}

static unsigned count_busy(const struct calls *calls)
{
	unsigned busy = 0;
	list_for_each (lease, &calls->leases, struct lease, link) {
		struct slots_view view;
		if (lease->state == LEASE_ENDED)
			continue;
		slots_look(&lease->slots, &view);
		unsigned calls_there = view.running + view.waiting;
		busy += MIN(calls_there, lease->once ? lease->nservants : 1);
	}
	return busy;
}

/* Looking at slots costs a page each: with many leases it is done the more seldom. */
unsigned leases_busy(struct calls *calls)
{
	uint64_t now = now_ns();
	if (now < calls->leased_until_ns)
		return calls->nleased;
	unsigned busy = count_busy(calls);
	uint64_t after = now_ns();
	calls->leased_until_ns = after + BUSY_LOOKS * (after - now);
	if (busy != calls->nleased)
		calls_touch(calls); /* peers are told of it */
	calls->nleased = busy;
	return busy;
}

static void on_tick(struct loop_timer *timer)
{
	struct calls *calls = container_of(timer, struct calls, lease_timer);
	uint64_t now = now_ns();
	leases_sweep(calls);
	calls->leases_quiet = true;
	list_for_each_safe (lease, &calls->leases, struct lease, link)
		if (lease->state != LEASE_ENDED && !keep(lease, now))
			calls->leases_quiet = false;
	(void)leases_busy(calls);
	leases_spread(calls);
	leases_arm(calls);
	calls_balance(calls); /* instances that had not begun to start have gone unheard */
}

static void arm(struct calls *calls, uint64_t ms)
{
	(void)loop_timer_set(
		calls->node->loop, &calls->lease_timer, now_ns() + ms * NSEC_PER_MSEC, on_tick);
}

void leases_arm(struct calls *calls)
{
	if (!list_empty(&calls->leases))
		arm(calls, calls->leases_quiet ? QUIET_TICK_MS : TICK_MS);
}

void leases_arm_now(struct calls *calls)
{
	arm(calls, 0);
}

int lease_cancel(struct lease *lease, unsigned slot, uint32_t generation)
{
	struct servant *servant = lease_servant(lease, slot);
	if (!servant || servant->state != SERVANT_LEASED ||
		slots_cancel(&lease->slots, slot, generation) < 0)
		return RAMET_ENOTFOUND;
	if (lease->cancelled & 1u << slot && lease->cancel_generation[slot] == generation)
		return 0; /* its time runs */
	lease->cancelled |= 1u << slot;
	lease->cancel_generation[slot] = generation;
	lease->cancel_ns[slot] = now_ns();
	instance_interrupt(servant->inst);
	lease->calls->leases_quiet = false;
	leases_arm(lease->calls);
	return 0;
}
