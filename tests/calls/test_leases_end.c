/* Calls through leases that end otherwise than by returning: errors, deadlines, cancelling,
 * crashes, functions that mean harm. Each has its own error, and the next call is served. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE_NS 300000 /* as in libramet/channel_slots_place.c, and somewhat less */
#define QUICK_US 100
#define SETTLED 64 /* quick calls, after which a mean of a second is one of 200 us */
#define BUSY_MS 3000
#define GRACE_NS (100 * NSEC_PER_MSEC) /* what a machine takes longer for is killed */
#define SOON_NS (5 * NSEC_PER_SEC) /* of limits that are tenths of a second */

static struct call_cluster cluster;

static void test_begin(void)
{
	static const char *const native[] = {"patient", "stubborn", "misbehave", "count"};
	static const char *const python[] = {"fail", "loop", "deep"};
	REQUIRE(call_cluster_open(&cluster, CALL_NODES));
	for (unsigned i = 0; i < ARRAY_LEN(native); i++)
		CHECK(call_deploy(&cluster, "native", native[i], NULL));
	for (unsigned i = 0; i < ARRAY_LEN(python); i++)
		CHECK(call_deploy(&cluster, "python", python[i], NULL));
}

static void test_an_error_of_the_function(void)
{
	struct ramet_result *r = NULL;
	REQUIRE(cluster.ramet != NULL);
	for (unsigned i = 0; i < 5; i++) { /* from the second on through a lease */
		ramet_result_free(r);
		r = call_expect(cluster.ramet, "fail", "\"luck\"", RAMET_EUSER);
		REQUIRE(r != NULL && r->failure != NULL);
		CHECK_STR(r->failure->type, "ValueError");
		CHECK_STR(r->failure->message, "no luck");
		CHECK(strstr(r->failure->traceback, "functions.py") != NULL);
		CHECK_INT(r->failure->kind, RAMET_KIND_USER);
	}
	CHECK(call_was_leased(r));
	ramet_result_free(r);
	CHECK(call_lease(cluster.ramet, "deep") > 0);
	r = call_expect(cluster.ramet, "deep", "1", RAMET_EUSER);
	CHECK(r && r->failure && strcmp(r->failure->type, "RecursionError") == 0);
	ramet_result_free(r);
}

/* whoever answers a call in place of its instance has seen the end of it */
static bool lives_on(pid_t pid)
{
	return kill(pid, 0) == 0;
}

/* A function has as long again as its deadline was to end itself, and what that takes is longer on
 * slow machines: pages that come from the other node, a traceback that is written. */
static void ends_within(const char *function, uint32_t ms, pid_t *io_pid)
{
	struct ramet_call_options options = call_there();
	uint64_t deadline_ms = suite_patience(ms);
	options.deadline_ms = (uint32_t)deadline_ms;
	*io_pid = call_lease(cluster.ramet, function);
	uint64_t begin = now_ns();
	struct ramet_result *r =
		call_end(call_begin(cluster.ramet, function, "1", &options), RAMET_EDEADLINE);
	uint64_t took = now_ns() - begin;
	CHECK(took >= deadline_ms * NSEC_PER_MSEC && took < suite_patience(SOON_NS));
	CHECK(r && r->failure && r->failure->kind == RAMET_KIND_LIMIT);
	ramet_result_free(r);
}

static void test_deadlines(void)
{
	pid_t pid;
	ends_within("patient", 300, &pid);
	CHECK(lives_on(pid)); /* it was interrupted */
	ends_within("loop", 300, &pid);
	CHECK(lives_on(pid));
	ends_within("stubborn", 50, &pid); /* it had to be killed */
	CHECK(!lives_on(pid));
}

/* the part of an id that calls of one lease have in common: node and lease; "": it has none */
static void lease_of(struct ramet_call *call, char id[40])
{
	CHECK_INT(ramet_call_id(call, id, 40, -1, NULL), 0);
	char *number = strrchr(id, '.');
	*(number ? number : id) = '\0';
}

static bool same_lease(struct ramet_call *one, struct ramet_call *other)
{
	char ids[2][40];
	lease_of(one, ids[0]);
	lease_of(other, ids[1]);
	return ids[0][0] && strcmp(ids[0], ids[1]) == 0;
}

/* Makes quick calls until so many in a row were that the library's mean of how long calls take, an
 * eighth of it the last one, is theirs: the first ones, which fetched pages, took far longer. */
static void settle(unsigned *streak)
{
	for (unsigned i = 0; *streak < SETTLED && i < 2 * SETTLED; i++) {
		struct ramet_result *r = call_expect(cluster.ramet, "patient", "0", 0);
		*streak = r && r->run_us <= QUICK_US ? *streak + 1 : 0;
		ramet_result_free(r);
	}
}

static bool has_lease(struct ramet_call *call)
{
	char id[40];
	lease_of(call, id);
	return id[0] != '\0';
}

/* A call that does not end, and one behind it in the same lease. It goes there only if the mean is
 * that of quick calls and it comes at once, both of which a busy machine may not let it, and if no
 * other lease is idle: those are kept busy, none for longer than BUSY_MS. One that has neither gone
 * behind nor to another lease could have done so. */
static bool begin_two(const struct ramet_call_options *first,
	const struct ramet_call_options *second, struct ramet_call *ret_calls[2])
{
	struct ramet_call *busy[50];
	unsigned nbusy = 0;
	unsigned front = ARRAY_LEN(busy);
	unsigned unexplained = 0;
	unsigned streak = 0;
	uint64_t end = now_ns() + BUSY_MS / 2 * NSEC_PER_MSEC;
	while (nbusy < ARRAY_LEN(busy) && now_ns() < end) {
		settle(&streak);
		uint64_t begin = now_ns();
		busy[nbusy++] = call_begin(cluster.ramet, "patient", "1", first);
		ret_calls[1] = call_begin(cluster.ramet, "patient", "0", second);
		bool at_once = now_ns() - begin < AT_ONCE_NS;
		for (unsigned i = 0; i < nbusy; i++)
			if (same_lease(busy[i], ret_calls[1]))
				front = i;
		if (front < ARRAY_LEN(busy))
			break;
		unexplained += at_once && streak >= SETTLED && !has_lease(ret_calls[1]);
		struct ramet_result *r = NULL;
		(void)ramet_wait(ret_calls[1], 30000, &r, NULL); /* it may have come too late */
		streak = r && !r->failure && r->run_us <= QUICK_US ? streak + 1 : 0;
		ramet_result_free(r);
		ramet_call_free(ret_calls[1]);
	}
	for (unsigned i = 0; i < nbusy; i++)
		if (i == front)
			ret_calls[0] = busy[i];
		else
			ramet_call_free(busy[i]); /* also cancels it */
	CHECK(unexplained <= 2); /* an answer on its way may have made another lease idle */
	if (front == ARRAY_LEN(busy))
		suite_skip("calls are not quick enough here for others to wait behind them");
	return front < ARRAY_LEN(busy);
}

static void test_a_deadline_while_it_waits(void)
{
	struct ramet_call_options long_one = call_there();
	struct ramet_call_options short_one = long_one;
	struct ramet_call *calls[2];
	CHECK(call_lease(cluster.ramet, "patient") > 0);
	long_one.deadline_ms = BUSY_MS;
	short_one.deadline_ms = 50;
	if (!begin_two(&long_one, &short_one, calls))
		return;
	uint64_t begin = now_ns();
	ramet_result_free(call_end(calls[1], RAMET_EDEADLINE));
	CHECK(now_ns() - begin < 500 * NSEC_PER_MSEC);
	ramet_result_free(call_end(calls[0], RAMET_EDEADLINE));
}

static void cancelled(const char *function, bool lives)
{
	pid_t pid = call_lease(cluster.ramet, function);
	struct ramet_call *call = call_begin(cluster.ramet, function, "1", NULL);
	CHECK_INT(ramet_wait(call, 30, NULL, NULL), RAMET_ETIMEOUT);
	uint64_t begin = now_ns();
	CHECK_INT(ramet_cancel(call, NULL), 0);
	struct ramet_result *r = call_end(call, RAMET_ECANCELED);
	uint64_t took = now_ns() - begin;
	CHECK(took < SOON_NS);
	ramet_result_free(r);
	CHECK(lives_on(pid) == lives || (lives && took > GRACE_NS));
	CHECK(call_lease(cluster.ramet, function) > 0);
}

static void test_cancelling(void)
{
	cancelled("patient", true);
	cancelled("loop", true);
	cancelled("stubborn", false);
}

static void test_cancelling_what_waits(void)
{
	CHECK(call_lease(cluster.ramet, "patient") > 0);
	struct ramet_call *calls[2];
	if (!begin_two(NULL, NULL, calls))
		return;
	CHECK_INT(ramet_cancel(calls[1], NULL), 0);
	ramet_result_free(call_end(calls[1], RAMET_ECANCELED));
	CHECK_INT(ramet_cancel(calls[0], NULL), 0);
	ramet_result_free(call_end(calls[0], RAMET_ECANCELED));
}

static void test_a_crash(void)
{
	pid_t pid = call_lease(cluster.ramet, "misbehave");
	struct ramet_result *r = call_expect(cluster.ramet, "misbehave", "\"crash\"", RAMET_ECRASH);
	REQUIRE(r && r->failure);
	CHECK_INT(r->failure->signal, SIGSEGV);
	CHECK_INT(r->failure->fault_address, 16);
	CHECK(strstr(r->failure->log_tail, "about to crash") != NULL);
	ramet_result_free(r);
	CHECK(call_lease(cluster.ramet, "misbehave") != pid);
	ramet_result_free(call_expect(cluster.ramet, "misbehave", "\"exit\"", RAMET_ECRASH));
	CHECK(call_lease(cluster.ramet, "misbehave") > 0);
	ramet_result_free(call_expect(cluster.ramet, "misbehave", "\"kill\"", RAMET_ELOST));
	CHECK(call_lease(cluster.ramet, "misbehave") > 0);
}

/* what had not begun when an instance died is run elsewhere */
static void test_what_waited_is_run_elsewhere(void)
{
	struct ramet_call *calls[8];
	CHECK(call_lease(cluster.ramet, "misbehave") > 0);
	for (unsigned i = 0; i < 20; i++)
		ramet_result_free(call_expect(cluster.ramet, "misbehave", "0", 0));
	for (unsigned i = 0; i < ARRAY_LEN(calls); i++)
		calls[i] = call_begin(cluster.ramet, "misbehave", i == 2 ? "\"crash\"" : "0", NULL);
	for (unsigned i = 0; i < ARRAY_LEN(calls); i++)
		ramet_result_free(call_end(calls[i], i == 2 ? RAMET_ECRASH : 0));
}

static void test_an_idempotent_function_is_run_again(void)
{
	struct ramet_deploy_options options = ramet_deploy_options_default();
	options.idempotent = 1;
	CHECK(call_deploy(&cluster, "native", "nap", &options));
	for (unsigned i = 0; i < 2; i++) {
		pid_t pid = call_lease(cluster.ramet, "nap");
		struct ramet_call *call = call_begin(cluster.ramet, "nap", "2000", NULL);
		CHECK_INT(ramet_wait(call, 50, NULL, NULL), RAMET_ETIMEOUT);
		CHECK_INT(kill(pid, SIGKILL), 0);
		struct ramet_result *r = call_end(call, 0);
		CHECK(r && r->pid != pid);
		ramet_result_free(r);
	}
}

static void test_writing_over_the_slots(void)
{
	for (unsigned i = 0; i < 5; i++) {
		CHECK(call_lease(cluster.ramet, "misbehave") > 0);
		struct ramet_result *r = NULL;
		struct ramet_err err = {0};
		const struct ramet_call_options options = call_there();
		uint64_t begin = now_ns();
		int rc = ramet_call(
			cluster.ramet, "misbehave", "\"scribble\"", 10, &options, &r, &err);
		CHECK(rc == RAMET_EPROTO ||
			rc == RAMET_ELOST); /* whatever is read first of what it wrote */
		CHECK(now_ns() - begin < SOON_NS);
		ramet_result_free(r);
	}
}

static void test_closing_every_descriptor(void)
{
	CHECK(call_lease(cluster.ramet, "misbehave") > 0);
	struct ramet_result *r = NULL;
	uint64_t begin = now_ns();
	const struct ramet_call_options options = call_there();
	(void)ramet_call(cluster.ramet, "misbehave", "\"close\"", 7, &options, &r, NULL);
	CHECK(now_ns() - begin < SOON_NS);
	ramet_result_free(r);
	CHECK(call_lease(cluster.ramet, "misbehave") > 0);
}

static void test_a_client_that_goes(void)
{
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
	pid_t pid = call_lease(ramet, "stubborn");
	struct ramet_call *call = call_begin(ramet, "stubborn", "1", NULL);
	CHECK_INT(ramet_wait(call, 30, NULL, NULL), RAMET_ETIMEOUT);
	ramet_close(ramet);
	ramet_result_free(call_end(call, RAMET_ECLOSED));
	uint64_t deadline = now_ns() + SOON_NS;
	while (kill(pid, 0) == 0 && now_ns() < deadline)
		;
	CHECK(kill(pid, 0) < 0); /* nobody would ever have stopped it */
}

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases_end", TEST(test_begin), TEST(test_an_error_of_the_function),
	TEST(test_deadlines), TEST(test_a_deadline_while_it_waits), TEST(test_cancelling),
	TEST(test_cancelling_what_waits), TEST(test_a_crash),
	TEST(test_what_waited_is_run_elsewhere), TEST(test_an_idempotent_function_is_run_again),
	TEST(test_writing_over_the_slots), TEST(test_closing_every_descriptor),
	TEST(test_a_client_that_goes), TEST(test_end))
