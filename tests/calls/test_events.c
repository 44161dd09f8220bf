/* What native functions tell before their end, from this node and from another: order, waiting for
 * who listens, and ends. */
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (1u << 18)
#define OPEN_CHUNKS 15 /* of them, with 1 KiB more each, fit into 4 MiB */

static struct call_cluster cluster;

static void test_begin(void)
{
	struct ramet_deploy_options options = ramet_deploy_options_default();
	REQUIRE(call_cluster_open(&cluster, CALL_NODES));
	CHECK(call_deploy(&cluster, "native", "tell", &options));
	options.output = 16u << 20;
	CHECK(call_deploy(&cluster, "native", "flood", &options));
}

static struct ramet_call *listen_to(const char *function, const char *json, uint32_t deadline_ms)
{
	struct ramet_call_options options = call_there();
	options.flags = RAMET_CALL_EVENTS;
	options.deadline_ms = deadline_ms;
	return call_begin(cluster.ramet, function, json, &options);
}

static void test_order(void)
{
	REQUIRE(cluster.ramet != NULL);
	for (unsigned turn = 0; turn < 3; turn++) {
		struct ramet_call *call = listen_to("tell", "1000", 0);
		struct ramet_event *event = NULL;
		struct ramet_err err = {0};
		long chunks = 0;
		long steps = 0;
		double last = 0;
		while (ramet_next_event(call, -1, &event, &err) == 0) {
			if (event->progress) {
				CHECK(event->fraction >= last);
				CHECK(strtol(event->text, NULL, 10) >= steps);
				last = event->fraction;
				steps++;
			} else {
				CHECK_INT(strtol(event->chunk, NULL, 10), chunks++);
			}
			ramet_event_free(event);
		}
		CHECK_INT(err.code, RAMET_ENOTFOUND);
		CHECK_INT(chunks, 1000);
		CHECK(steps >= 16 && steps <= 1000);
		struct ramet_result *r = call_end(call, 0);
		CHECK(r && strcmp(r->output, "1") == 0 && r->node == CALL_RUNS_ON);
		ramet_result_free(r);
	}
}

static void test_nobody_listens_through_a_lease(void)
{
	CHECK(call_lease(cluster.ramet, "tell") > 0);
	struct ramet_result *r = call_expect(cluster.ramet, "tell", "100000", 0);
	CHECK(r && call_was_leased(r) && strcmp(r->output, "0") == 0);
	ramet_result_free(r);
	ramet_result_free(call_expect(cluster.ramet, "flood", "0", RAMET_EUSER));
}

/* takes as many as may be open; no more come */
static void take_open(struct ramet_call *call, struct ramet_event *open[OPEN_CHUNKS])
{
	struct ramet_event *more = NULL;
	struct ramet_err err = {0};
	for (unsigned i = 0; i < OPEN_CHUNKS; i++) {
		REQUIRE_OK(ramet_next_event(call, -1, &open[i], &err), &err);
		CHECK_INT(open[i]->len, CHUNK);
		CHECK(open[i]->binary);
	}
	CHECK_INT(ramet_next_event(call, 50, &more, &err), RAMET_ETIMEOUT);
}

static void free_all(struct ramet_event *open[OPEN_CHUNKS])
{
	for (unsigned i = 0; i < OPEN_CHUNKS; i++)
		ramet_event_free(open[i]);
}

static void test_it_waits_and_ends_at_its_limit(void)
{
	struct ramet_event *open[OPEN_CHUNKS];
	struct ramet_err err = {0};
	struct ramet_call *call = listen_to("flood", "0", 0);
	take_open(call, open);
	free_all(open);
	unsigned chunks = OPEN_CHUNKS;
	while (ramet_next_event(call, -1, &open[0], &err) == 0) {
		ramet_event_free(open[0]);
		chunks++;
	}
	CHECK_INT(chunks, (16u << 20) / CHUNK);
	struct ramet_result *r = call_end(call, RAMET_ELIMIT);
	CHECK(r && r->failure && strstr(r->failure->message, "count as output") != NULL);
	ramet_result_free(r);
}

static void test_it_waits_and_is_ended(void)
{
	struct ramet_event *open[OPEN_CHUNKS];
	struct ramet_call *call = listen_to("flood", "0", 3000);
	take_open(call, open);
	ramet_result_free(call_end(call, RAMET_EDEADLINE));
	free_all(open); /* of a call that is no more */
	call = listen_to("flood", "0", 0);
	take_open(call, open);
	CHECK_INT(ramet_cancel(call, NULL), 0);
	ramet_result_free(call_end(call, RAMET_ECANCELED));
	free_all(open);
	call = listen_to("flood", "0", 0);
	take_open(call, open);
	ramet_call_free(call); /* which cancels it */
	free_all(open);
	struct ramet_result *r = call_expect(cluster.ramet, "tell", "1", 0);
	CHECK(r != NULL);
	ramet_result_free(r);
}

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("events", TEST(test_begin), TEST(test_order), TEST(test_nobody_listens_through_a_lease),
	TEST(test_it_waits_and_ends_at_its_limit), TEST(test_it_waits_and_is_ended), TEST(test_end))
