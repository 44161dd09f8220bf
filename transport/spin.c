/* Polling instead of sleeping while somebody waits for an answer that is nearly there. */
#include "base/clock.h"
#include "transport/core.h"
#include "transport/provider.h"
#include "transport/transport.h"

#include <sched.h>

#define POLLS_PER_TURN 32 /* then the loop looks for other work */

static void count(atomic_uint_fast64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
		memory_order_relaxed);
}

static void stop(struct transport *t)
{
	if (t->spin_until_ns == 0)
		return;
	t->spin_until_ns = 0;
	count(&t->spins.ended);
}

/* who spins on the only CPU keeps away those it waits for */
void transport_spin_open(struct transport *t)
{
	cpu_set_t cpus;
	bool alone = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2;
	t->may_spin = t->ops->spins && !alone;
}

void transport_spin_begin(struct transport *t)
{
	t->spinners++;
	if (!t->may_spin)
		return;
	if (t->spin_until_ns == 0) {
		count(&t->spins.begun);
		loop_idle_due(t->loop);
	}
	t->spin_until_ns = now_ns() + TRANSPORT_SPIN_NS;
}

void transport_spin_end(struct transport *t)
{
	if (--t->spinners == 0)
		stop(t);
}

bool transport_spin_turn(struct transport *t)
{
	for (unsigned i = 0; i < POLLS_PER_TURN && t->spin_until_ns > 0; i++) {
		loop_timer_cancel(&t->kick);
		count(&t->spins.polls);
		if (transport_poll(t) > 0)
			break; /* there may be more to do */
	}
	if (t->spin_until_ns > 0 && now_ns() >= t->spin_until_ns)
		stop(t);
	return t->spin_until_ns > 0;
}

void transport_spins(const struct transport *t, struct transport_spins *ret)
{
	*ret = (struct transport_spins){
		.begun = atomic_load_explicit(&t->spins.begun, memory_order_relaxed),
		.ended = atomic_load_explicit(&t->spins.ended, memory_order_relaxed),
		.polls = atomic_load_explicit(&t->spins.polls, memory_order_relaxed),
	};
}
