/* Calls of Python functions: JSON and bytes, errors, deadlines, output. */
#include "base/clock.h"
#include "base/err.h"
#include "runtime/host/host.h"
#include "tests/lib/suite.h"
#include "tests/runtime_python/python_world.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define SHORT_NS 30000000ull

static const char *const handlers[] = {"calls.py:echo", "calls.py:context", "calls.py:environment",
	"calls.py:write", "calls.py:result", "calls.py:kind", "calls.py:fail",
	"calls.py:one_argument", "calls.py:spin", "calls.py:sleep", "calls.py:swallow",
	"calls.py:cleanup", "calls.py:start_thread", "calls.py:fork", NULL};

static void close_world(struct host_world *w)
{
	struct ramet_err err = {0};
	CHECK_INT(host_say(w->control, "exit", &err), 0);
	CHECK_INT(host_end(w), 0);
}

/* a call that must fail so; part: of the message */
static void check_failure(struct host_world *w, const struct host_request *request,
	const char *code, const char *kind, const char *type, const char *part)
{
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	REQUIRE_OK(host_call(w->control, request, &answer, &err), &err);
	CHECK(!answer_ok(&answer));
	CHECK_STR(answer_error(&answer, "code"), code);
	CHECK_STR(answer_error(&answer, "kind"), kind);
	CHECK_STR(answer_error(&answer, "type"), type);
	const char *message = answer_error(&answer, "message");
	if (!CHECK(strstr(message, part) != NULL))
		printf("  the message is: %.200s\n", message);
	host_answer_fini(&answer);
}

/* --- values --- */

static void test_json_comes_back(void)
{
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	CHECK_STR(ask(w.control, "echo", "{\"a\": [1, 2.5, true, null, \"\\u00e9\"]}"),
		"{\"a\": [1, 2.5, true, null, \"\\u00e9\"]}");
	CHECK_STR(ask(w.control, "echo", "\"\xc3\xa9\""), "\"\\u00e9\"");
	CHECK_STR(ask(w.control, "echo", ""), "null");
	CHECK_STR(ask(w.control, "echo", " 123456789012345678901234567890 "),
		"123456789012345678901234567890");
	CHECK_STR(ask(w.control, "result", "\"tuple\""), "[1, \"\\u00e9\"]");
	CHECK_STR(ask(w.control, "result", "\"surrogate\""), "\"\\ud800\"");
	close_world(&w);
}

static void check_bytes(
	struct host_world *w, const struct host_request *request, const void *data, size_t len)
{
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	size_t got = 0;
	bool binary = false;
	REQUIRE_OK(host_call(w->control, request, &answer, &err), &err);
	CHECK(answer_ok(&answer));
	const char *bytes = answer_data(&answer, &got);
	CHECK_INT(got, len);
	CHECK(got == len && memcmp(bytes, data, len) == 0);
	CHECK_INT(wire_get_bool_or(answer.body, "binary", false, &binary, &err), 0);
	CHECK(binary);
	host_answer_fini(&answer);
}

static void test_bytes_come_back(void)
{
	static const unsigned char bytes[] = {0, 0xff, 'x', 0};
	static unsigned char many[3u << 20];
	struct host_request request = {
		.function = "echo", .data = bytes, .len = sizeof(bytes), .binary = true};
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	check_bytes(&w, &request, bytes, sizeof(bytes));
	request.len = 0;
	check_bytes(&w, &request, bytes, 0);
	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = (unsigned char)(i * 7 + i / 4096);
	request.data = many;
	request.len = sizeof(many);
	check_bytes(&w, &request, many, sizeof(many));
	request = (struct host_request){.function = "result", .text = "\"bytearray\""};
	check_bytes(&w, &request, "ab\0c", 4);
	request.text = "\"memoryview\"";
	check_bytes(&w, &request, "abc", 3);
	close_world(&w);
}

static void test_binary_calls_get_a_memoryview(void)
{
	const struct host_request request = {
		.function = "kind", .data = "abc", .len = 3, .binary = true};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	size_t len;
	REQUIRE(python_open(&w, handlers));
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK_STR(answer_data(&answer, &len), "\"memoryview 3 False\"");
	host_answer_fini(&answer);
	close_world(&w);
}

static void test_results_that_are_neither_json_nor_bytes(void)
{
	static const char *const cases[][3] = {
		{"\"set\"", "TypeError", "the result of type set is neither JSON nor bytes"},
		{"\"nan\"", "ValueError", "the result of type list"},
		{"\"keys\"", "TypeError", "the result of type dict"},
		{"\"loop\"", "ValueError", "Circular reference"},
		{"\"deep\"", "RecursionError", "the result of type list"},
	};
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct host_request request = {.function = "result", .text = cases[i][0]};
		check_failure(&w, &request, "EUSER", "user", cases[i][1], cases[i][2]);
	}
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	close_world(&w);
}

static void test_input_that_is_not_json(void)
{
	static const char *const inputs[] = {"{", "1 2", "NaN", "[Infinity]", "nul", "{'a': 1}"};
	static char deep[200000 + 1];
	struct host_request request = {.function = "echo"};
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	for (unsigned i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		request.text = inputs[i];
		check_failure(&w, &request, "EINVAL", "user", "", "the input is not JSON");
	}
	request.text = "\"\xff\"";
	check_failure(&w, &request, "EINVAL", "user", "", "the input is not UTF-8");
	memset(deep, '[', sizeof(deep) - 1);
	request.text = deep;
	check_failure(&w, &request, "EINVAL", "user", "", "the input is not JSON");
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	close_world(&w);
}

static void test_context_tells_about_the_call(void)
{
	struct host_request request = {
		.function = "context", .deadline_ns = now_ns() + 20 * NSEC_PER_SEC};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	char expected[256];
	size_t len;
	REQUIRE(python_open(&w, handlers));
	CHECK_STR(ask(w.control, "context", ""),
		"[\"context\", \"v1\", 2, 3, 4, \"0123ff00000000000000000000000000\", false, null, "
		"false]");
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	const char *said = answer_data(&answer, &len);
	snprintf(expected, sizeof(expected), "false, %llu.",
		(unsigned long long)(request.deadline_ns / NSEC_PER_SEC));
	CHECK(strstr(said, expected) != NULL);
	CHECK(strstr(said, ", true]") != NULL);
	host_answer_fini(&answer);
	close_world(&w);
}

/* --- errors --- */

static void test_exceptions_are_told_with_their_traceback(void)
{
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	REQUIRE(python_open(&w, handlers));
	REQUIRE(python_call(w.control, "fail", "\"value\"", &answer));
	CHECK_STR(answer_error(&answer, "code"), "EUSER");
	CHECK_STR(answer_error(&answer, "kind"), "user");
	CHECK_STR(answer_error(&answer, "type"), "ValueError");
	CHECK_STR(answer_error(&answer, "message"), "no luck \xc3\xa9 today");
	const char *trace = answer_error(&answer, "traceback");
	CHECK(strstr(trace, "Traceback (most recent call last):\n  File \"") == trace);
	CHECK(strstr(trace, "calls.py\", line ") != NULL);
	CHECK(strstr(trace, ", in fail\n    inner(event)\n") != NULL);
	CHECK(strstr(trace, ", in inner\n") != NULL);
	CHECK(strstr(trace, "ramet_host") == NULL); /* frames of the engine */
	const char *last = strstr(trace, "\nValueError: ");
	CHECK_STR(last ? last : "", "\nValueError: no luck \xc3\xa9 today\n");
	host_answer_fini(&answer);
	close_world(&w);
}

static void test_every_exception_is_an_answer(void)
{
	static const char *const cases[][3] = {
		{"\"exit\"", "SystemExit", "4"},
		{"\"interrupt\"", "KeyboardInterrupt", ""},
		{"\"mute\"", "Mute", "str() failed"},
		{"\"recursion\"", "RecursionError", "maximum recursion depth exceeded"},
		{"\"long\"", "ValueError", "xxxx"},
	};
	const struct host_request arity = {.function = "one_argument"};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	REQUIRE(python_open(&w, handlers));
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct host_request request = {.function = "fail", .text = cases[i][0]};
		check_failure(&w, &request, "EUSER", "user", cases[i][1], cases[i][2]);
	}
	check_failure(&w, &arity, "EUSER", "user", "TypeError",
		"one_argument() takes 1 positional argument");
	REQUIRE(python_call(w.control, "fail", "\"cause\"", &answer));
	CHECK_STR(answer_error(&answer, "message"), "second");
	CHECK(strstr(answer_error(&answer, "traceback"),
		      "The above exception was the direct cause") != NULL);
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	close_world(&w);
}

/* --- deadlines --- */

static void check_deadline(struct host_world *w, const char *function)
{
	const struct host_request request = {
		.function = function, .deadline_ns = now_ns() + SHORT_NS};
	check_failure(w, &request, "EDEADLINE", "limit", "DeadlineExceeded",
		"the deadline of the call has passed");
	CHECK(now_ns() >= request.deadline_ns);
}

static void test_deadline_interrupts(void)
{
	char said[256];
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	check_deadline(&w, "spin");
	check_deadline(&w, "sleep");
	check_deadline(&w, "swallow");
	check_deadline(&w, "cleanup");
	CHECK(python_output(w.output, "cleaned up\n", said, sizeof(said)));
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	close_world(&w);
}

/* a deadline that passed before, or while something else runs, is not the next call's */
static void test_deadline_of_one_call_is_not_the_next_ones(void)
{
	const struct host_request past = {.function = "spin", .deadline_ns = 1};
	struct host_request next = {.function = "echo", .text = "[1]"};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	REQUIRE(python_open(&w, handlers));
	for (int i = 0; i < 50; i++) {
		check_failure(&w, &past, "EDEADLINE", "limit", "DeadlineExceeded", "deadline");
		next.deadline_ns = now_ns() + 20 * NSEC_PER_SEC;
		REQUIRE_OK(host_call(w.control, &next, &answer, &err), &err);
		CHECK(answer_ok(&answer));
		host_answer_fini(&answer);
	}
	close_world(&w);
}

/* --- output and threads --- */

static void test_output_is_out_after_the_call(void)
{
	char said[256];
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	CHECK_STR(ask(w.control, "write", ""), "null");
	CHECK(python_output(w.output, "the rest", said, sizeof(said)));
	CHECK_STR(said, "to stdout\nto stderr\nlogged\nthe rest");
	close_world(&w);
}

/* While the host waits for a message, threads that a function has left behind go on. */
static void test_threads_run_between_calls(void)
{
	char said[256];
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	(void)ask(w.control, "start_thread", "");
	CHECK(python_output(w.output, "ticked\n", said, sizeof(said)));
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	close_world(&w);
}

static void test_forked_children_do_not_answer(void)
{
	char said[1024];
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	CHECK_STR(ask(w.control, "fork", ""), "0");
	CHECK_STR(ask(w.control, "fork", "\"raise\""), "1");
	CHECK(python_output(w.output, "ValueError: in the child\n", said, sizeof(said)));
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	close_world(&w);
}

SUITE_MAIN("python_call", TEST(test_json_comes_back), TEST(test_bytes_come_back),
	TEST(test_binary_calls_get_a_memoryview),
	TEST(test_results_that_are_neither_json_nor_bytes), TEST(test_input_that_is_not_json),
	TEST(test_context_tells_about_the_call),
	TEST(test_exceptions_are_told_with_their_traceback),
	TEST(test_every_exception_is_an_answer), TEST(test_deadline_interrupts),
	TEST(test_deadline_of_one_call_is_not_the_next_ones),
	TEST(test_output_is_out_after_the_call), TEST(test_threads_run_between_calls),
	TEST(test_forked_children_do_not_answer))
