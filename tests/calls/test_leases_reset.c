/* Functions whose instances are reset between calls, through leases and by socket: one process
 * serves call after call, and none finds what another one did. */
#include "base/cleanup.h"
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>

#define CLEAN "[0, [1, [2]], [3], \"4\", 0, [], [], false, false, false]"

static struct call_cluster cluster;

static void test_begin(void)
{
	struct ramet_deploy_options options = ramet_deploy_options_default();
	options.fresh = "reset";
	REQUIRE(call_cluster_open(&cluster, CALL_NODES));
	CHECK(call_deploy(&cluster, "python", "touch", &options));
	CHECK(call_deploy(&cluster, "native", "count", &options));
}

static struct ramet_result *touch(const char *what, int code)
{
	struct ramet_result *r = call_expect(cluster.ramet, "touch", what, code);
	if (r && code == 0)
		CHECK_STR((const char *)r->output, CLEAN);
	return r;
}

static void test_one_process_and_nothing_is_left_of_a_call(void)
{
	REQUIRE(cluster.ramet != NULL);
	pid_t pid = call_lease(cluster.ramet, "touch");
	CHECK(pid > 0);
	for (unsigned i = 0; i < 200; i++) {
		struct ramet_result *r = touch("0", 0);
		REQUIRE(r != NULL);
		CHECK(call_was_leased(r));
		CHECK_INT(r->pid, pid);
		CHECK_INT(r->start, RAMET_START_WARM);
		ramet_result_free(r);
	}
}

static void test_after_an_error_and_a_deadline(void)
{
	struct ramet_call_options options = call_there();
	options.deadline_ms = 100;
	pid_t pid = call_lease(cluster.ramet, "touch");
	for (unsigned i = 0; i < 5; i++) {
		ramet_result_free(touch("\"raise\"", RAMET_EUSER));
		struct ramet_result *r = touch("0", 0);
		CHECK(r && r->pid == pid);
		ramet_result_free(r);
	}
	ramet_result_free(call_end(
		call_begin(cluster.ramet, "touch", "\"loop\"", &options), RAMET_EDEADLINE));
	ramet_result_free(touch("0", 0));
}

/* What cannot be reset ends with the call; the next one has another process. */
static void test_what_cannot_be_reset(void)
{
	static const char *const what[] = {"\"thread\"", "\"child\""};
	for (unsigned i = 0; i < 6; i++) {
		pid_t pid = call_lease(cluster.ramet, "touch");
		struct ramet_result *r = touch(what[i % 2], 0);
		CHECK(r && r->pid == pid && call_was_leased(r));
		ramet_result_free(r);
		r = touch("0", 0);
		CHECK(r && r->pid != pid);
		ramet_result_free(r);
	}
}

static void test_many_at_once(void)
{
	struct ramet_call *calls[64];
	for (unsigned turn = 0; turn < 3; turn++) {
		for (unsigned i = 0; i < ARRAY_LEN(calls); i++)
			calls[i] = call_begin(cluster.ramet, "touch",
				turn == 2 && i % 8 == 3 ? "\"thread\"" : "0", NULL);
		for (unsigned i = 0; i < ARRAY_LEN(calls); i++) {
			struct ramet_result *r = call_end(calls[i], 0);
			CHECK(r && strcmp(r->output, CLEAN) == 0);
			ramet_result_free(r);
		}
	}
}

/* by socket: calls that are listened to, and the first ones of a client */
static void test_by_socket(void)
{
	struct ramet_call_options options = call_there();
	options.flags = RAMET_CALL_EVENTS;
	pid_t pids[10] = {0};
	unsigned again = 0;
	for (unsigned i = 0; i < 10; i++) {
		const char *what = i == 5 ? "\"thread\"" : "0";
		struct ramet_result *r =
			call_end(call_begin(cluster.ramet, "touch", what, &options), 0);
		REQUIRE(r != NULL);
		CHECK(!call_was_leased(r));
		CHECK_STR((const char *)r->output, CLEAN);
		pids[i] = r->pid;
		bool seen = false;
		for (unsigned k = 0; k < i; k++)
			seen = seen || pids[k] == pids[i];
		again += seen;
		ramet_result_free(r);
	}
	CHECK(pids[5] != pids[6]);
	if (again < 5)
		for (unsigned i = 0; i < 10; i++)
			fprintf(stderr, "%d%s", (int)pids[i], i < 9 ? " " : "\n");
	CHECK(again >= 5); /* they are used again, by turns where several are idle */
}

/* native code cannot be reset: each call has a clone of its own */
static void test_native(void)
{
	pid_t last = 0;
	CHECK(call_lease(cluster.ramet, "count") > 0);
	for (unsigned i = 0; i < 20; i++) {
		struct ramet_result *r = call_expect(cluster.ramet, "count", "0", 0);
		REQUIRE(r != NULL);
		CHECK_STR((const char *)r->output, "1");
		CHECK(r->pid != last && call_was_leased(r));
		last = r->pid;
		ramet_result_free(r);
	}
}

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases_reset", TEST(test_begin), TEST(test_one_process_and_nothing_is_left_of_a_call),
	TEST(test_after_an_error_and_a_deadline), TEST(test_what_cannot_be_reset),
	TEST(test_many_at_once), TEST(test_by_socket), TEST(test_native), TEST(test_end))
