/* Calls through the library: what comes back, in which order, and what happens when the daemon
 * misbehaves. */
#include "base/clock.h"
#include "base/err.h"
#include "ramet/ramet.h"
#include "tests/lib/suite.h"
#include "tests/libramet/client_fixture.h"

#include <poll.h>

static void test_open(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	CHECK_INT(ramet_node(f.ramet), 1);
	CHECK_INT(ramet_nodes(f.ramet), 2);
	teardown(&f);
}

static void test_no_cluster(void)
{
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	CHECK_INT(ramet_open("/nonexistent/sock", &ramet, &err), RAMET_ENOCLUSTER);
	CHECK(strstr(err.msg, "/nonexistent/sock") && strstr(err.msg, "ramet up"));
	char longer[200];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	CHECK_INT(ramet_open(longer, &ramet, &err), RAMET_EINVAL);
	CHECK(ramet == NULL);
}

static void test_address_of_environment(void)
{
	struct fixture f;
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	setenv("RAMET_SOCKET", f.dir.joined, 1);
	CHECK_INT(ramet_open(NULL, &ramet, &err), 0);
	ramet_close(ramet);
	unsetenv("RAMET_SOCKET");
	setenv("RAMET_DIR", f.dir.path, 1);
	CHECK_INT(ramet_open(NULL, &ramet, &err), RAMET_ENOCLUSTER);
	CHECK(strstr(err.msg, "node1/client.sock") != NULL);
	unsetenv("RAMET_DIR");
	teardown(&f);
}

static void test_call(void)
{
	struct fixture f;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	struct ramet_call_options o = ramet_call_options_default();
	o.node = 2;
	o.deadline_ms = 1234;
	REQUIRE_OK(ramet_call(f.ramet, "echo", "[1]", 3, &o, &r, &err), &err);
	CHECK_STR(r->output, "[1]");
	CHECK_INT(r->node, 2);
	CHECK_INT(r->source_node, 1);
	CHECK_INT(r->start, RAMET_START_REMOTE_FORK);
	CHECK(r->first_instruction_us == 88.0 && r->total_us == 3000.0);
	ramet_result_free(r);
	const struct message *sent = fake_daemon_last(f.fake, "call");
	uint64_t n = 0;
	REQUIRE(sent != NULL);
	CHECK(wire_get_uint(sent->root, "node", 9, &n, &err) == 0 && n == 2);
	CHECK(wire_get_uint(sent->root, "deadline_ms", 9999, &n, &err) == 0 && n == 1234);
	CHECK_INT(ramet_call(f.ramet, "echo", NULL, 0, NULL, &r, &err), 0);
	CHECK_STR(r->output, "null");
	ramet_result_free(r);
	teardown(&f);
}

static void test_large_payload(void)
{
	struct fixture f;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	size_t len = 16u << 20;
	char *data = malloc(len);
	REQUIRE(data != NULL && setup(&f) == 0);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 31 >> 7);
	struct ramet_call_options o = ramet_call_options_default();
	o.flags = RAMET_CALL_BINARY;
	CHECK_INT(ramet_call(f.ramet, "echo", data, len, &o, &r, &err), 0);
	CHECK(r && r->output_len == len && memcmp(r->output, data, len) == 0);
	ramet_result_free(r);
	CHECK_INT(ramet_call(f.ramet, "echo", data, RAMET_MAX_PAYLOAD + 1ul, &o, &r, &err),
		RAMET_ELIMIT);
	CHECK(r == NULL);
	free(data);
	teardown(&f);
}

static void test_failures(void)
{
	struct fixture f;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	CHECK_INT(ramet_call(f.ramet, "raise", "1", 1, NULL, &r, &err), RAMET_EUSER);
	CHECK_STR(err.msg, "ValueError: no luck");
	REQUIRE(r && r->failure);
	CHECK_STR(r->failure->type, "ValueError");
	CHECK(strstr(r->failure->traceback, "line 1") != NULL);
	CHECK_INT(r->failure->kind, RAMET_KIND_USER);
	CHECK_INT(r->failure->log_tail_len, 11);
	ramet_result_free(r);
	CHECK_INT(ramet_call(f.ramet, "crash", "1", 1, NULL, &r, &err), RAMET_ECRASH);
	REQUIRE(r && r->failure);
	CHECK_INT(r->failure->signal, 11);
	CHECK_INT(r->failure->fault_address, 0x10);
	ramet_result_free(r);
	CHECK_INT(ramet_call(f.ramet, "missing", "1", 1, NULL, &r, &err), RAMET_ENOTFOUND);
	REQUIRE(r && r->failure);
	CHECK_STR(r->function, "missing");
	CHECK_INT(r->start, RAMET_START_NONE);
	ramet_result_free(r);
	CHECK_INT(ramet_call(f.ramet, "raise", "1", 1, NULL, NULL, NULL), RAMET_EUSER);
	teardown(&f);
}

static void test_bad_arguments(void)
{
	struct fixture f;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	CHECK_INT(ramet_call(f.ramet, "no such/name", "1", 1, NULL, &r, &err), RAMET_EINVAL);
	CHECK_INT(ramet_call(f.ramet, "", "1", 1, NULL, &r, &err), RAMET_EINVAL);
	CHECK_INT(ramet_call(f.ramet, NULL, "1", 1, NULL, &r, &err), RAMET_EINVAL);
	CHECK_INT(ramet_call(f.ramet, "-x", "1", 1, NULL, &r, &err), RAMET_EINVAL);
	struct ramet_call_options o = {0}; /* no size */
	CHECK_INT(ramet_call(f.ramet, "echo", "1", 1, &o, &r, &err), RAMET_EINVAL);
	o = ramet_call_options_default();
	o.flags = 0x80;
	CHECK_INT(ramet_call(f.ramet, "echo", "1", 1, &o, &r, &err), RAMET_EINVAL);
	CHECK(r == NULL);
	teardown(&f);
}

static void test_wait_any(void)
{
	struct fixture f;
	struct ramet_call *slow, *calls[3], *any;
	struct ramet_result *r;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	CHECK_INT(ramet_wait_any(f.ramet, NULL, 0, -1, &any, &err), RAMET_ENOTFOUND);
	REQUIRE_OK(ramet_call_async(f.ramet, "slow", "0", 1, NULL, &slow, &err), &err);
	for (int i = 0; i < 3; i++) {
		char data[2] = {(char)('0' + i), 0};
		REQUIRE_OK(ramet_call_async(f.ramet, "echo", data, 1, NULL, &calls[i], &err), &err);
		ramet_call_set_user(calls[i], &calls[i]);
	}
	for (int i = 0; i < 3; i++) {
		REQUIRE_OK(ramet_wait_any(f.ramet, NULL, 0, -1, &any, &err), &err);
		CHECK(any == calls[i] && ramet_call_user(any) == &calls[i]);
		CHECK_INT(ramet_wait(any, 0, &r, &err), 0);
		CHECK(r && *(const char *)r->output == '0' + i);
		ramet_result_free(r);
		CHECK_INT(ramet_wait(any, -1, &r, &err), RAMET_ENOTFOUND); /* once */
	}
	CHECK_INT(ramet_wait_any(f.ramet, NULL, 0, 0, &any, &err), RAMET_ETIMEOUT);
	CHECK_INT(ramet_wait_any(f.ramet, &slow, 1, 10, &any, &err), RAMET_ETIMEOUT);
	CHECK_INT(ramet_wait(slow, 0, &r, &err), RAMET_ETIMEOUT);
	CHECK(r == NULL);
	CHECK_INT(ramet_cancel(slow, &err), 0);
	CHECK_INT(ramet_wait(slow, -1, &r, &err), RAMET_ECANCELED);
	ramet_result_free(r);
	CHECK_INT(ramet_cancel(slow, &err), 0); /* over: nothing to do */
	ramet_call_free(slow);
	for (int i = 0; i < 3; i++)
		ramet_call_free(calls[i]);
	teardown(&f);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, timeout_ms) == 1;
}

/* an event loop of the caller's: only ramet_fd() and waits with timeout 0 */
static void test_pollable(void)
{
	struct fixture f;
	struct ramet_call *call = NULL, *other = NULL, *any = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	int fd = ramet_fd(f.ramet);
	while (readable(fd, 0))
		CHECK_INT(ramet_wait_any(f.ramet, NULL, 0, 0, &any, &err), RAMET_ENOTFOUND);
	REQUIRE_OK(ramet_call_async(f.ramet, "echo", "5", 1, NULL, &call, &err), &err);
	int rc = RAMET_ETIMEOUT;
	while (rc == RAMET_ETIMEOUT && readable(fd, 5000))
		rc = ramet_wait_any(f.ramet, NULL, 0, 0, &any, &err);
	CHECK_INT(rc, 0);
	CHECK(any == call);
	CHECK(readable(fd, 0)); /* until its result is taken */

	/* another call's wait takes both answers in; the first must still show on the descriptor */
	REQUIRE_OK(ramet_call_async(f.ramet, "echo", "6", 1, NULL, &other, &err), &err);
	CHECK_INT(ramet_wait(other, -1, NULL, &err), 0);
	CHECK(readable(fd, 0));
	CHECK_INT(ramet_wait(call, 0, NULL, &err), 0);
	while (readable(fd, 0)) /* what the loop itself had to do, at most */
		CHECK_INT(ramet_wait_any(f.ramet, NULL, 0, 0, &any, &err), RAMET_ENOTFOUND);
	ramet_call_free(call);
	ramet_call_free(other);
	teardown(&f);
}

static void test_forgotten_call_is_cancelled(void)
{
	struct fixture f;
	struct ramet_call *call;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	REQUIRE_OK(ramet_call_async(f.ramet, "slow", "0", 1, NULL, &call, &err), &err);
	ramet_call_free(call);
	CHECK_INT(ramet_call(f.ramet, "echo", "1", 1, NULL, &r, &err), 0); /* not mixed up */
	CHECK_STR(r->output, "1");
	ramet_result_free(r);
	CHECK(fake_daemon_last(f.fake, "cancel") != NULL);
	teardown(&f);
}

static void test_ids(void)
{
	struct fixture f;
	struct ramet_call *call;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	char id[33];
	REQUIRE(setup(&f) == 0);
	struct ramet_call_options o = ramet_call_options_default();
	o.flags = RAMET_CALL_DETACH;
	REQUIRE_OK(ramet_call_async(f.ramet, "slow", "0", 1, &o, &call, &err), &err);
	CHECK_INT(ramet_call_id(call, id, 5, -1, &err), RAMET_EINVAL);
	REQUIRE_OK(ramet_call_id(call, id, sizeof(id), 5000, &err), &err);
	CHECK_STR(id, "1.1");
	ramet_call_free(call);
	CHECK(fake_daemon_last(f.fake, "cancel") == NULL); /* detached: it goes on */
	CHECK_INT(ramet_wait_id(f.ramet, id, -1, &r, &err), 0);
	CHECK(r && strcmp(r->output, "\"waited\"") == 0);
	ramet_result_free(r);
	CHECK_INT(ramet_wait_id(f.ramet, "9.9", 10, &r, &err), RAMET_ENOTFOUND);
	CHECK(r == NULL);
	CHECK_INT(ramet_wait_id(f.ramet, "", 10, &r, &err), RAMET_EINVAL);
	CHECK_INT(ramet_cancel_id(f.ramet, id, &err), 0);
	REQUIRE_OK(ramet_call_async(f.ramet, "missing", "0", 1, NULL, &call, &err), &err);
	CHECK_INT(ramet_call_id(call, id, sizeof(id), 5000, &err), RAMET_ENOTFOUND);
	ramet_call_free(call);
	teardown(&f);
}

/* the daemon goes, or sends what is no message: everything under way ends, nothing hangs */
static void check_lost(const char *function, int code)
{
	struct fixture f;
	struct ramet_call *slow;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	REQUIRE_OK(ramet_call_async(f.ramet, "slow", "0", 1, NULL, &slow, &err), &err);
	CHECK_INT(ramet_call(f.ramet, function, "1", 1, NULL, &r, &err), code);
	REQUIRE(r && r->failure);
	CHECK_INT(r->failure->kind, RAMET_KIND_SYSTEM);
	ramet_result_free(r);
	CHECK_INT(ramet_wait(slow, 5000, NULL, &err), code);
	CHECK(ramet_call(f.ramet, "echo", "1", 1, NULL, &r, &err) < 0);
	CHECK(ramet_remove(f.ramet, "echo", &err) < 0);
	ramet_call_free(slow);
	teardown(&f);
}

static void test_connection_dropped(void)
{
	check_lost("drop", RAMET_EPEER);
}

static void test_garbage_from_daemon(void)
{
	check_lost("garbage", RAMET_EPROTO);
}

static void test_wrong_result_harms_one_call(void)
{
	struct fixture f;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	CHECK_INT(ramet_call(f.ramet, "wrong", "1", 1, NULL, &r, &err), RAMET_EPROTO);
	ramet_result_free(r);
	CHECK_INT(ramet_call(f.ramet, "echo", "1", 1, NULL, NULL, &err), 0);
	teardown(&f);
}

static void test_call_outlives_handle(void)
{
	struct fixture f;
	struct ramet_call *done, *under_way;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	REQUIRE_OK(ramet_call_async(f.ramet, "echo", "1", 1, NULL, &done, &err), &err);
	REQUIRE_OK(ramet_call_async(f.ramet, "slow", "1", 1, NULL, &under_way, &err), &err);
	struct ramet_call *any;
	REQUIRE_OK(ramet_wait_any(f.ramet, &done, 1, -1, &any, &err), &err);
	ramet_close(f.ramet);
	f.ramet = NULL;
	CHECK_INT(ramet_wait(done, -1, &r, &err), 0);
	ramet_result_free(r);
	CHECK_INT(ramet_wait(under_way, -1, NULL, &err), RAMET_ECLOSED);
	CHECK_INT(ramet_cancel(under_way, &err), 0);
	ramet_call_free(done);
	ramet_call_free(under_way);
	teardown(&f);
}

static int count_ranks(void *user, struct ramet_result *result)
{
	unsigned *ranks = user;
	*ranks |= 1u << result->rank;
	ramet_result_free(result);
	return 0;
}

static void test_burst(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	struct ramet_summary s = {.size = sizeof(s)};
	unsigned ranks = 0;
	REQUIRE(setup(&f) == 0);
	REQUIRE_OK(
		ramet_burst(f.ramet, "echo", 8, "1", 1, NULL, count_ranks, &ranks, &s, &err), &err);
	CHECK_INT(ranks, 0xff);
	CHECK_INT(s.n, 8);
	CHECK_INT(s.remote_fork, 8);
	CHECK(s.total_us == 5000.0);
	CHECK_INT(s.size, sizeof(s));
	s.n = 0;
	CHECK_INT(
		ramet_burst(f.ramet, "raise", 4, "1", 1, NULL, NULL, NULL, &s, &err), RAMET_EUSER);
	CHECK_STR(err.msg, "rank one fails");
	CHECK_INT(s.n, 4);
	CHECK_INT(ramet_burst(f.ramet, "missing", 4, NULL, 0, NULL, NULL, NULL, NULL, &err),
		RAMET_ENOTFOUND);
	CHECK_INT(ramet_burst(f.ramet, "echo", 0, NULL, 0, NULL, NULL, NULL, NULL, &err),
		RAMET_EINVAL);
	teardown(&f);
}

SUITE_MAIN("client_calls", TEST(test_open), TEST(test_no_cluster),
	TEST(test_address_of_environment), TEST(test_call), TEST(test_large_payload),
	TEST(test_failures), TEST(test_bad_arguments), TEST(test_wait_any), TEST(test_pollable),
	TEST(test_forgotten_call_is_cancelled), TEST(test_ids), TEST(test_connection_dropped),
	TEST(test_garbage_from_daemon), TEST(test_wrong_result_harms_one_call),
	TEST(test_call_outlives_handle), TEST(test_burst))
