/* Calls that are sent ahead (RAMET_CALL_BEHIND) and calls that want an instance to themselves
 * (RAMET_CALL_ALONE). */
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <string.h>

#define TRIES 200 /* of what must be quicker than 0.4 ms, on a machine that others use */

static struct call_cluster cluster;

static struct ramet_call_options with(uint32_t flags)
{
	struct ramet_call_options options = ramet_call_options_default();
	options.flags = flags;
	return options;
}

/* what came of sending "nap" ahead; *ret_call on success */
static int send_ahead(const char *ms, struct ramet_call **ret_call)
{
	const struct ramet_call_options options = with(RAMET_CALL_BEHIND);
	return ramet_call_async(cluster.ramet, "nap", ms, strlen(ms), &options, ret_call, NULL);
}

static pid_t pid_of(struct ramet_result *result)
{
	pid_t pid = result ? result->pid : 0;
	ramet_result_free(result);
	return pid;
}

/* "nap" has a lease and is known to be quick */
static pid_t quick_nap(void)
{
	pid_t pid = call_lease(cluster.ramet, "nap");
	for (unsigned i = 0; i < 100; i++)
		pid = pid_of(call_expect(cluster.ramet, "nap", "0", 0));
	return pid;
}

static void test_begin(void)
{
	REQUIRE(call_cluster_open(&cluster, 1));
	CHECK(call_deploy(&cluster, "native", "nap", NULL));
}

static void test_nothing_is_made_for_what_is_sent_ahead(void)
{
	struct ramet_call *call = NULL;
	REQUIRE(cluster.ramet != NULL);
	CHECK_INT(send_ahead("0", &call), RAMET_EAGAIN);
	CHECK(call_lease(cluster.ramet, "nap") > 0);
	struct ramet_call_options options = with(RAMET_CALL_BEHIND);
	options.node = 1;
	CHECK_INT(ramet_call_async(cluster.ramet, "nap", "0", 1, &options, &call, NULL),
		RAMET_EAGAIN);
	CHECK_INT(send_ahead("0", &call), 0);
	struct ramet_result *r = call_end(call, 0);
	CHECK(call_was_leased(r));
	ramet_result_free(r);
}

/* a long call with one behind it, in the same instance; NULL: the machine was too slow for that */
static struct ramet_call *one_behind(struct ramet_call **ret_long)
{
	const struct ramet_call_options options = with(RAMET_CALL_ALONE);
	struct ramet_call *behind = NULL;
	for (unsigned i = 0; i < TRIES && !behind; i++) {
		(void)quick_nap();
		*ret_long = call_begin(cluster.ramet, "nap", "2000", &options);
		if (send_ahead("0", &behind) == 0)
			break;
		CHECK_INT(ramet_cancel(*ret_long, NULL), 0);
		ramet_result_free(call_end(*ret_long, RAMET_ECANCELED));
	}
	return behind;
}

static void test_what_is_stuck_is_given_back(void)
{
	struct ramet_call *slow = NULL;
	struct ramet_call *behind = one_behind(&slow);
	REQUIRE(behind != NULL);
	ramet_result_free(call_end(behind, RAMET_EAGAIN));
	struct ramet_result *r = NULL;
	CHECK_INT(ramet_wait(slow, 0, &r, NULL), RAMET_ETIMEOUT); /* it goes on */
	CHECK_INT(send_ahead("0", &behind), RAMET_EAGAIN);
	ramet_result_free(call_end(slow, 0));
}

static void test_alone(void)
{
	const struct ramet_call_options alone = with(RAMET_CALL_ALONE);
	pid_t first = quick_nap();
	struct ramet_call *slow = call_begin(cluster.ramet, "nap", "2000", &alone);
	pid_t other = pid_of(call_end(call_begin(cluster.ramet, "nap", "0", &alone), 0));
	CHECK(first > 0 && other > 0);
	struct ramet_result *r = NULL;
	CHECK_INT(ramet_wait(slow, 0, &r, NULL), RAMET_ETIMEOUT);
	CHECK(pid_of(call_end(slow, 0)) != other);
}

/* two instances are leased, and idle */
static bool two_leases(void)
{
	const struct ramet_call_options alone = with(RAMET_CALL_ALONE);
	for (unsigned i = 0; i < TRIES; i++) {
		struct ramet_call *call[2];
		bool leased[2];
		for (unsigned k = 0; k < 2; k++)
			call[k] = call_begin(cluster.ramet, "nap", "20", &alone);
		for (unsigned k = 0; k < 2; k++) {
			struct ramet_result *r = call_end(call[k], 0);
			leased[k] = call_was_leased(r);
			ramet_result_free(r);
		}
		if (leased[0] && leased[1])
			return true;
	}
	return false;
}

/* 0: it ran; RAMET_EAGAIN: not */
static int ends_ahead(unsigned instances)
{
	struct ramet_call_options options = with(RAMET_CALL_BEHIND);
	struct ramet_call *call = NULL;
	struct ramet_result *r = NULL;
	options.instances = instances;
	int rc = ramet_call_async(cluster.ramet, "nap", "0", 1, &options, &call, NULL);
	if (rc == 0)
		rc = ramet_wait(call, 30000, &r, NULL);
	ramet_result_free(r);
	ramet_call_free(call);
	return rc;
}

/* an instance that is idle is no room for what is sent ahead when as many are busy as may be */
static void test_no_more_are_busy_than_may_be(void)
{
	const struct ramet_call_options alone = with(RAMET_CALL_ALONE);
	REQUIRE(two_leases());
	struct ramet_call *slow = call_begin(cluster.ramet, "nap", "2000", &alone);
	CHECK_INT(ends_ahead(1), RAMET_EAGAIN);
	CHECK_INT(ends_ahead(2), 0);
	CHECK_INT(ends_ahead(0), 0);
	struct ramet_result *r = NULL;
	CHECK_INT(ramet_wait(slow, 0, &r, NULL), RAMET_ETIMEOUT);
	ramet_result_free(call_end(slow, 0));
}

/* what an instance that dies had not begun never counts as lost */
static void test_the_instance_dies(void)
{
	struct ramet_call *slow = NULL;
	struct ramet_call *behind = one_behind(&slow);
	REQUIRE(behind != NULL);
	CHECK_INT(ramet_cancel(slow, NULL), 0);
	struct ramet_result *r = call_end(slow, RAMET_ECANCELED);
	ramet_result_free(r);
	struct ramet_err err = {0};
	int rc = ramet_wait(behind, 30000, &r, &err);
	CHECK(rc == RAMET_EAGAIN || rc == 0); /* 0: the long one ended within those 10 ms */
	ramet_result_free(r);
	ramet_call_free(behind);
}

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases_ahead", TEST(test_begin), TEST(test_nothing_is_made_for_what_is_sent_ahead),
	TEST(test_what_is_stuck_is_given_back), TEST(test_alone),
	TEST(test_no_more_are_busy_than_may_be), TEST(test_the_instance_dies), TEST(test_end))
