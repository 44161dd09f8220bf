/* WebAssembly functions in clones, and many instances of them in one host. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/wasm_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define F(name) "wasm_functions.wasm:" name
#define SHORT_NS 50000000ull

static const char *const handlers[] = {F("same"), F("count"), F("spin"), F("look"), F("spoil"),
	F("grow"), F("random"), F("clock"), F("clones"), F("unreachable"), F("boundary"),
	"program=wasm_program.wasm:_start", "large=wasm_large.wasm:same", NULL};

static void end_clone(struct clone *clone)
{
	struct ramet_err err = {0};
	CHECK_INT(host_say(clone->control, "exit", &err), 0);
	CHECK_INT(clone_end(clone), 0);
}

/* --- clones --- */

static void test_clones_begin_where_the_capture_was(void)
{
	const struct host_config config = {.init = F("begin")};
	struct clone_world w;
	struct clone clone = {.control = -1};
	REQUIRE(wasm_open_clones(&w, handlers, config));
	for (int i = 0; i < 3; i++) {
		REQUIRE(clone_start(&w, &clone));
		CHECK_STR(ask(clone.control, "count", ""), "51");
		CHECK_STR(ask(clone.control, "count", ""), "62");
		CHECK_STR(ask(clone.control, "spoil", ""), "\"Xs it was\"");
		CHECK_STR(ask(clone.control, "look", ""), "\"as it was\"");
		CHECK_STR(ask(clone.control, "same", "[7]"), "[7]");
		CHECK_STR(ask(clone.control, "clones", ""), "1"); /* ramet_after_clone() */
		CHECK_STR(ask(clone.control, "clones", ""), "1");
		CHECK_STR(ask(clone.control, "program", "2"), "[1,2]\n");
		CHECK_STR(ask(clone.control, "program", "2"), "[1,2]\n");
		end_clone(&clone);
	}
	clone_world_close(&w);
}

static void test_traps_and_growing_in_clones(void)
{
	const struct wasm_failure trap = {"EUSER", "WasmTrap", "unreachable"};
	const struct wasm_failure bounds = {"EUSER", "WasmTrap", "out of bounds memory access"};
	struct clone_world w;
	struct clone clone = {.control = -1};
	REQUIRE(wasm_open_clones(&w, handlers, (struct host_config){.init = F("begin")}));
	REQUIRE(clone_start(&w, &clone));
	for (int i = 0; i < 2; i++) {
		wasm_check_failure(clone.control, "unreachable", &trap);
		wasm_check_failure(clone.control, "boundary", &bounds);
		CHECK_STR(ask(clone.control, "large", "12"), "12");
		CHECK_STR(ask(clone.control, "grow", ""), "40");
	}
	CHECK_STR(ask(clone.control, "count", ""), "51");
	end_clone(&clone);
	clone_world_close(&w);
}

static void check_random_of(struct clone_world *w, char (*said)[32], int count)
{
	struct clone clone = {.control = -1};
	for (int i = 0; i < count; i++) {
		REQUIRE(clone_start(w, &clone));
		snprintf(said[i], sizeof(said[i]), "%s", ask(clone.control, "random", ""));
		clone_end(&clone);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(said[i], said[j]) != 0);
	}
}

static void test_clones_get_randomness_of_their_own(void)
{
	enum { CLONES = 64 };
	char said[CLONES][32] = {""};
	struct clone_world w;
	REQUIRE(wasm_open_clones(&w, handlers, (struct host_config){0}));
	check_random_of(&w, said, CLONES);
	clone_world_close(&w);
}

static void test_deadline_holds_in_clones(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(wasm_open_clones(&w, handlers, (struct host_config){0}));
	REQUIRE(clone_start(&w, &clone));
	for (int i = 0; i < 3; i++) {
		const struct host_request request = {
			.function = "spin", .deadline_ns = now_ns() + SHORT_NS};
		REQUIRE_OK(host_call(clone.control, &request, &answer, &err), &err);
		CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
		host_answer_fini(&answer);
		CHECK_STR(ask(clone.control, "same", "1"), "1");
	}
	end_clone(&clone);
	clone_check(&w, "count", "11"); /* its siblings do not notice */
	clone_world_close(&w);
}

static void ask_with_reset(int control, const char *function, const char *expected)
{
	const struct host_request request = {.function = function, .reset = true};
	struct ramet_err err = {0};
	struct host_answer answer;
	size_t len = 0;
	REQUIRE_OK(host_call(control, &request, &answer, &err), &err);
	if (CHECK(answer_ok(&answer)))
		CHECK_STR(answer_data(&answer, &len), expected);
	host_answer_fini(&answer);
}

static void test_reset_in_clones_goes_back_to_the_capture(void)
{
	static const char *const resets[] = {
		"look=" F("spoil_or_look"), F("count"), F("grow"), NULL};
	struct clone_world w = {
		.fork = {.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}}};
	struct clone clone = {.control = -1};
	REQUIRE(wasm_open(
		&w.host, resets, (struct host_config){.init = F("begin"), .resets = true}));
	CHECK_STR(ask(w.host.control, "count", ""), "51"); /* not reset: the capture has it */
	REQUIRE(clone_world_capture(&w));
	REQUIRE(clone_start(&w, &clone));
	for (int i = 0; i < 3; i++) {
		ask_with_reset(clone.control, "look", "\"as it was\"");
		ask_with_reset(clone.control, "count", "62");
		ask_with_reset(clone.control, "grow", "40");
	}
	end_clone(&clone);
	clone_world_close(&w);
}

/* --- many --- */

/* a line of /proc/PID/smaps_rollup, in KiB */
static long memory_of(pid_t pid, const char *what)
{
	char path[64];
	char line[256];
	long kib = -1;
	size_t len = strlen(what);
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	FILE *file = fopen(path, "r");
	while (file && kib < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, what, len) != 0 || sscanf(line + len, ": %ld", &kib) != 1)
			kib = -1;
	if (file)
		fclose(file);
	CHECK(kib > 0);
	return kib;
}

/* a host with so many functions f0, f1, … of the smallest module */
static bool open_many(struct host_world *w, unsigned count)
{
	char(*names)[40] = calloc(count, sizeof(*names));
	const char **list = calloc(count + 1u, sizeof(*list));
	bool opened = CHECK(names && list);
	for (unsigned i = 0; opened && i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "f%u=wasm_tiny.wasm:tiny", i);
		list[i] = names[i];
	}
	opened = opened && wasm_open(w, list, (struct host_config){0});
	free(list);
	free(names);
	return opened;
}

static void test_a_thousand_instances_in_one_host(void)
{
	enum { COUNT = 1000 };
	struct host_world w;
	char name[16];
	REQUIRE(open_many(&w, 1));
	CHECK_STR(ask(w.control, "f0", ""), "1");
	long one = memory_of(w.pid, "Pss");
	wasm_close(&w);
	REQUIRE(open_many(&w, COUNT));
	long many = memory_of(w.pid, "Pss");
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_STR(ask(w.control, name, ""), "1");
	}
	long called = memory_of(w.pid, "Pss");
	printf("  an instance that waits: %ld bytes, called: %ld bytes\n",
		(many - one) * 1024 / (COUNT - 1), (called - one) * 1024 / (COUNT - 1));
	CHECK((many - one) * 1024 / (COUNT - 1) < 16384);
	wasm_close(&w);
}

static void test_instances_leave_nothing_behind(void)
{
	enum { ROUNDS = 10000 };
	static const char *const traps[] = {
		"trap=wasm_tiny.wasm:trap", "tiny=wasm_tiny.wasm:tiny", NULL};
	const struct wasm_failure expected = {"EUSER", "WasmTrap", "unreachable"};
	struct host_world w;
	REQUIRE(wasm_open(&w, traps, (struct host_config){0}));
	for (int i = 0; i < 100; i++)
		wasm_check_failure(w.control, "trap", &expected);
	/* not its part of files, which grows when others that map them end */
	long before = memory_of(w.pid, "Anonymous");
	for (int i = 0; i < ROUNDS; i++)
		wasm_check_failure(w.control, "trap", &expected);
	CHECK(memory_of(w.pid, "Anonymous") <= before + 64);
	CHECK_STR(ask(w.control, "tiny", ""), "1");
	wasm_close(&w);
}

SUITE_MAIN("wasm_clone", TEST(test_clones_begin_where_the_capture_was),
	TEST(test_traps_and_growing_in_clones), TEST(test_clones_get_randomness_of_their_own),
	TEST(test_deadline_holds_in_clones), TEST(test_reset_in_clones_goes_back_to_the_capture),
	TEST(test_a_thousand_instances_in_one_host), TEST(test_instances_leave_nothing_behind))
