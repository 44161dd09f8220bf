/* Which peers count as dead, by what was heard of them and when. */
#include "base/clock.h"
#include "tests/lib/suite.h"
#include "transport/pulse.h"

#define TIMEOUT (100 * NSEC_PER_MSEC)
#define BEGIN (1000 * NSEC_PER_MSEC)

static struct transport transport = {.options = {.handshake_ms = 2000}};
static struct transport_conn conn = {.transport = &transport, .state = CONN_OPEN};

static struct pulse begun(void)
{
	struct pulse pulse = {.rx_ns = BEGIN, .tx_ns = BEGIN, .answered_ns = BEGIN};
	pulse_agree(&pulse, TIMEOUT / NSEC_PER_MSEC);
	return pulse;
}

static int verdict(const struct pulse *pulse, uint64_t now)
{
	return pulse_check(pulse, &conn, true, now, NULL);
}

static void test_silence_is_death(void)
{
	struct pulse pulse = begun();
	CHECK_INT(verdict(&pulse, BEGIN), 0);
	CHECK(!pulse_silent(&pulse, BEGIN + TIMEOUT - 1));
	CHECK_INT(verdict(&pulse, BEGIN + TIMEOUT - 1), 0);
	CHECK(pulse_silent(&pulse, BEGIN + TIMEOUT));
	CHECK_INT(verdict(&pulse, BEGIN + TIMEOUT), RAMET_EPEER);
	pulse.rx_ns = BEGIN + 50;
	CHECK_INT(verdict(&pulse, BEGIN + 50 + TIMEOUT - 1), 0);
	CHECK_INT(verdict(&pulse, BEGIN + 50 + TIMEOUT), RAMET_EPEER);
}

static void test_who_acknowledges_has_more_time(void)
{
	struct pulse pulse = begun();
	uint64_t end = BEGIN + PULSE_PATIENCE * TIMEOUT;
	for (uint64_t now = BEGIN; now < end; now += TIMEOUT / 8) {
		pulse_answered(&pulse, now);
		CHECK_INT(verdict(&pulse, now), 0);
	}
	struct ramet_err err = {0};
	CHECK_INT(pulse_check(&pulse, &conn, true, end, &err), RAMET_EPEER);
	CHECK_STR(err.msg, "no sign of life for 300 ms, but of its machine");
	pulse.rx_ns = end; /* it was slow, not dead */
	CHECK_INT(verdict(&pulse, end), 0);
	CHECK_INT(verdict(&pulse, end + TIMEOUT), RAMET_EPEER);
}

static void test_an_old_answer_takes_nothing_back(void)
{
	struct pulse pulse = begun();
	pulse_answered(&pulse, BEGIN + TIMEOUT - 10);
	pulse_answered(&pulse, BEGIN + 10);
	CHECK_INT(verdict(&pulse, BEGIN + 2 * TIMEOUT - 11), 0);
	CHECK_INT(verdict(&pulse, BEGIN + 2 * TIMEOUT - 10), RAMET_EPEER);
}

static void test_our_own_standstill_is_nobodys_silence(void)
{
	struct pulse pulse = begun();
	pulse_excuse(&pulse, 5 * TIMEOUT, BEGIN + 5 * TIMEOUT + 50);
	CHECK_INT(verdict(&pulse, BEGIN + 6 * TIMEOUT - 1), 0);
	CHECK_INT(verdict(&pulse, BEGIN + 6 * TIMEOUT), RAMET_EPEER);
	/* what came meanwhile is not later than now for that */
	uint64_t now = BEGIN + 10 * TIMEOUT;
	pulse.rx_ns = now - 20;
	pulse_excuse(&pulse, 5 * TIMEOUT, now);
	CHECK_INT(pulse.rx_ns, now);
	CHECK_INT(verdict(&pulse, now + TIMEOUT), RAMET_EPEER);
}

SUITE_MAIN("pulse", TEST(test_silence_is_death), TEST(test_who_acknowledges_has_more_time),
	TEST(test_an_old_answer_takes_nothing_back),
	TEST(test_our_own_standstill_is_nobodys_silence))
