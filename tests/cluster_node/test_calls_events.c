/* Events of calls on this node and on another: their order, that they come before the result, and
 * what becomes of an instance that emits what it must not. */
#include "base/cleanup.h"
#include "cluster/call_event.h"
#include "tests/cluster_node/world.h"

#include <stdio.h>
#include <string.h>

struct heard {
	struct outcome outcome; /* first: the user of the call */
	struct calls *calls;
	unsigned events;
	uint64_t weight;
	char text[128];
	bool takes;
};

static void on_event(void *user, const struct call_event *event)
{
	struct heard *heard = user;
	size_t len = strlen(heard->text);
	CHECK_INT(heard->outcome.done, 0);
	heard->events++;
	heard->weight += call_event_weight(event);
	if (event->progress)
		snprintf(heard->text + len, sizeof(heard->text) - len, "%u %.*s;",
			event->millionths, (int)event->text_len, event->text);
	else
		snprintf(heard->text + len, sizeof(heard->text) - len, "%.*s%s;", (int)event->len,
			(const char *)event->chunk, event->binary ? " raw" : "");
	if (heard->takes)
		calls_taken(heard->calls, heard->outcome.id, call_event_weight(event));
	if (heard->takes) /* more than there was: nobody is told */
		calls_taken(heard->calls, heard->outcome.id, UINT64_MAX);
}

static void listen_to(
	struct world *w, const char *function, const char *input, uint32_t node, struct heard *ret)
{
	const struct call_request request = {
		.function = function,
		.data = input,
		.len = strlen(input),
		.node = node,
		.on_event = on_event,
	};
	*ret = (struct heard){.calls = w->nodes[0]->calls, .takes = true};
	REQUIRE(world_submit(w, 0, &request, &ret->outcome) == 0);
	REQUIRE(world_until(w, &ret->outcome.done, 1));
}

static void test_events_come_in_order_before_the_result(void)
{
	struct world w;
	struct heard heard;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 2}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	for (uint32_t node = 1; node <= 2; node++) {
		for (unsigned i = 0; i < 3; i++) {
			listen_to(&w, "emit", "[1]", node, &heard);
			CHECK_INT(heard.outcome.result.error.err.code, 0);
			CHECK_INT(heard.outcome.result.node, node);
			CHECK_STR(heard.text, "[1];500000 half;[1];");
			CHECK_STR(heard.outcome.result.output, "[1]");
			outcome_fini(&heard.outcome);
		}
	}
	CHECK(world_until(&w, &w.fakes[0].taken, 3 * (unsigned)heard.weight));
	CHECK_INT(w.fakes[0].taken, 3 * heard.weight);
	calls_taken(w.nodes[0]->calls, "1-1-abcd", 1024); /* of no call */
	world_fini(&w);
}

/* each is named, and ends the instance, not the node */
static void test_what_must_not_be_emitted(void)
{
	static const struct {
		const char *input, *says;
		int code;
	} cases[] = {
		{"large", "more than", RAMET_EPROTO},
		{"text", "the text of progress", RAMET_EPROTO},
		{"more", "progress", RAMET_EPROTO},
		{"other", "nobody asked for", RAMET_EPROTO},
		{"all", "without waiting", RAMET_EPROTO},
	};
	struct world w;
	struct heard heard;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 2}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	for (unsigned i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		unsigned which = i / 2;
		struct heard quiet = {.calls = w.nodes[0]->calls};
		const struct call_request request = {
			.function = "bademit",
			.data = cases[which].input,
			.len = strlen(cases[which].input),
			.node = 1 + i % 2,
			.on_event = on_event,
		};
		REQUIRE(world_submit(&w, 0, &request, &quiet.outcome) == 0);
		REQUIRE(world_until(&w, &quiet.outcome.done, 1));
		const struct call_error *error = &quiet.outcome.result.error;
		CHECK_INT(error->err.code, cases[which].code);
		CHECK(strstr(call_error_message(error), cases[which].says) != NULL);
		CHECK_INT(error->node, 1 + i % 2);
		CHECK(quiet.weight <= CALL_EVENT_WINDOW);
		outcome_fini(&quiet.outcome);
		listen_to(&w, "emit", "1", 1 + i % 2, &heard);
		CHECK_STR(heard.text, "1;500000 half;1;");
		outcome_fini(&heard.outcome);
	}
	world_fini(&w);
}

static void test_nobody_asked(void)
{
	static const struct world_options one_node;
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome o = world_call(&w, 0, "emit", 0);
	CHECK_INT(o.result.error.err.code, RAMET_EPROTO);
	CHECK(strstr(call_error_message(&o.result.error), "nobody asked for") != NULL);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_chunks_count_as_output(void)
{
	static const struct world_options one_node;
	struct heard heard;
	WORLD_BEGIN(w, &one_node, &(struct world_app){.output = 2 * HOST_EVENT_LEAST + 3});
	listen_to(&w, "emit", "[1]", 0, &heard); /* two chunks, and an answer */
	CHECK_INT(heard.outcome.result.error.err.code, 0);
	outcome_fini(&heard.outcome);
	listen_to(&w, "emit", "[12]", 0, &heard);
	CHECK_INT(heard.outcome.result.error.err.code, RAMET_ELIMIT);
	CHECK_INT(heard.events, 3);
	outcome_fini(&heard.outcome);
	static char input[2 * HOST_EVENT_LEAST];
	memset(input, '1', sizeof(input) - 1);
	listen_to(&w, "emit", input, 0, &heard); /* the second is too much */
	CHECK_INT(heard.outcome.result.error.err.code, RAMET_ELIMIT);
	CHECK_INT(heard.events, 2);
	outcome_fini(&heard.outcome);
	world_fini(&w);
}

SUITE_MAIN("cluster_calls_events", TEST(test_events_come_in_order_before_the_result),
	TEST(test_what_must_not_be_emitted), TEST(test_nobody_asked),
	TEST(test_chunks_count_as_output))
