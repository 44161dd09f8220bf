/* The Lua engine in ramet-host: what functions get and give, what ends them, what is kept apart,
 * and that it lives in clones, beside native functions. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/clone_world.h"
#include "tests/runtime_host/host_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define F(name) "lua_functions.lua:" name
#define SHORT_NS 50000000ull

static const char *const handlers[] = {F("same"), F("count"), F("required"), F("empty"), F("fail"),
	F("raise_table"), F("spin"), F("stubborn"), F("interpreted"), F("bomb"), F("deep"),
	F("spoil"), F("look"), F("random"), F("context"), F("reach"), F("environment"), F("bytes"),
	F("loop_sum"), "libhost_functions.so:echo", NULL};

static int load_all(int control, struct ramet_err *err)
{
	const struct host_config config = {.languages = {{"lua", ENGINE_LUA}}};
	struct host_answer answer;
	int rc = host_load_with(control, handlers, &config, &answer, err);
	if (rc == 0 && strcmp(answer.type, "loaded") != 0)
		rc = err_set(
			err, RAMET_EIO, "%s: %s", answer.type, answer_error(&answer, "message"));
	host_answer_fini(&answer);
	return rc;
}

static bool open_world(struct host_world *w)
{
	struct ramet_err err = {0};
	int rc = host_start(w, &err);
	if (rc == 0)
		rc = load_all(w->control, &err);
	return suite_check_ok(rc, &err, "start a host", __FILE__, __LINE__);
}

static void close_world(struct host_world *w)
{
	struct ramet_err err = {0};
	CHECK_INT(host_say(w->control, "exit", &err), 0);
	CHECK_INT(host_end(w), 0);
}

static void test_json_comes_back(void)
{
	static const char *const texts[] = {"1", "-0.5", "\"caf\\u00e9\"", "true", "null", "[]",
		"{}", "[1,[2,[]],{\"a\":[]}]", "{\"a\":{\"b\":[1,null,\"x\"]}}", "9007199254740992",
		"12345678901234567890"};
	static const char *const expected[] = {"1", "-0.5", "\"caf\xc3\xa9\"", "true", "null", "[]",
		"{}", "[1,[2,[]],{\"a\":[]}]", "{\"a\":{\"b\":[1,null,\"x\"]}}", "9007199254740992",
		"1.2345678901234567e19"};
	struct host_world w;
	REQUIRE(open_world(&w));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CHECK_STR(ask(w.control, "same", texts[i]), expected[i]);
	CHECK_STR(ask(w.control, "same", ""), "null");
	CHECK(strstr(ask(w.control, "empty", ""), "\"list\":[]") != NULL);
	CHECK(strstr(ask(w.control, "empty", ""), "\"table\":{}") != NULL);
	CHECK(strstr(ask(w.control, "empty", ""), "\"text\":\"[1,[]]\"") != NULL);
	CHECK_STR(ask(w.control, "required", ""), "\"module\"");
	CHECK_STR(ask(w.control, "environment", ""), "\"green1970\"");
	close_world(&w);
}

static void check_bytes(int control, const void *data, size_t len)
{
	const struct host_request request = {
		.function = "bytes", .data = data, .len = len, .binary = true};
	struct ramet_err err = {0};
	struct host_answer answer;
	size_t got = 0;
	bool binary = false;
	REQUIRE_OK(host_call(control, &request, &answer, &err), &err);
	CHECK(answer_ok(&answer));
	const char *back = answer_data(&answer, &got);
	CHECK(got == len + 2 && memcmp(back, data, len) == 0 &&
		memcmp(back + len, "\0\377", 2) == 0);
	CHECK_INT(wire_get_bool_or(answer.body, "binary", false, &binary, &err), 0);
	CHECK(binary);
	host_answer_fini(&answer);
}

static void test_bytes_come_back(void)
{
	const size_t len = 8u << 20;
	auto_free unsigned char *data = malloc(len);
	struct host_world w;
	REQUIRE(data && open_world(&w));
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i * 7 + i / 4096);
	check_bytes(w.control, data, 0);
	check_bytes(w.control, data, 1);
	check_bytes(w.control, data, len);
	close_world(&w);
}

static void test_context_tells_about_the_call(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	CHECK_STR(ask(w.control, "context", ""),
		"[\"context\",\"v1\",2,3,4,\"0123ff00000000000000000000000000\",false,false,"
		"false]");
	close_world(&w);
}

static void check_failure(int control, const char *function, const char *text, const char *code,
	const char *message, const char *trace)
{
	const struct host_request request = {.function = function, .text = text};
	struct ramet_err err = {0};
	struct host_answer answer;
	REQUIRE_OK(host_call(control, &request, &answer, &err), &err);
	CHECK(!answer_ok(&answer));
	CHECK_STR(answer_error(&answer, "code"), code);
	CHECK_STR(answer_error(&answer, "type"), "LuaError");
	CHECK(strstr(answer_error(&answer, "message"), message) != NULL);
	CHECK(strstr(answer_error(&answer, "traceback"), trace) != NULL);
	host_answer_fini(&answer);
	CHECK_STR(ask(control, "same", "\"on\""), "\"on\"");
}

static void test_errors_have_message_and_traceback(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	check_failure(
		w.control, "fail", "1", "EUSER", "lua_functions.lua:28: no luck today", "inner");
	check_failure(w.control, "raise_table", "1", "EUSER", "a table was raised", "traceback");
	check_failure(w.control, "same", "{", "EINVAL", "the input is no JSON", "");
	check_failure(w.control, "deep", "1", "EUSER", "stack overflow", "down");
	close_world(&w);
}

/* the call's deadline passes, and whether the host goes on after it */
static void check_deadline(const char *function, bool goes_on)
{
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	REQUIRE(open_world(&w));
	const struct host_request request = {
		.function = function, .deadline_ns = now_ns() + SHORT_NS};
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK(now_ns() >= request.deadline_ns);
	CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
	CHECK_STR(answer_error(&answer, "kind"), "limit");
	host_answer_fini(&answer);
	if (goes_on) {
		CHECK_STR(ask(w.control, "same", "\"on\""), "\"on\"");
		close_world(&w);
	} else {
		CHECK_INT(host_end(&w), 0); /* by itself */
	}
}

static void test_deadlines_end_loops(void)
{
	check_deadline("interpreted", true);
	check_deadline("spin", false); /* compiled */
	check_deadline("stubborn", false);
	check_deadline("bomb", false); /* in C */
}

static void test_functions_do_not_see_each_other(void)
{
	static const char untouched[] = "[\"as it was\",true,\"A\"]";
	struct host_world w;
	REQUIRE(open_world(&w));
	CHECK_STR(ask(w.control, "look", ""), untouched);
	CHECK_STR(ask(w.control, "spoil", ""), "\"spoilt\"");
	CHECK_STR(ask(w.control, "look", ""), untouched);
	CHECK_STR(ask(w.control, "count", ""), "1");
	CHECK_STR(ask(w.control, "count", ""), "2");
	CHECK_STR(ask(w.control, "reach", ""), "[]");
	close_world(&w);
}

static void test_beside_native_functions(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	CHECK_STR(ask(w.control, "echo", "[1]"), "[1]");
	CHECK_STR(ask(w.control, "same", "[1]"), "[1]");
	close_world(&w);
}

static void check_refused(const char *handler, const char *engine, const char *message)
{
	const char *const one[] = {handler, NULL};
	const struct host_config config = {.languages = {{"lua", engine}}};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	REQUIRE_OK(host_start(&w, &err), &err);
	REQUIRE_OK(host_load_with(w.control, one, &config, &answer, &err), &err);
	CHECK_STR(answer.type, "failed");
	if (!CHECK(strstr(answer_error(&answer, "message"), message) != NULL))
		fprintf(stderr, "%s\n", answer_error(&answer, "message"));
	host_answer_fini(&answer);
	CHECK_INT(WEXITSTATUS(host_end(&w)), 1);
}

static void test_what_cannot_be_loaded_is_told(void)
{
	check_refused(F("same"), NULL, "no engine for language lua");
	check_refused(F("same"), "/nowhere/engine_lua.so", "/nowhere/engine_lua.so");
	check_refused(F("same"), HOST_FUNCTIONS_DIR "/libhost_functions.so", "has no ramet_engine");
	check_refused(
		F("nobody"), ENGINE_LUA, "neither a function nor a table with a function nobody");
	check_refused("nowhere.lua:x", ENGINE_LUA, "nowhere.lua cannot be read");
}

/* --- clones --- */

static bool open_clones(struct clone_world *w)
{
	struct ramet_err err = {0};
	*w = (struct clone_world){
		.fork = {.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}}};
	int rc = host_start(&w->host, &err);
	if (rc == 0)
		rc = load_all(w->host.control, &err);
	if (rc == 0)
		CHECK_STR(ask(w->host.control, "loop_sum", "1000000"),
			"2999998"); /* is compiled now */
	return suite_check_ok(rc, &err, "start a host", __FILE__, __LINE__) &&
		clone_world_capture(w);
}

static void test_clones_have_state_and_compiled_code(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	struct ramet_err err = {0};
	REQUIRE(open_clones(&w));
	for (int i = 0; i < 2; i++) {
		REQUIRE(clone_start(&w, &clone));
		CHECK_STR(ask(clone.control, "loop_sum", "1000000"), "2999998");
		CHECK_STR(ask(clone.control, "count", ""), "1");
		CHECK_STR(ask(clone.control, "echo", "7"), "7");
		CHECK_INT(host_say(clone.control, "exit", &err), 0);
		CHECK_INT(clone_end(&clone), 0);
	}
	clone_world_close(&w);
}

static void test_clones_get_randomness_of_their_own(void)
{
	enum { CLONES = 8 };
	struct clone_world w;
	struct clone clone = {.control = -1};
	char said[CLONES][32];
	REQUIRE(open_clones(&w));
	for (int i = 0; i < CLONES; i++) {
		REQUIRE(clone_start(&w, &clone));
		snprintf(said[i], sizeof(said[i]), "%s", ask(clone.control, "random", ""));
		clone_end(&clone);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(said[i], said[j]) != 0);
	}
	clone_world_close(&w);
}

static void test_deadline_holds_in_clones(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(open_clones(&w));
	REQUIRE(clone_start(&w, &clone));
	const struct host_request request = {
		.function = "spin", .deadline_ns = now_ns() + SHORT_NS};
	REQUIRE_OK(host_call(clone.control, &request, &answer, &err), &err);
	CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
	host_answer_fini(&answer);
	CHECK_INT(clone_end(&clone), 0);
	clone_check(&w, "count", "1"); /* its siblings do not notice */
	clone_world_close(&w);
}

SUITE_MAIN("lua", TEST(test_json_comes_back), TEST(test_bytes_come_back),
	TEST(test_context_tells_about_the_call), TEST(test_errors_have_message_and_traceback),
	TEST(test_deadlines_end_loops), TEST(test_functions_do_not_see_each_other),
	TEST(test_beside_native_functions), TEST(test_what_cannot_be_loaded_is_told),
	TEST(test_clones_have_state_and_compiled_code),
	TEST(test_clones_get_randomness_of_their_own), TEST(test_deadline_holds_in_clones))
