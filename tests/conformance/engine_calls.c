/* What functions get and give. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/conformance/engine_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LARGE (8u << 20)

void test_values_come_back(void)
{
	static const char *const texts[] = {"1", "-0.5", "true", "null", "[]", "{}",
		"[1,[2,[]],{\"a\":[]}]", "{\"a\":{\"b\":[1,null,\"x\"]}}", "\"\""};
	struct host_world w;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char said[256];
		size_t len = 0;
		const char *answer = ask(w.control, "echo", texts[i]);
		for (; *answer && len < sizeof(said) - 1; answer++)
			if (*answer != ' ')
				said[len++] = *answer;
		said[len] = '\0';
		CHECK_STR(said, texts[i]);
	}
	const char *said = ask(w.control, "echo", "\"caf\xc3\xa9\"");
	CHECK(strcmp(said, "\"caf\xc3\xa9\"") == 0 || strcmp(said, "\"caf\\u00e9\"") == 0);
	engine_close(&w);
}

static void check_bytes(int control, const void *data, size_t len)
{
	const struct host_request request = {
		.function = "echo", .data = data, .len = len, .binary = true};
	struct ramet_err err = {0};
	struct host_answer answer;
	size_t got = 0;
	bool binary = false;
	REQUIRE_OK(host_call(control, &request, &answer, &err), &err);
	CHECK(answer_ok(&answer));
	const char *back = answer_data(&answer, &got);
	CHECK(got == len && memcmp(back, data, len) == 0);
	CHECK_INT(wire_get_bool_or(answer.body, "binary", false, &binary, &err), 0);
	CHECK(binary);
	host_answer_fini(&answer);
}

void test_bytes_come_back(void)
{
	auto_free unsigned char *data = malloc(LARGE);
	struct host_world w;
	REQUIRE(data && engine_open(&w, &(struct engine_options){0}));
	for (size_t i = 0; i < LARGE; i++)
		data[i] = (unsigned char)(i * 7 + i / 4096);
	for (size_t len = 1; len <= LARGE; len *= 2)
		check_bytes(w.control, data, len);
	check_bytes(w.control, data, 0);
	check_bytes(w.control, data, 4097);
	engine_close(&w);
}

void test_what_is_no_json_is_refused(void)
{
	static const char *const texts[] = {"{", "[1,", "nul", "\"", "1 2", "{\"a\":}"};
	struct host_world w;
	if (engine_lacks(LACKS_VALUES))
		return;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		engine_fails(w.control,
			&(struct host_request){.function = "echo", .text = texts[i]}, "EINVAL");
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	engine_close(&w);
}

void test_errors_tell_what_and_where(void)
{
	const struct host_request request = {.function = "fail"};
	struct host_world w;
	struct ramet_err err = {0};
	struct host_answer answer;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK(!answer_ok(&answer));
	CHECK_STR(answer_error(&answer, "code"), "EUSER");
	CHECK_STR(answer_error(&answer, "kind"), "user");
	CHECK_STR(answer_error(&answer, "type"), engine_spec.error_type);
	CHECK(strstr(answer_error(&answer, "message"), "no luck today") != NULL);
	if (!(engine_spec.lacks & LACKS_VALUES)) /* it has a traceback */
		CHECK(strstr(answer_error(&answer, "traceback"), "inner") != NULL);
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	engine_close(&w);
}

void test_what_is_emitted_comes_first(void)
{
	struct host_request request = {.function = "tell", .text = "3", .events = true};
	CLEANUP(buf_fini) struct buf b = {0};
	struct host_world w;
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	unsigned events = 0;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	host_pack_call(&b, &request);
	REQUIRE_OK(host_send(w.control, &b, &err), &err);
	REQUIRE_OK(host_read(w.control, &answer, &err), &err);
	while (strcmp(answer.type, "event") == 0) {
		const void *chunk = NULL;
		char expected[16];
		size_t len = 0;
		snprintf(expected, sizeof(expected), "%u", ++events);
		CHECK_INT(wire_get_bin(answer.body, "chunk", &chunk, &len, &err), 0);
		CHECK(len == strlen(expected) && memcmp(chunk, expected, len) == 0);
		host_answer_fini(&answer);
		REQUIRE_OK(host_read(w.control, &answer, &err), &err);
	}
	CHECK_STR(answer.type, "result");
	CHECK(answer_ok(&answer));
	CHECK_INT(events, 3);
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	engine_close(&w);
}

void test_clock_is_right(void)
{
	struct host_world w;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	double said = strtod(ask(w.control, "now", ""), NULL);
	CHECK(said > (double)time(NULL) - 60 && said < (double)time(NULL) + 60);
	engine_close(&w);
}
