/* The WebAssembly engine in ramet-host: what functions get and give, what ends them, what is kept
 * apart, and what they may have. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/wasm_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define F(name) "wasm_functions.wasm:" name
#define P(name) "wasm_program.wasm:" name
#define SHORT_NS 50000000ull

static const char *const handlers[] = {F("same"), F("pull"), F("nothing"), F("count"),
	"count_too=" F("count"), F("fail"), F("seven"), F("context"), F("tell"), F("unreachable"),
	F("divide"), F("overflow"), F("convert"), F("too_large"), F("load"), F("store"), F("far"),
	F("fill"), F("bad_output"), F("boundary"), F("indirect"), F("no_element"), F("direct"),
	F("imports"), F("deep"), F("spin"), F("churn"), F("grow"), F("spoil"), F("look"),
	F("random"), F("clock"), F("wasi_errors"), F("clones"), "program=" P("_start"),
	P("environment"), "libhost_functions.so:echo", NULL};

static bool open_world(struct host_world *w)
{
	return wasm_open(w, handlers, (struct host_config){.init = F("begin")});
}

/* --- values --- */

static void check_same(int control, const char *function, const void *data, size_t len, bool binary)
{
	const struct host_request request = {
		.function = function, .data = data, .len = len, .binary = binary};
	struct ramet_err err = {0};
	struct host_answer answer;
	size_t got = 0;
	bool back_binary = !binary;
	REQUIRE_OK(host_call(control, &request, &answer, &err), &err);
	CHECK(answer_ok(&answer));
	const char *back = answer_data(&answer, &got);
	CHECK(got == len && memcmp(back, data, len) == 0);
	CHECK_INT(wire_get_bool_or(answer.body, "binary", false, &back_binary, &err), 0);
	CHECK_INT(back_binary, binary);
	host_answer_fini(&answer);
}

static void test_what_comes_in_comes_back(void)
{
	const size_t len = 8u << 20;
	auto_free unsigned char *data = malloc(len);
	struct host_world w;
	REQUIRE(data && wasm_open(&w, handlers, (struct host_config){0}));
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i * 7 + i / 4096);
	check_same(w.control, "same", "{\"a\":[1,null]}", 14, false);
	check_same(w.control, "same", data, 0, true);
	check_same(w.control, "same", data, 1, true);
	check_same(w.control, "same", data, 2000000, true);
	check_same(w.control, "pull", data, 0, true);
	check_same(w.control, "pull", data, 123456, true);
	check_same(w.control, "pull", "[1]", 3, false);
	CHECK_STR(ask(w.control, "nothing", "1"), "");
	CHECK_STR(ask(w.control, "direct", ""), "1");
	CHECK_STR(ask(w.control, "imports", ""), "\"half\"");
	wasm_close(&w);
}

static void test_large_input_in_a_memory_that_grows(void)
{
	static const char *const large[] = {"same=wasm_large.wasm:same", NULL};
	const size_t len = 8u << 20;
	auto_free unsigned char *data = malloc(len);
	struct host_world w;
	REQUIRE(data && wasm_open(&w, large, (struct host_config){0}));
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i * 11 + i / 4096);
	check_same(w.control, "same", data, len, true);
	check_same(w.control, "same", data, len, true);
	wasm_close(&w);
}

static void test_context_tells_about_the_call(void)
{
	static const unsigned char id[16] = {0x01, 0x23, 0xff};
	const struct host_request request = {.function = "context"};
	struct ramet_err err = {0};
	struct host_answer answer;
	struct host_world w;
	size_t len = 0;
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	const char *data = answer_data(&answer, &len);
	REQUIRE(len == 7 + 2 + 7 + 16);
	CHECK(memcmp(data, "contextv12340001", 16) == 0);
	CHECK(memcmp(data + 16, id, 16) == 0);
	host_answer_fini(&answer);
	wasm_close(&w);
}

static void test_functions_in_c(void)
{
	static const char *const functions[] = {"all=wasm_c.wasm:all", NULL};
	struct host_config config = {0};
	struct wasm_said said;
	struct host_world w;
	if (access(HOST_FUNCTIONS_DIR "/wasm_c.wasm", R_OK) < 0) {
		suite_skip("no clang and wasm-ld here");
		return;
	}
	if (!CHECK_INT(wasm_compile(HOST_FUNCTIONS_DIR, wasm_root(), "wasm_c.wasm", &said), 0))
		fprintf(stderr, "%s\n", said.text);
	config.compiled = said.last;
	REQUIRE(wasm_open(&w, functions, config));
	CHECK_STR(ask(w.control, "all", "[2]"), "[[2],\"allv1234110000310111\"]");
	const struct host_request request = {.function = "all", .text = "0"};
	struct ramet_err err = {0};
	struct host_answer answer;
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK_STR(answer_error(&answer, "message"), "not zero");
	host_answer_fini(&answer);
	wasm_close(&w);
}

static void test_told_before_the_result(void)
{
	const struct host_request request = {.function = "tell", .events = true};
	struct ramet_err err = {0};
	struct host_answer answer;
	struct host_world w;
	const void *chunk = NULL;
	size_t len = 0;
	char text[16] = "";
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK_INT(answer_uint(&answer, "progress"), 500000);
	CHECK_INT(wire_get_str(answer.body, "text", text, sizeof(text), &err), 0);
	CHECK_STR(text, "half");
	host_answer_fini(&answer);
	REQUIRE_OK(host_read(w.control, &answer, &err), &err);
	REQUIRE_OK(wire_get_bin(answer.body, "chunk", &chunk, &len, &err), &err);
	CHECK(len == 6 && memcmp(chunk, "\"half\"", 6) == 0);
	host_answer_fini(&answer);
	REQUIRE_OK(host_read(w.control, &answer, &err), &err);
	CHECK_STR(answer_data(&answer, &len), "1");
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "tell", ""), "0"); /* nobody listens */
	wasm_close(&w);
}

/* --- errors --- */

static void test_errors_have_a_message(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	wasm_check_failure(
		w.control, "fail", &(struct wasm_failure){"EUSER", "WasmError", "no luck today"});
	wasm_check_failure(w.control, "seven",
		&(struct wasm_failure){"EUSER", "WasmError", "the function returned 7"});
	CHECK_STR(ask(w.control, "same", "1"), "1");
	wasm_close(&w);
}

static void test_traps_have_names(void)
{
	static const char bounds[] = "out of bounds memory access";
	static const struct {
		const char *function, *message;
	} traps[] = {{"unreachable", "unreachable"}, {"divide", "integer divide by zero"},
		{"overflow", "integer overflow"}, {"convert", "invalid conversion"},
		{"too_large", "integer overflow"}, {"load", bounds}, {"store", bounds},
		{"far", bounds}, {"fill", bounds}, {"bad_output", bounds}, {"boundary", bounds},
		{"indirect", "indirect call type mismatch"},
		{"no_element", "indirect call type mismatch"}, {"deep", "call stack exhausted"}};
	struct host_world w;
	REQUIRE(open_world(&w));
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(traps) / sizeof(traps[0]); i++)
			wasm_check_failure(w.control, traps[i].function,
				&(struct wasm_failure){"EUSER", "WasmTrap", traps[i].message});
		CHECK_STR(ask(w.control, "same", "\"on\""), "\"on\"");
	}
	wasm_close(&w);
}

static void test_a_trap_costs_the_instance_only(void)
{
	static const char *const two[] = {"tiny=wasm_tiny.wasm:tiny", "trap=wasm_tiny.wasm:trap",
		F("count"), F("spin"), NULL};
	struct host_world w;
	REQUIRE(wasm_open(&w, two, (struct host_config){.init = F("begin")}));
	CHECK_STR(ask(w.control, "count", ""), "51"); /* init made it 4 */
	CHECK_STR(ask(w.control, "count", ""), "62");
	for (int i = 0; i < 3; i++)
		wasm_check_failure(w.control, "trap",
			&(struct wasm_failure){"EUSER", "WasmTrap", "unreachable"});
	CHECK_STR(ask(w.control, "count", ""), "73");
	CHECK_STR(ask(w.control, "tiny", ""), "1");
	wasm_close(&w);
}

/* --- deadlines --- */

static void check_deadline(int control, const char *function, bool reset)
{
	struct ramet_err err = {0};
	struct host_answer answer;
	const struct host_request request = {
		.function = function, .deadline_ns = now_ns() + SHORT_NS, .reset = reset};
	REQUIRE_OK(host_call(control, &request, &answer, &err), &err);
	CHECK(now_ns() >= request.deadline_ns);
	CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
	CHECK_STR(answer_error(&answer, "kind"), "limit");
	host_answer_fini(&answer);
}

static void test_deadlines_end_loops_and_the_host_goes_on(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	CHECK_STR(ask(w.control, "count", ""), "51");
	for (int i = 0; i < 5; i++) {
		check_deadline(w.control, "spin", false);
		CHECK_STR(ask(w.control, "same", "\"on\""), "\"on\"");
	}
	CHECK_STR(ask(w.control, "count", ""), "62");
	wasm_close(&w);
}

/* wherever it was: in the module, in what it calls, on the way */
static void test_deadlines_at_any_instruction(void)
{
	enum { ROUNDS = 300 };
	struct ramet_err err = {0};
	struct host_answer answer;
	struct host_world w;
	REQUIRE(open_world(&w));
	for (unsigned i = 0; i < ROUNDS; i++) {
		const struct host_request request = {
			.function = "churn", .deadline_ns = now_ns() + 100000 + i * 7919 % 1500000};
		REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
		CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
		host_answer_fini(&answer);
		CHECK_STR(ask(w.control, "same", "\"on\""), "\"on\"");
	}
	wasm_close(&w);
}

/* --- what is kept apart, and brought back --- */

static void test_functions_do_not_see_each_other(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	CHECK_STR(ask(w.control, "look", ""), "\"as it was\"");
	CHECK_STR(ask(w.control, "spoil", ""), "\"Xs it was\"");
	CHECK_STR(ask(w.control, "look", ""), "\"as it was\"");
	CHECK_STR(ask(w.control, "count", ""), "51");
	CHECK_STR(ask(w.control, "count", ""), "62");
	CHECK_STR(ask(w.control, "count_too", ""), "51");
	wasm_close(&w);
}

static const char *ask_and_reset(int control, const char *function)
{
	static char said[64];
	const struct host_request request = {.function = function, .reset = true};
	struct ramet_err err = {0};
	struct host_answer answer;
	size_t len = 0;
	bool last = true;
	said[0] = '\0';
	int rc = host_call(control, &request, &answer, &err);
	if (!suite_check_ok(rc, &err, function, __FILE__, __LINE__))
		return said;
	if (CHECK(answer_ok(&answer)))
		snprintf(said, sizeof(said), "%s", answer_data(&answer, &len));
	CHECK_INT(wire_get_bool_or(answer.body, "last", false, &last, &err), 0);
	CHECK(!last);
	host_answer_fini(&answer);
	return said;
}

static void test_reset_brings_everything_back(void)
{
	static const char *const resets[] = {"look=" F("spoil_or_look"), F("count"), F("spin"),
		F("unreachable"), F("grow"), F("same"), NULL};
	struct host_world w;
	REQUIRE(wasm_open(&w, resets, (struct host_config){.init = F("begin"), .resets = true}));
	for (int i = 0; i < 3; i++) {
		CHECK_STR(ask_and_reset(w.control, "look"), "\"as it was\"");
		CHECK_STR(ask_and_reset(w.control, "count"), "51");
		CHECK_STR(ask_and_reset(w.control, "grow"), "40");
		check_deadline(w.control, "spin", true);
		wasm_check_failure(w.control, "unreachable",
			&(struct wasm_failure){"EUSER", "WasmTrap", "unreachable"});
	}
	wasm_close(&w);
}

/* --- limits --- */

static void test_heap_is_limited(void)
{
	static const char *const functions[] = {F("grow"), F("count"), NULL};
	struct host_world w;
	REQUIRE(wasm_open(&w, functions, (struct host_config){.heap = 10 * 65536 + 4096}));
	CHECK_STR(ask(w.control, "grow", ""), "10");
	CHECK_STR(ask(w.control, "grow", ""), "10");
	CHECK_STR(ask(w.control, "count", ""), "11");
	wasm_close(&w);
	REQUIRE(wasm_open(&w, functions, (struct host_config){0}));
	CHECK_STR(ask(w.control, "grow", ""), "40"); /* the module's own limit */
	wasm_close(&w);
}

static void check_refused(
	const char *handler, struct host_config config, const char *code, const char *message)
{
	const char *const one[] = {handler, NULL};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	config.languages[0] = (struct host_language){"wasm", ENGINE_WASM};
	config.lang = "wasm";
	REQUIRE_OK(host_start(&w, &err), &err);
	REQUIRE_OK(host_load_with(w.control, one, &config, &answer, &err), &err);
	CHECK_STR(answer.type, "failed");
	CHECK_STR(answer_error(&answer, "code"), code);
	if (!CHECK(strstr(answer_error(&answer, "message"), message) != NULL))
		fprintf(stderr, "%s\n", answer_error(&answer, "message"));
	host_answer_fini(&answer);
	CHECK_INT(WEXITSTATUS(host_end(&w)), 1);
}

static void test_what_cannot_be_loaded_is_told(void)
{
	const struct host_config plain = {.compiled = wasm_compiled()};
	struct host_config config = plain;
	check_refused(F("same"), (struct host_config){0}, "EINTERNAL", "was not compiled");
	check_refused(F("nobody"), plain, "EUSER", "exports no function nobody");
	check_refused(F("wrong_type"), plain, "EUSER", "a type of no handler");
	check_refused("wasm_tiny.wasm:f(", plain, "EUSER", "exports no function f(");
	check_refused("nowhere.wasm:x", plain, "EUSER", "nowhere.wasm was not compiled");
	check_refused("../x.wasm:x", plain, "EUSER", "no file of the application");
	config.init = F("begin_badly");
	check_refused(F("same"), config, "EUSER", "no luck today");
	config.init = F("unreachable");
	check_refused(F("same"), config, "EUSER", "unreachable");
	config.init = F("nobody");
	check_refused(F("same"), config, "EUSER", "is no function () or () -> i32");
	config.init = "wasm_tiny.wasm:tiny";
	check_refused(F("same"), config, "EUSER", "is in the file of no function");
	config = plain;
	config.heap = 65536;
	check_refused(F("same"), config, "ELIMIT", "a memory of 131072 bytes");
}

/* --- the world --- */

static uint64_t clock_of(int control, const char *id)
{
	return strtoull(ask(control, "clock", id), NULL, 10);
}

static void test_clocks_go(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	uint64_t before = now_ns();
	uint64_t said = clock_of(w.control, "1");
	CHECK(before <= said && said <= now_ns());
	said = clock_of(w.control, "0");
	struct timespec ts; /* time() may be a tick behind */
	clock_gettime(CLOCK_REALTIME, &ts);
	CHECK(said / 1000000000u >= (uint64_t)ts.tv_sec - 60);
	CHECK(said / 1000000000u <= (uint64_t)ts.tv_sec);
	CHECK_STR(ask(w.control, "wasi_errors", ""), "522128"); /* ENOSYS, EFAULT, EINVAL */
	wasm_close(&w);
}

static void test_programs(void)
{
	static const char input[] = "xnot JSON: \xff";
	const struct host_request request = {
		.function = "program", .data = input, .len = sizeof(input) - 1};
	struct ramet_err err = {0};
	struct host_answer answer;
	struct host_world w;
	size_t len = 0;
	bool binary = false;
	REQUIRE(open_world(&w));
	for (int i = 0; i < 3; i++) /* each run is the first */
		CHECK_STR(ask(w.control, "program", "{\"a\":2}"), "[1,{\"a\":2}]\n");
	CHECK_STR(ask(w.control, "environment", ""), "");
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK(memcmp(answer_data(&answer, &len), input, sizeof(input) - 1) == 0);
	CHECK_INT(len, sizeof(input) - 1);
	CHECK_INT(wire_get_bool_or(answer.body, "binary", false, &binary, &err), 0);
	CHECK(binary);
	host_answer_fini(&answer);
	wasm_close(&w);
}

static void test_a_program_that_fails(void)
{
	const struct host_request three = {.function = "program", .text = "3"};
	const struct host_request small = {
		.function = "program", .text = "[1,2,3]", .max_output = 8};
	struct ramet_err err = {0};
	struct host_answer answer;
	struct host_world w;
	REQUIRE(open_world(&w));
	REQUIRE_OK(host_call(w.control, &three, &answer, &err), &err);
	CHECK_STR(answer_error(&answer, "code"), "EUSER");
	CHECK_STR(answer_error(&answer, "message"), "it ended with status 3");
	host_answer_fini(&answer);
	REQUIRE_OK(host_call(w.control, &small, &answer, &err), &err);
	CHECK_STR(answer_error(&answer, "code"), "ELIMIT");
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "program", "2"), "[1,2]\n");
	wasm_close(&w);
}

static void test_programs_in_c(void)
{
	static const char *const functions[] = {"sum=wasm_stdio.wasm:_start", NULL};
	const struct host_request large = {.function = "sum", .text = "[99, 2]"};
	struct host_config config = {0};
	struct ramet_err err = {0};
	struct host_answer answer;
	struct wasm_said said;
	struct host_world w;
	if (access(HOST_FUNCTIONS_DIR "/wasm_stdio.wasm", R_OK) < 0) {
		suite_skip("no clang, wasm-ld and wasi-libc here");
		return;
	}
	if (!CHECK_INT(wasm_compile(HOST_FUNCTIONS_DIR, wasm_root(), "wasm_stdio.wasm", &said), 0))
		fprintf(stderr, "%s\n", said.text);
	config.compiled = said.last;
	REQUIRE(wasm_open(&w, functions, config));
	for (int i = 0; i < 3; i++) {
		CHECK_STR(ask(w.control, "sum", "[1, 2, 3.5]"), "[6.5, 1, 1, 0]\n");
		CHECK_STR(ask(w.control, "sum", ""), "[0, 1, 1, 0]\n");
	}
	REQUIRE_OK(host_call(w.control, &large, &answer, &err), &err);
	CHECK_STR(answer_error(&answer, "message"), "it ended with status 4");
	host_answer_fini(&answer);
	wasm_close(&w);
}

static void test_beside_native_functions(void)
{
	struct host_world w;
	REQUIRE(open_world(&w));
	CHECK_STR(ask(w.control, "echo", "[1]"), "[1]");
	CHECK_STR(ask(w.control, "same", "[1]"), "[1]");
	wasm_close(&w);
}

SUITE_MAIN("wasm", TEST(test_what_comes_in_comes_back),
	TEST(test_large_input_in_a_memory_that_grows), TEST(test_context_tells_about_the_call),
	TEST(test_functions_in_c), TEST(test_told_before_the_result),
	TEST(test_errors_have_a_message), TEST(test_traps_have_names),
	TEST(test_a_trap_costs_the_instance_only),
	TEST(test_deadlines_end_loops_and_the_host_goes_on),
	TEST(test_deadlines_at_any_instruction), TEST(test_functions_do_not_see_each_other),
	TEST(test_reset_brings_everything_back), TEST(test_heap_is_limited),
	TEST(test_what_cannot_be_loaded_is_told), TEST(test_clocks_go), TEST(test_programs),
	TEST(test_a_program_that_fails), TEST(test_programs_in_c),
	TEST(test_beside_native_functions))
