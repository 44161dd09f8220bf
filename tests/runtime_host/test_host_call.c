/* Calls of native functions: input, output, errors, limits and deadlines. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/host_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_NS 20000000ull

/* a loaded host; false: the test has failed */
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
	CHECK_INT(host_say(w->control, "exit", &err), 0);
	CHECK_INT(host_end(w), 0);
}

/* a call that fails, and that the host goes on after it */
static void check_error(const struct host_request *request, const char *code, const char *kind,
	const char *type, const char *message)
{
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, request, &answer, &err), &err);
	CHECK(!answer_ok(&answer));
	CHECK_INT(answer_uint(&answer, "id"), request->id);
	CHECK_STR(answer_error(&answer, "code"), code);
	CHECK_STR(answer_error(&answer, "kind"), kind);
	CHECK_STR(answer_error(&answer, "type"), type);
	CHECK_STR(answer_error(&answer, "message"), message);
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "echo", "still here"), "still here");
	close_world(&w);
}

static void test_json_and_bytes_come_back(void)
{
	const unsigned char bytes[] = {0, 0xff, 0xc1, 0};
	struct host_request request = {.id = 1ull << 40, .function = "echo", .text = "{\"a\": 1}"};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	size_t len = 0;
	bool binary = true;
	REQUIRE(open_world(&w));
	uint64_t before = now_ns();
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK(answer_ok(&answer));
	CHECK_INT(answer_uint(&answer, "id"), request.id);
	CHECK_STR(answer_data(&answer, &len), "{\"a\": 1}");
	CHECK_INT(wire_get_bool_or(answer.body, "binary", true, &binary, &err), 0);
	CHECK(!binary);
	CHECK(before <= answer_uint(&answer, "begin"));
	CHECK(answer_uint(&answer, "begin") <= answer_uint(&answer, "end"));
	CHECK(answer_uint(&answer, "end") <= now_ns());
	host_answer_fini(&answer);

	request = (struct host_request){
		.function = "echo", .data = bytes, .len = sizeof(bytes), .binary = true};
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK(answer_ok(&answer));
	CHECK(memcmp(answer_data(&answer, &len), bytes, sizeof(bytes)) == 0);
	CHECK_INT(len, sizeof(bytes));
	CHECK_INT(wire_get_bool_or(answer.body, "binary", false, &binary, &err), 0);
	CHECK(binary);
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "echo", ""), "");
	CHECK_STR(ask(w.control, "nothing", "1"), "null");
	close_world(&w);
}

static void test_context_tells_about_the_call(void)
{
	struct host_request request = {
		.function = "context", .deadline_ns = now_ns() + HOST_TIMEOUT_NS};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	size_t len;
	char expected[256];
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	snprintf(expected, sizeof(expected), "context v1 2 3/4 %llu 0123ff%026d green",
		(unsigned long long)request.deadline_ns, 0);
	CHECK(answer_ok(&answer));
	CHECK_STR(answer_data(&answer, &len), expected);
	host_answer_fini(&answer);
	close_world(&w);
}

static void test_large_payloads_pass(void)
{
	const size_t len = 5u << 20;
	auto_free unsigned char *data = malloc(len);
	const struct host_request request = {
		.function = "echo", .data = data, .len = len, .binary = true};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	size_t got = 0;
	REQUIRE(data && open_world(&w));
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i * 7 + i / 4096);
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK(answer_ok(&answer));
	CHECK(memcmp(answer_data(&answer, &got), data, len) == 0);
	CHECK_INT(got, len);
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "echo", "small again"), "small again");
	close_world(&w);
}

/* calls sent before the first is answered are answered in order */
static void test_calls_can_be_sent_ahead(void)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct ramet_err err = {0};
	struct host_world w;
	REQUIRE(open_world(&w));
	for (uint64_t id = 1; id <= 100; id++) {
		const struct host_request request = {.id = id, .function = "echo", .text = "x"};
		buf_reset(&b);
		host_pack_call(&b, &request);
		REQUIRE_OK(host_send(w.control, &b, &err), &err);
	}
	for (uint64_t id = 1; id <= 100; id++) {
		struct host_answer answer;
		REQUIRE_OK(host_read(w.control, &answer, &err), &err);
		CHECK(answer_ok(&answer));
		CHECK_INT(answer_uint(&answer, "id"), id);
		host_answer_fini(&answer);
	}
	close_world(&w);
}

static void test_errors_of_handlers_are_told(void)
{
	const struct host_request fail = {.id = 5, .function = "fail"};
	const struct host_request seven = {.id = 6, .function = "seven"};
	check_error(&fail, "EUSER", "user", "ValueError", "no luck today");
	check_error(&seven, "EUSER", "user", "", "the handler returned 7");
}

static void test_unknown_function_is_an_error(void)
{
	const struct host_request request = {.id = 7, .function = "nobody"};
	check_error(&request, "ENOTFOUND", "user", "", "the application has no function nobody");
}

static void test_output_has_a_limit(void)
{
	struct host_request request = {.function = "big", .text = "1000", .max_output = 1000};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	size_t len;
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK(answer_ok(&answer));
	(void)answer_data(&answer, &len);
	CHECK_INT(len, 1000);
	host_answer_fini(&answer);
	close_world(&w);
	request.text = "1001";
	check_error(&request, "ELIMIT", "limit", "",
		"the output of big has 1001 bytes, its limit is 1000");
}

static void test_deadline_cancels(void)
{
	const struct host_request request = {
		.id = 8, .function = "spin", .deadline_ns = now_ns() + SHORT_NS};
	const struct host_request past = {.id = 9, .function = "spin", .deadline_ns = 1};
	check_error(
		&request, "EDEADLINE", "limit", "", "the handler returned -1 after its deadline");
	CHECK(now_ns() >= request.deadline_ns);
	check_error(&past, "EDEADLINE", "limit", "", "the handler returned -1 after its deadline");
}

static void test_deadline_of_one_call_is_not_the_next_ones(void)
{
	const struct host_request late = {.function = "spin", .deadline_ns = 1};
	const struct host_request fail = {
		.function = "fail", .deadline_ns = now_ns() + HOST_TIMEOUT_NS};
	struct ramet_err err = {0};
	struct host_world w;
	REQUIRE(open_world(&w));
	for (int i = 0; i < 50; i++) {
		struct host_answer answer;
		REQUIRE_OK(host_call(w.control, &late, &answer, &err), &err);
		CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
		host_answer_fini(&answer);
		REQUIRE_OK(host_call(w.control, &fail, &answer, &err), &err);
		CHECK_STR(answer_error(&answer, "code"), "EUSER");
		host_answer_fini(&answer);
	}
	close_world(&w);
}

static void test_control_socket_is_not_inherited_by_programs(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	CHECK_STR(ask(w.control, "inherited", ""), "0");
	close_world(&w);
}

SUITE_MAIN("host_call", TEST(test_json_and_bytes_come_back),
	TEST(test_context_tells_about_the_call), TEST(test_large_payloads_pass),
	TEST(test_calls_can_be_sent_ahead), TEST(test_errors_of_handlers_are_told),
	TEST(test_unknown_function_is_an_error), TEST(test_output_has_a_limit),
	TEST(test_deadline_cancels), TEST(test_deadline_of_one_call_is_not_the_next_ones),
	TEST(test_control_socket_is_not_inherited_by_programs))
