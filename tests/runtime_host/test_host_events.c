/* What native calls tell before their end: order, bounds, and waiting for who listens. */
#include "base/clock.h"
#include "runtime/host_proto.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/host_world.h"

#include <string.h>
#include <sys/wait.h>

static bool open_world(struct host_world *w)
{
	struct ramet_err err = {0};
	int rc = host_start(w, &err);
	if (rc == 0)
		rc = host_load_all(w->control, &err);
	return suite_check_ok(rc, &err, "start a host", __FILE__, __LINE__);
}

static void close_world(struct host_world *w)
{
	struct ramet_err err = {0};
	CHECK_STR(ask(w->control, "echo", "still here"), "still here");
	CHECK_INT(host_say(w->control, "exit", &err), 0);
	CHECK_INT(host_end(w), 0);
}

static void say_taken(const struct host_world *w, uint64_t id, uint64_t bytes)
{
	struct ramet_err err = {0};
	struct buf b = {0};
	wire_map(&b, 3);
	wire_kstr(&b, "t", "taken");
	wire_kuint(&b, "id", id);
	wire_kuint(&b, "bytes", bytes);
	CHECK_INT(host_send(w->control, &b, &err), 0);
	buf_fini(&b);
}

static void check_chunk(struct host_answer *event, const void *bytes, size_t len, bool binary)
{
	struct ramet_err err = {0};
	const void *chunk = NULL;
	size_t got = 0;
	bool raw = !binary;
	CHECK_STR(event->type, "event");
	CHECK_INT(answer_uint(event, "id"), 7);
	REQUIRE_OK(wire_get_bin(event->body, "chunk", &chunk, &got, &err), &err);
	REQUIRE_OK(wire_get_bool_or(event->body, "binary", false, &raw, &err), &err);
	CHECK_INT(raw, binary);
	REQUIRE(got == len);
	CHECK(memcmp(chunk, bytes, len) == 0);
	host_answer_fini(event);
}

/* its number of millionths */
static uint64_t check_progress(struct host_answer *event, const char *text)
{
	struct ramet_err err = {0};
	char got[64] = "";
	CHECK_STR(event->type, "event");
	uint64_t millionths = answer_uint(event, "progress");
	CHECK_INT(wire_get_str(event->body, "text", got, sizeof(got), &err), 0);
	CHECK_STR(got, text);
	host_answer_fini(event);
	return millionths;
}

static void test_told_in_order_before_the_result(void)
{
	const struct host_request request = {
		.id = 7, .function = "tell", .text = "[1]", .events = true};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer a;
	size_t len = 0;
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, &request, &a, &err), &err);
	check_chunk(&a, "[1]", 3, false);
	REQUIRE_OK(host_read(w.control, &a, &err), &err);
	CHECK_INT(check_progress(&a, "quarter"), 250000);
	REQUIRE_OK(host_read(w.control, &a, &err), &err);
	check_chunk(&a, "\0\xff", 2, true);
	REQUIRE_OK(host_read(w.control, &a, &err), &err);
	CHECK(answer_ok(&a));
	CHECK_STR(answer_data(&a, &len), "1");
	host_answer_fini(&a);
	close_world(&w);
}

static void test_nobody_listens(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	CHECK_STR(ask(w.control, "tell", "[1]"), "0");
	CHECK_STR(ask(w.control, "flood", "1000"), "1000");
	close_world(&w);
}

static void test_progress_is_told_now_and_then(void)
{
	const struct host_request request = {.id = 7, .function = "advance", .events = true};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer a;
	unsigned told = 0;
	uint64_t last = 1;
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, &request, &a, &err), &err);
	CHECK_INT(check_progress(&a, ""), 0);
	REQUIRE_OK(host_read(w.control, &a, &err), &err);
	while (strcmp(a.type, "event") == 0) {
		last = check_progress(&a, "? step");
		told++;
		REQUIRE_OK(host_read(w.control, &a, &err), &err);
	}
	CHECK(answer_ok(&a));
	host_answer_fini(&a);
	CHECK(told >= 16);
	CHECK(told <
		500); /* some a second more than a burst, whatever the machine does meanwhile */
	CHECK_INT(last, 1000000); /* the last counts */
	close_world(&w);
}

/* three chunks of a MiB fit a window of 4 MiB, with what each weighs more */
static void begin_flood(struct host_world *w, const struct host_request *request)
{
	struct ramet_err err = {0};
	struct buf b = {0};
	host_pack_call(&b, request);
	REQUIRE_OK(host_send(w->control, &b, &err), &err);
	buf_fini(&b);
	for (unsigned i = 0; i < 3; i++) {
		struct host_answer a;
		REQUIRE_OK(host_read(w->control, &a, &err), &err);
		CHECK_STR(a.type, "event");
		host_answer_fini(&a);
	}
}

static void test_it_waits_for_who_listens(void)
{
	const struct host_request request = {
		.id = 7, .function = "flood", .text = "9", .events = true};
	const uint64_t weight = HOST_EVENT_MAX + HOST_EVENT_WEIGHT;
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer a;
	size_t len = 0;
	REQUIRE(open_world(&w));
	begin_flood(&w, &request);
	say_taken(&w, 6, weight); /* of another call: nothing comes of it */
	for (unsigned i = 3; i < 9; i++) {
		say_taken(&w, 7, weight);
		REQUIRE_OK(host_read(w.control, &a, &err), &err);
		CHECK_STR(a.type, "event");
		host_answer_fini(&a);
	}
	REQUIRE_OK(host_read(w.control, &a, &err), &err);
	CHECK(answer_ok(&a));
	CHECK_STR(answer_data(&a, &len), "9");
	host_answer_fini(&a);
	say_taken(&w, 7, 3 * weight); /* too late */
	close_world(&w);
}

static void test_the_deadline_ends_who_waits(void)
{
	struct host_request request = {.id = 7, .function = "flood", .text = "9", .events = true};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer a;
	REQUIRE(open_world(&w));
	request.deadline_ns = now_ns() + 100 * NSEC_PER_MSEC;
	begin_flood(&w, &request);
	REQUIRE_OK(host_read(w.control, &a, &err), &err); /* and no fourth */
	CHECK(!answer_ok(&a));
	CHECK_STR(answer_error(&a, "code"), "EDEADLINE");
	CHECK_STR(answer_error(&a, "kind"), "limit");
	host_answer_fini(&a);
	close_world(&w);
}

static void test_chunks_count_as_output(void)
{
	struct host_request request = {.id = 7,
		.function = "flood",
		.text = "9",
		.events = true,
		.max_output = (3u << 20) - 1};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer a;
	unsigned told = 0;
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, &request, &a, &err), &err);
	for (; strcmp(a.type, "event") == 0; told++) {
		host_answer_fini(&a);
		REQUIRE_OK(host_read(w.control, &a, &err), &err);
	}
	CHECK_INT(told, 2);
	CHECK(!answer_ok(&a));
	CHECK_STR(answer_error(&a, "code"), "ELIMIT");
	CHECK(strstr(answer_error(&a, "message"), "count as output") != NULL);
	host_answer_fini(&a);
	request.text = "2"; /* but with the answer it is too much */
	request.max_output = 2u << 20;
	told = 0;
	REQUIRE_OK(host_call(w.control, &request, &a, &err), &err);
	for (; strcmp(a.type, "event") == 0; told++) {
		host_answer_fini(&a);
		REQUIRE_OK(host_read(w.control, &a, &err), &err);
	}
	CHECK_INT(told, 2);
	CHECK_STR(answer_error(&a, "code"), "ELIMIT");
	CHECK(strstr(answer_error(&a, "message"), "with what it emitted") != NULL);
	host_answer_fini(&a);
	close_world(&w);
}

/* rametd says something else while it waits */
static void test_garbage_while_it_waits(void)
{
	const struct host_request request = {
		.id = 7, .function = "flood", .text = "9", .events = true};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer a;
	REQUIRE(open_world(&w));
	begin_flood(&w, &request);
	CHECK_INT(host_say(w.control, "exit", &err), 0);
	REQUIRE_OK(host_read(w.control, &a, &err), &err);
	CHECK(!answer_ok(&a));
	CHECK_STR(answer_error(&a, "code"), "EPROTO");
	host_answer_fini(&a);
	close_world(&w);
}

SUITE_MAIN("host_events", TEST(test_told_in_order_before_the_result), TEST(test_nobody_listens),
	TEST(test_progress_is_told_now_and_then), TEST(test_it_waits_for_who_listens),
	TEST(test_the_deadline_ends_who_waits), TEST(test_chunks_count_as_output),
	TEST(test_garbage_while_it_waits))
