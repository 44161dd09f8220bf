/* Polling instead of sleeping while somebody waits for an answer that is nearly there, and staying
 * awake for a moment after it, since who asks one after the other is about to ask again: the CPU
 * of a loop that sleeps takes longer to wake up than that. Whether it is so is learnt from what
 * came before: a wish within that moment is worth two that were not. */
#include "base/clock.h"
#include "transport/core.h"
#include "transport/provider.h"
#include "transport/transport.h"

#include <sched.h>

#define POLLS_PER_TURN 32 /* then the loop looks for other work */
#define LINGER_ANSWERS 4 /* so many times as long as the last answer took */
#define CREDIT_MAX 16
#define CREDIT_GAIN 2 /* for who asks again within the moment; 1 is lost where nobody did */

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

static void linger_learn(struct transport_linger *l, uint64_t now)
{
	if (now < l->moment_ns)
		l->credit = MIN(l->credit + CREDIT_GAIN, CREDIT_MAX);
	else if (l->credit > 0)
		l->credit--;
	l->until_ns = 0;
	l->begin_ns = now;
}

static void linger_begin(struct transport *t)
{
	struct transport_linger *l = &t->linger;
	uint64_t now = now_ns();
	l->moment_ns = now + MIN((now - l->begin_ns) * LINGER_ANSWERS, TRANSPORT_SPIN_NS);
	if (l->credit == 0)
		return;
	l->until_ns = l->moment_ns;
	count(&t->spins.lingers);
	loop_idle_due(t->loop);
}

void transport_spin_begin(struct transport *t)
{
	t->spinners++;
	if (!t->may_spin)
		return;
	uint64_t now = now_ns();
	if (t->spin_until_ns == 0) {
		count(&t->spins.begun);
		loop_idle_due(t->loop);
	}
	if (t->spinners - t->given_up == 1)
		linger_learn(&t->linger, now);
	t->spin_until_ns = now + TRANSPORT_SPIN_NS;
}

/* Which of them it is does not matter: as many as were given up go on without being polled for. */
void transport_spin_end(struct transport *t)
{
	if (--t->spinners > t->given_up)
		return;
	t->given_up = t->spinners;
	if (t->spin_until_ns > 0)
		linger_begin(t);
	stop(t);
}

void transport_spin_set(struct transport *t, bool *io_spins, bool spins)
{
	if (*io_spins == spins)
		return;
	*io_spins = spins;
	if (spins)
		transport_spin_begin(t);
	else
		transport_spin_end(t);
}

bool transport_lingers(struct transport *t)
{
	if (t->linger.until_ns != 0 && now_ns() >= t->linger.until_ns)
		t->linger.until_ns = 0;
	return t->linger.until_ns != 0;
}

bool transport_spin_turn(struct transport *t)
{
	for (unsigned i = 0; i < POLLS_PER_TURN && t->spin_until_ns > 0; i++) {
		loop_timer_cancel(&t->kick);
		count(&t->spins.polls);
		if (transport_poll(t) > 0)
			break; /* there may be more to do */
	}
	if (t->spin_until_ns > 0 && now_ns() >= t->spin_until_ns) {
		t->given_up = t->spinners;
		stop(t);
	}
	return t->spin_until_ns > 0;
}

void transport_spins(const struct transport *t, struct transport_spins *ret)
{
	*ret = (struct transport_spins){
		.begun = atomic_load_explicit(&t->spins.begun, memory_order_relaxed),
		.ended = atomic_load_explicit(&t->spins.ended, memory_order_relaxed),
		.polls = atomic_load_explicit(&t->spins.polls, memory_order_relaxed),
		.lingers = atomic_load_explicit(&t->spins.lingers, memory_order_relaxed),
	};
}
