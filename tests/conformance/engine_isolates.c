/* What isolates keep apart, bring back and leave. */
#include "base/cleanup.h"
#include "tests/conformance/engine_cases.h"

#include <stdio.h>
#include <string.h>

#define THOUSAND 1000u
#define TEN_THOUSAND 10000u
#define FREE_GROWTH (4u << 20)

static bool call_and_reset(int control, const char *function, const char *expected)
{
	const struct host_request request = {.function = function, .reset = true};
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	size_t len;
	int rc = host_call(control, &request, &answer, &err);
	bool right =
		rc == 0 && answer_ok(&answer) && strcmp(answer_data(&answer, &len), expected) == 0;
	host_answer_fini(&answer);
	return suite_check(right, function, __FILE__, __LINE__);
}

void test_reset_resets(void)
{
	struct host_world w;
	if (engine_lacks(LACKS_RESET))
		return;
	REQUIRE(engine_open(&w, &(struct engine_options){.resets = true}));
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	REQUIRE_OK(host_say(w.control, "capture", &err), &err);
	REQUIRE_OK(host_read(w.control, &answer, &err), &err);
	CHECK_STR(answer.type, "captured");
	host_answer_fini(&answer);
	for (int i = 0; i < 5; i++) {
		CHECK(call_and_reset(w.control, "count", "1"));
		CHECK(call_and_reset(w.control, "total", "0"));
	}
	CHECK_STR(ask(w.control, "count", ""), "1");
	CHECK_STR(ask(w.control, "count", ""), "2"); /* who does not ask for it has none */
	engine_close(&w);
}

void test_functions_do_not_see_each_other(void)
{
	struct host_world w;
	if (engine_lacks(LACKS_ISOLATES))
		return;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	CHECK_STR(ask(w.control, "count", ""), "1");
	CHECK_STR(ask(w.control, "count", ""), "2");
	CHECK_STR(ask(w.control, "total", ""), "0");
	engine_close(&w);
}

void test_thousand_isolates_live(void)
{
	struct host_world without, with;
	char name[16];
	if (engine_lacks(LACKS_ISOLATES))
		return;
	REQUIRE(engine_open(&without, &(struct engine_options){0}));
	REQUIRE(engine_open(&with, &(struct engine_options){.copies = THOUSAND}));
	for (unsigned i = 0; i < THOUSAND; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		if (!CHECK_STR(ask(with.control, name, ""), "1"))
			break;
	}
	CHECK_STR(ask(with.control, "c500", ""), "2");
	uint64_t more = engine_resident(with.pid) - engine_resident(without.pid);
	printf("%s: %llu bytes for each of %u idle isolates\n", engine_spec.name,
		(unsigned long long)(more / THOUSAND), THOUSAND);
	engine_close(&without);
	engine_close(&with);
}

/* Each reset makes one and frees one. */
void test_ten_thousand_isolates_leave_nothing(void)
{
	struct host_world w;
	bool right = true;
	if (engine_lacks(LACKS_ISOLATES))
		return;
	REQUIRE(engine_open(&w, &(struct engine_options){.resets = true}));
	for (unsigned i = 0; right && i < TEN_THOUSAND / 10; i++)
		right = call_and_reset(w.control, "count", "1");
	uint64_t before = engine_resident(w.pid);
	for (unsigned i = 0; right && i < TEN_THOUSAND; i++)
		right = call_and_reset(w.control, "count", "1");
	uint64_t after = engine_resident(w.pid);
	if (!CHECK(after < before + FREE_GROWTH))
		fprintf(stderr, "    %llu bytes, then %llu\n", (unsigned long long)before,
			(unsigned long long)after);
	engine_close(&w);
}

void test_many_calls_leave_nothing(void)
{
	struct host_world w;
	bool right = true;
	REQUIRE(engine_open(&w, &(struct engine_options){0}));
	for (unsigned i = 0; right && i < TEN_THOUSAND / 10; i++)
		right = strcmp(ask(w.control, "echo", "[1]"), "") != 0;
	uint64_t before = engine_resident(w.pid);
	for (unsigned i = 0; right && i < TEN_THOUSAND; i++)
		right = strcmp(ask(w.control, "echo", "[1]"), "") != 0;
	CHECK(right);
	CHECK(engine_resident(w.pid) < before + FREE_GROWTH);
	engine_close(&w);
}
