/* Looking again before sleeping. Where the other side runs on another CPU, for some microseconds,
 * as long as that has paid lately. Where it is on the same CPU and awake, by letting it run while
 * the client does not wait for each call: each turn does some of them, without a sleep and being
 * woken from it. Else a sleep is better, since whose turn it is after a sched_yield() depends on
 * what both have run before; also where others run there, too (then a turn takes long, and who is
 * woken comes before them). Header only, since client and instance are linked from different
 * libraries. */
#ifndef RUNTIME_SLOTS_SPIN_H
#define RUNTIME_SLOTS_SPIN_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define SPIN_NS \
	20000 /* at most: two that spin on one CPU would wait for each other's time slice \
	       */
#define SPIN_MISSES 4 /* in a row, after which it is tried only now and then */
#define SPIN_RETRY 32
#define SPIN_LOOKS 64 /* between two looks at the clock */

#define SPIN_YIELDS 2
#define SPIN_TURN_NS \
	500000 /* the other side alone needs less, or had a long call; somebody else takes a slice \
		*/
#define SPIN_PAUSE 512 /* waits without letting others run after a turn that took longer */

struct spin {
	uint32_t misses, waits;
	uint32_t pause; /* waits for which not to yield */
	bool yield; /* the other side is on this CPU */
};

static inline void spin_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline uint64_t spin_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* spin_worth - whether to look again this time; peer_cpu: where the other side was last; awake: it
 * may be about to do something; goes_on: the client
 * does not wait for one call alone */
static inline bool spin_worth(struct spin *spin, uint32_t peer_cpu, bool awake, bool goes_on)
{
	spin->waits++;
	spin->yield = (uint32_t)sched_getcpu() == peer_cpu;
	if (!spin->yield)
		return spin->misses < SPIN_MISSES || spin->waits % SPIN_RETRY == 0;
	spin->pause -= spin->pause > 0;
	return awake && goes_on && spin->pause == 0;
}

static inline bool spin_yield(struct spin *spin, bool (*ready)(const void *arg), const void *arg)
{
	uint64_t begin = spin_now_ns();
	bool found = false;
	for (unsigned i = 0; i < SPIN_YIELDS && !found; i++) {
		sched_yield();
		found = ready(arg);
	}
	if (spin_now_ns() - begin > SPIN_TURN_NS)
		spin->pause = SPIN_PAUSE;
	return found;
}

/* spin_until - whether ready(arg) became true within the time */
static inline bool spin_until(struct spin *spin, bool (*ready)(const void *arg), const void *arg)
{
	if (spin->yield)
		return spin_yield(spin, ready, arg);
	bool over = false;
	uint64_t end = 0; /* the clock costs as much as many looks: not before the first of them */
	do {
		for (unsigned i = 0; i < SPIN_LOOKS; i++) {
			if (ready(arg)) {
				spin->misses = 0;
				return true;
			}
			spin_relax();
		}
		uint64_t now = spin_now_ns();
		end = end ? end : now + SPIN_NS;
		over = now >= end;
	} while (!over);
	spin->misses++;
	return false;
}

#endif
