/* Cases: clocks, which run on where the host's were, and calls of the vdso, which differs from one
 * kernel to the next. */
#include "tests/rfork/state.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

static uint64_t ns_of(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * SECOND + (uint64_t)ts->tv_nsec;
}

static uint64_t clock_of(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return ns_of(&ts);
}

static uint64_t mono, boot, real;

static int clocks_setup(void)
{
	mono = clock_of(CLOCK_MONOTONIC);
	boot = clock_of(CLOCK_BOOTTIME);
	real = clock_of(CLOCK_REALTIME);
	return STATE_OK;
}

/* as much has passed by each as by the time of day, which is the same everywhere */
static const char *clocks_check(void)
{
	uint64_t passed = clock_of(CLOCK_REALTIME) - real;
	uint64_t by_mono = clock_of(CLOCK_MONOTONIC) - mono;
	uint64_t by_boot = clock_of(CLOCK_BOOTTIME) - boot;
	STATE_EXPECT(passed < 600 * SECOND);
	STATE_EXPECT(by_mono < passed + SECOND && passed < by_mono + SECOND);
	STATE_EXPECT(by_boot < passed + SECOND && passed < by_boot + SECOND);
	return NULL;
}

/* the kernel and its vdso agree */
static const char *vdso_check(void)
{
	static const clockid_t ids[] = {
		CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct timespec ts;
		uint64_t before = clock_of(ids[i]);
		STATE_EXPECT_INT(syscall(SYS_clock_gettime, ids[i], &ts), 0);
		STATE_EXPECT(before <= ns_of(&ts));
		STATE_EXPECT(ns_of(&ts) <= clock_of(ids[i]));
	}
	return NULL;
}

const struct state_case state_clocks[] = {
	{.name = "clocks run on",
		.setup = clocks_setup,
		.check_child = clocks_check,
		.check_parent = clocks_check,
		.fault = "template.clocks",
		.flags = STATE_FAR},
	{.name = "vdso calls",
		.check_child = vdso_check,
		.check_parent = vdso_check,
		.fault = "capture.vdso"},
	{.name = NULL},
};
