/* What ends a call, and that the next one is served. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/conformance/engine_cases.h"

#include <string.h>
#include <sys/wait.h>

#define SHORT_NS 100000000ull
#define HEAP (8u << 20)

/* The process goes on, or says that it ends, and does. */
void test_deadline_ends_a_loop(void)
{
	struct host_world w;
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	bool last = false;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	const struct host_request request = {
		.function = "spin", .deadline_ns = now_ns() + SHORT_NS};
	uint64_t begin = now_ns();
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK(now_ns() - begin < suite_patience(20 * SHORT_NS));
	CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
	CHECK_STR(answer_error(&answer, "kind"), "limit");
	CHECK_INT(wire_get_bool_or(answer.body, "last", false, &last, &err), 0);
	host_answer_fini(&answer);
	if (last) {
		CHECK_INT(host_end(&w), 0);
		return;
	}
	CHECK_STR(ask(w.control, "echo", "1"), "1");
	engine_close(&w);
}

void test_heap_has_a_limit(void)
{
	struct host_world w;
	if (engine_lacks(LACKS_HEAP))
		return;
	REQUIRE(engine_open(&w, &(struct engine_options){.heap = HEAP}));
	uint64_t before = engine_resident(w.pid);
	CHECK_STR(ask(w.control, "hoard", "1024"), "1024");
	for (int i = 0; i < 3; i++) {
		engine_fails(w.control,
			&(struct host_request){.function = "hoard", .text = "65536"}, "ELIMIT");
		CHECK_STR(ask(w.control, "hoard", "1024"), "1024");
		CHECK_STR(ask(w.control, "echo", "1"), "1");
	}
	CHECK(engine_resident(w.pid) < before + 3 * (uint64_t)HEAP);
	engine_close(&w);
}

/* of its answer; 0: it failed */
static size_t length_of_large(int control, const char *text)
{
	const struct host_request request = {.function = "large", .text = text};
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	size_t len = 0;
	if (host_call(control, &request, &answer, &err) == 0 && answer_ok(&answer))
		(void)answer_data(&answer, &len);
	host_answer_fini(&answer);
	return len;
}

/* A function may make a lot more than its limit, as long as it keeps little. */
void test_garbage_is_no_heap(void)
{
	struct host_world w;
	if (engine_lacks(LACKS_HEAP))
		return;
	REQUIRE(engine_open(&w, &(struct engine_options){.heap = HEAP}));
	CHECK_STR(ask(w.control, "hoard", "4096"), "4096");
	for (int i = 0; i < 200; i++)
		if (!CHECK(length_of_large(w.control, "262144") >= 262144))
			break;
	engine_close(&w);
}

void test_output_has_a_limit(void)
{
	const struct host_request request = {
		.function = "large", .text = "4096", .max_output = 1000};
	struct host_world w;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	engine_fails(w.control, &request, "ELIMIT");
	CHECK(length_of_large(w.control, "4096") >= 4096);
	engine_close(&w);
}

void test_recursion_ends(void)
{
	const struct host_request request = {.function = "deep"};
	struct host_world w;
	if (engine_lacks(LACKS_DEPTH))
		return;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	for (int i = 0; i < 3; i++) {
		engine_fails(w.control, &request, NULL);
		CHECK_STR(ask(w.control, "echo", "1"), "1");
	}
	engine_close(&w);
}
