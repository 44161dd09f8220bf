/* Bursts: spread over nodes, every rank once, cancelled, and with a node that goes away. */
#include "tests/cluster_node/world.h"

#include "base/clock.h"
#include "cluster/members.h"

#include <stdlib.h>
#include <string.h>

#define RANKS 256

struct seen {
	unsigned results, summaries, ranks[RANKS];
	unsigned ok, failed, lost, cancelled, nodes[WORLD_MAX + 1], kinds[START_KINDS];
	struct burst_summary summary;
	char id[CALL_ID_MAX];
	unsigned bad;
};

static void on_result(void *user, const struct call_result *result)
{
	struct seen *seen = user;
	char id[CALL_ID_MAX + 16];
	snprintf(id, sizeof(id), "%s.%u", seen->id, result->rank);
	seen->results++;
	seen->bad += result->rank >= RANKS || seen->summaries > 0 || strcmp(id, result->id) != 0;
	seen->ranks[result->rank % RANKS]++;
	seen->nodes[result->node % (WORLD_MAX + 1)]++;
	seen->kinds[result->start]++;
	seen->ok += result->error.err.code == 0;
	seen->failed += result->error.err.code != 0;
	seen->lost += result->error.err.code == RAMET_ELOST;
	seen->cancelled += result->error.err.code == RAMET_ECANCELED;
}

static void on_summary(void *user, const struct burst_summary *summary)
{
	struct seen *seen = user;
	seen->summary = *summary;
	seen->summaries++;
}

static const struct burst_handler handler = {on_result, on_summary};

static int submit(
	struct world *w, const char *function, uint32_t count, uint32_t node, struct seen *seen)
{
	struct ramet_err err = {0};
	struct burst_request r = {
		.tenant = WORLD_UID,
		.function = function,
		.data = "1",
		.len = 1,
		.count = count,
		.node = node,
	};
	*seen = (struct seen){0};
	int rc = bursts_submit(w->nodes[0]->bursts, &r, &handler, seen, seen->id, &err);
	CHECK_INT(seen->results + seen->summaries, 0); /* never from within */
	return rc;
}

static bool each_rank_once(const struct seen *seen, unsigned count)
{
	for (unsigned i = 0; i < RANKS; i++)
		if (seen->ranks[i] != (i < count))
			return false;
	return seen->bad == 0 && seen->results == count;
}

static void test_spread_over_three_nodes(void)
{
	struct world w;
	struct seen seen;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 3}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	REQUIRE(submit(&w, "echo", 60, 0, &seen) == 0);
	REQUIRE(world_until(&w, &seen.summaries, 1));
	CHECK(each_rank_once(&seen, 60));
	CHECK_INT(seen.ok, 60);
	for (unsigned node = 1; node <= 3; node++)
		CHECK(seen.nodes[node] >= 15 && seen.nodes[node] <= 25);
	CHECK_INT(seen.kinds[START_COLD], 0);
	CHECK_INT(seen.kinds[START_WARM], 1); /* the host */
	CHECK_INT(seen.summary.count, 60);
	CHECK_INT(seen.summary.ok, 60);
	CHECK_INT(seen.summary.nodes, 3);
	CHECK_INT(seen.summary.warm + seen.summary.local_fork + seen.summary.remote_fork, 60);
	CHECK_INT(w.fakes[0].hosts + w.fakes[1].hosts + w.fakes[2].hosts, 1);
	CHECK_INT(w.fakes[0].clones + w.fakes[1].clones + w.fakes[2].clones, 59); /* each its own */
	world_fini(&w);
}

static void test_pinned_and_refused(void)
{
	struct world w;
	struct seen seen;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 2}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	CHECK_INT(submit(&w, "none", 3, 0, &seen), RAMET_ENOTFOUND);
	CHECK_INT(submit(&w, "echo", 0, 0, &seen), RAMET_EINVAL);
	CHECK_INT(submit(&w, "echo", 3, 9, &seen), RAMET_ENOTFOUND);
	REQUIRE(submit(&w, "fail", 5, 2, &seen) == 0);
	REQUIRE(world_until(&w, &seen.summaries, 1));
	CHECK(each_rank_once(&seen, 5));
	CHECK_INT(seen.nodes[2], 5);
	CHECK_INT(seen.summary.failed, 5);
	world_fini(&w);
}

static void test_larger_than_the_node(void)
{
	struct world w;
	struct seen seen;
	REQUIRE(world_init(&w, &(struct world_options){.max_instances = 4}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	REQUIRE(submit(&w, "echo", 50, 0, &seen) == 0);
	REQUIRE(world_until(&w, &seen.summaries, 1));
	CHECK(each_rank_once(&seen, 50));
	CHECK_INT(seen.ok, 50);
	CHECK(w.fakes[0].max_alive <= 4);
	world_fini(&w);
}

static unsigned running(const struct world *w)
{
	unsigned n = 0;
	for (unsigned i = 0; i < w->n; i++) {
		struct calls_stats stats = {0};
		if (w->nodes[i])
			calls_get_stats(w->nodes[i]->calls, &stats);
		n += stats.running;
	}
	return n;
}

static void test_cancel(void)
{
	struct world w;
	struct seen seen;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 3}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	REQUIRE(submit(&w, "hang", 12, 0, &seen) == 0);
	while (running(&w) < 12)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	CHECK_INT(bursts_cancel(w.nodes[0]->bursts, WORLD_UID + 1, seen.id), RAMET_ENOTFOUND);
	CHECK_INT(bursts_cancel(w.nodes[0]->bursts, WORLD_UID, seen.id), 0);
	REQUIRE(world_until(&w, &seen.summaries, 1));
	CHECK(each_rank_once(&seen, 12));
	CHECK_INT(seen.cancelled, 12);
	CHECK_INT(bursts_cancel(w.nodes[0]->bursts, WORLD_UID, seen.id), RAMET_ENOTFOUND);
	REQUIRE(submit(&w, "echo", 6, 0, &seen) == 0); /* before it is even sent */
	CHECK_INT(bursts_cancel(w.nodes[0]->bursts, WORLD_UID, seen.id), 0);
	REQUIRE(world_until(&w, &seen.summaries, 1));
	CHECK_INT(seen.cancelled, 6);
	world_fini(&w);
}

static void test_forgotten(void)
{
	struct world w;
	struct seen seen;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 2}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	REQUIRE(submit(&w, "hang", 8, 0, &seen) == 0);
	while (running(&w) < 8)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	bursts_forget(w.nodes[0]->bursts, seen.id);
	while (running(&w) > 0)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	CHECK_INT(seen.results + seen.summaries, 0);
	world_fini(&w);
}

static void lose_a_node(bool idempotent, struct seen *seen)
{
	struct world w;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 3}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){.idempotent = idempotent}));
	REQUIRE(submit(&w, "hold", 12, 0, seen) == 0);
	while (running(&w) < 12)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	world_stop_node(&w, 2);
	uint64_t deadline = now_ns() + WORLD_TIMEOUT_NS;
	while (seen->summaries == 0 && now_ns() < deadline) {
		fake_release(&w.fakes[0]);
		fake_release(&w.fakes[1]);
		REQUIRE(loop_turn(w.loop, 10 * NSEC_PER_MSEC, NULL) == 0);
	}
	CHECK(each_rank_once(seen, 12));
	world_fini(&w);
}

static void test_node_goes_away(void)
{
	struct seen seen = {0};
	lose_a_node(false, &seen);
	CHECK(seen.lost >= 3 && seen.lost <= 5);
	CHECK_INT(seen.ok, 12 - seen.lost);
	lose_a_node(true, &seen);
	CHECK_INT(seen.ok, 12);
	CHECK_INT(seen.nodes[3], 0);
}

SUITE_MAIN("bursts", TEST(test_spread_over_three_nodes), TEST(test_pinned_and_refused),
	TEST(test_larger_than_the_node), TEST(test_cancel), TEST(test_forgotten),
	TEST(test_node_goes_away))
