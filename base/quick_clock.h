/* CLOCK_MONOTONIC by the processor's counter, for what reads it several times in less than a
 * microsecond: it takes a third of what the vDSO does, which waits for all instructions before. The
 * counter is believed for 10 ms at a time, then compared with the clock again: so what its ticks
 * are need not be known, and may change (a virtual machine that moves). What it says is at most
 * some microseconds from the clock, and may go back where it is compared. Where there is no such
 * counter it is the clock.
 *
 * One thread at a time. A process that is forked to another machine begins with a zeroed one there.
 */
#ifndef BASE_QUICK_CLOCK_H
#define BASE_QUICK_CLOCK_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define QUICK_CLOCK_GOOD_NS (10 * NSEC_PER_MSEC) /* between two comparisons */
#define QUICK_CLOCK_LEARN_NS NSEC_PER_MSEC /* at least, for a rate to be learned */
#define QUICK_CLOCK_EXACT 1024 /* a rate is known when it is to one part of so many */

struct quick_clock { /* zeroed: nothing is known yet */
	uint64_t ns, ticks; /* at the last comparison */
	uint64_t unsure; /* ticks that passed during it: it may have been interrupted */
	uint64_t good; /* ticks for which it is believed; 0: the rate is not known */
	uint64_t rate; /* nanoseconds of a tick, in 1/2^32 */
};

#if defined(__x86_64__)
#define QUICK_CLOCK_TICKS __builtin_ia32_rdtsc()
#elif defined(__aarch64__)
static inline uint64_t quick_clock_ticks(void)
{
	uint64_t ticks;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
}
#define QUICK_CLOCK_TICKS quick_clock_ticks()
#endif

/* quick_clock_compare - the clock said ns after `before` ticks and before `after` */
static inline void quick_clock_compare(
	struct quick_clock *clock, uint64_t ns, uint64_t before, uint64_t after)
{
	uint64_t passed_ns = ns - clock->ns;
	uint64_t passed = after - clock->ticks;
	uint64_t unsure = after - before;
	if (clock->ticks != 0 && passed_ns < QUICK_CLOCK_LEARN_NS)
		return;
	bool known = clock->ticks != 0 && passed_ns < NSEC_PER_SEC && passed < 1ull << 40 &&
		clock->unsure + unsure < passed / QUICK_CLOCK_EXACT;
	clock->rate = known ? (passed_ns << 32) / passed : 0;
	clock->good = known ? (QUICK_CLOCK_GOOD_NS << 32) / clock->rate : 0;
	clock->unsure = unsure;
	clock->ns = ns;
	clock->ticks = after;
}

/* quick_clock_now_ns - what now_ns() would say, nearly */
static inline uint64_t quick_clock_now_ns(struct quick_clock *clock)
{
#ifdef QUICK_CLOCK_TICKS
	uint64_t ticks = QUICK_CLOCK_TICKS;
	uint64_t passed = ticks - clock->ticks;
	if (passed < clock->good)
		return clock->ns + (passed * clock->rate >> 32);
	uint64_t ns = now_ns();
	quick_clock_compare(clock, ns, ticks, QUICK_CLOCK_TICKS);
	return ns;
#else
	return now_ns();
#endif
}

#endif
