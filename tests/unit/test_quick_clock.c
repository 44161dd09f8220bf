/* base/quick_clock: what it learns and what it does not believe; and that it says what the clock
 * does. */
#include "base/quick_clock.h"
#include "tests/lib/suite.h"

#define ONE (1ull << 32) /* a nanosecond a tick */
#define NEAR_NS 100000u

static void test_a_rate_is_learned(void)
{
	struct quick_clock c = {0};
	quick_clock_compare(&c, 5000000000ull, 700, 720);
	CHECK_INT(c.good, 0);
	quick_clock_compare(&c, 5000000000ull + 500000, 500700, 500720); /* too soon */
	CHECK_INT(c.good, 0);
	CHECK_INT(c.ticks, 720);
	quick_clock_compare(&c, 5000000000ull + 2000000, 2000700, 2000720);
	CHECK_INT(c.rate, ONE);
	CHECK_INT(c.good, QUICK_CLOCK_GOOD_NS);
	quick_clock_compare(&c, 5000000000ull + 12000000, 22000700, 22000720); /* twice as fast */
	CHECK_INT(c.rate, ONE / 2);
	CHECK_INT(c.good, 2 * QUICK_CLOCK_GOOD_NS);
}

static void test_what_is_not_believed(void)
{
	static const struct quick_clock known = {
		.ns = 1000000000ull, .ticks = 1000, .good = QUICK_CLOCK_GOOD_NS, .rate = ONE};
	struct quick_clock c = known;
	/* interrupted between the counter and the clock: the next one has that error, too */
	quick_clock_compare(&c, 1010000000ull, 9000000, 10001000);
	CHECK_INT(c.good, 0);
	quick_clock_compare(&c, 1012000000ull, 12000980, 12001000);
	CHECK_INT(c.good, 0);
	quick_clock_compare(&c, 1014000000ull, 14000980, 14001000);
	CHECK_INT(c.rate, ONE);
	c = known; /* too long ago */
	quick_clock_compare(&c, 3000000000ull, 2000000980, 2000001000);
	CHECK_INT(c.good, 0);
	c = known; /* the counter has gone back */
	quick_clock_compare(&c, 1010000000ull, 480, 500);
	CHECK_INT(c.good, 0);
	CHECK_INT(c.ticks, 500);
}

static void test_it_says_what_the_clock_does(void)
{
	struct quick_clock c = {0};
	uint64_t end = now_ns() + 60 * NSEC_PER_MSEC;
	uint64_t before, after;
	unsigned wrong = 0;
	do {
		before = now_ns();
		uint64_t now = quick_clock_now_ns(&c);
		after = now_ns();
		wrong += now + NEAR_NS < before || now > after + NEAR_NS;
	} while (after < end);
	CHECK_INT(wrong, 0);
#ifdef QUICK_CLOCK_TICKS
	CHECK(c.ticks != 0);
#endif
}

static void test_spans_do_not_go_back(void)
{
	CHECK_INT(span_ns(5, 7), 2);
	CHECK_INT(span_ns(7, 5), 0);
}

SUITE_MAIN("quick_clock", TEST(test_a_rate_is_learned), TEST(test_what_is_not_believed),
	TEST(test_it_says_what_the_clock_does), TEST(test_spans_do_not_go_back))
