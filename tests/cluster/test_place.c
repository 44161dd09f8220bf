/* Placement: the order of start kinds, ties, pins, classes, full nodes; and water-filling of
 * bursts. */
#include "scheduler/place.h"
#include "tests/lib/suite.h"

#include "base/cleanup.h"

static struct place_decision decide(
	const struct place_node *nodes, unsigned count, uint32_t here, uint32_t pinned)
{
	struct place_request request = {.here = here, .pinned = pinned};
	struct place_decision decision = {0};
	struct ramet_err err = {0};
	suite_check_ok(place_call(nodes, count, &request, &decision, &err), &err, "place_call",
		__FILE__, __LINE__);
	return decision;
}

static void check(
	struct place_decision decision, uint32_t node, enum start_kind kind, uint32_t source)
{
	CHECK_INT(decision.node, node);
	CHECK_STR(start_kind_name(decision.kind), start_kind_name(kind));
	CHECK_INT(decision.source, source);
}

#define NODE(...) BARE(.alive = true, .capacity = 4, __VA_ARGS__)
#define BARE(...) \
	{ \
		.class_id = 7, __VA_ARGS__ \
	}

static void test_warm_before_local_before_remote_before_cold(void)
{
	struct place_node nodes[] = {NODE(.id = 1), NODE(.id = 2), NODE(.id = 3)};
	check(decide(nodes, 3, 1, 0), 1, START_COLD, 0);
	nodes[1].seed = true;
	check(decide(nodes, 3, 1, 0), 2, START_LOCAL_FORK, 0);
	nodes[2].warm = 1;
	check(decide(nodes, 3, 1, 0), 3, START_WARM, 0);
	nodes[0].warm = 1;
	check(decide(nodes, 3, 1, 0), 1, START_WARM, 0); /* ourselves first */
}

static void test_pinned_node_forks_from_a_peer(void)
{
	struct place_node nodes[] = {NODE(.id = 1, .seed = true, .warm = 1),
		NODE(.id = 2, .seed = true, .load = 3), NODE(.id = 3)};
	check(decide(nodes, 3, 1, 3), 3, START_REMOTE_FORK, 1); /* from the less loaded holder */
	nodes[0].load = 4;
	check(decide(nodes, 3, 1, 3), 3, START_REMOTE_FORK, 2);
	nodes[1].alive = false;
	check(decide(nodes, 3, 1, 3), 3, START_REMOTE_FORK, 1);
	nodes[0].alive = false;
	check(decide(nodes, 3, 1, 3), 3, START_COLD, 0);
}

static void test_no_fork_between_classes(void)
{
	struct place_node nodes[] = {NODE(.id = 1, .seed = true), NODE(.id = 2)};
	nodes[1].class_id = 8;
	check(decide(nodes, 2, 2, 2), 2, START_COLD, 0);
	check(decide(nodes, 2, 2, 0), 1, START_LOCAL_FORK, 0);
}

static void test_no_cold_start_without_the_interpreter(void)
{
	struct place_node nodes[] = {NODE(.id = 1, .no_cold = true), NODE(.id = 2)};
	struct place_request pinned = {.here = 1, .pinned = 1};
	struct place_decision decision = {0};
	struct ramet_err err = {0};
	uint32_t counts[2];
	check(decide(nodes, 2, 1, 0), 2, START_COLD, 0); /* though we are 1 */
	CHECK_INT(place_call(nodes, 2, &pinned, &decision, &err), RAMET_EREFUSED);
	CHECK_INT(place_burst(nodes, 2, &pinned, 4, counts, &err), RAMET_EREFUSED);
	struct place_request any = {.here = 1};
	REQUIRE_OK(place_burst(nodes, 2, &any, 4, counts, &err), &err);
	CHECK_INT(counts[0], 0);
	CHECK_INT(counts[1], 4);
	nodes[1].seed = true;
	check(decide(nodes, 2, 1, 1), 1, START_REMOTE_FORK, 2);
	REQUIRE_OK(place_burst(nodes, 2, &any, 4, counts, &err), &err);
	CHECK_INT(counts[0], 2);
	nodes[1].class_id = 8; /* nothing to fork here */
	CHECK_INT(place_call(nodes, 2, &pinned, &decision, &err), RAMET_EREFUSED);
	nodes[0].warm = 1;
	check(decide(nodes, 2, 1, 1), 1, START_WARM, 0);
}

static void test_full_nodes_come_last(void)
{
	struct place_node nodes[] = {NODE(.id = 1, .seed = true, .load = 4), NODE(.id = 2)};
	check(decide(nodes, 2, 1, 0), 2, START_REMOTE_FORK, 1);
	check(decide(nodes, 2, 1, 1), 1, START_LOCAL_FORK, 0); /* pinned is pinned */
	nodes[1].load = 9;
	check(decide(nodes, 2, 1, 0), 1, START_LOCAL_FORK, 0);
}

static void test_of_full_nodes_the_emptiest(void)
{
	struct place_node nodes[] = {NODE(.id = 1, .seed = true, .warm = 1, .load = 8),
		NODE(.id = 2, .load = 7), NODE(.id = 3, .load = 6)};
	nodes[2].class_id = 8;
	/* a fork that reads from a peer is little beside a longer wait, a cold start is not */
	check(decide(nodes, 3, 1, 0), 2, START_REMOTE_FORK, 1);
	nodes[1].load = 8;
	check(decide(nodes, 3, 1, 0), 1, START_WARM, 0);
	nodes[2].load = 3;
	check(decide(nodes, 3, 1, 0), 3, START_COLD, 0); /* it is not full */
}

static void test_least_loaded_of_equals(void)
{
	struct place_node nodes[] = {NODE(.id = 1, .seed = true, .load = 2),
		NODE(.id = 2, .seed = true, .load = 1),
		BARE(.alive = true, .id = 3, .seed = true, .load = 2, .capacity = 16)};
	check(decide(nodes, 3, 4, 0), 3, START_LOCAL_FORK, 0); /* 2 of 16 is emptier than 1 of 4 */
	check(decide(nodes, 3, 1, 0), 1, START_LOCAL_FORK, 0); /* here is nearer, and not full */
}

static void test_unknown_and_dead_nodes_are_errors(void)
{
	struct place_node nodes[] = {NODE(.id = 1), NODE(.id = 2)};
	struct place_request request = {.here = 1, .pinned = 5};
	struct place_decision decision = {.node = 99};
	struct ramet_err err = {0};
	CHECK_INT(place_call(nodes, 2, &request, &decision, &err), RAMET_ENOTFOUND);
	CHECK_STR(err.msg, "no node 5 in this cluster");
	request.pinned = 2;
	nodes[1].alive = false;
	CHECK_INT(place_call(nodes, 2, &request, &decision, &err), RAMET_EPEER);
	request.pinned = 0;
	nodes[0].alive = false;
	CHECK_INT(place_call(nodes, 2, &request, &decision, &err), RAMET_EPEER);
	CHECK_INT(place_call(nodes, 0, &request, &decision, &err), RAMET_EPEER);
	CHECK_INT(decision.node, 99);
}

static void test_room_elsewhere(void)
{
	struct place_node nodes[] = {NODE(.id = 1, .load = 1), NODE(.id = 2, .load = 3),
		NODE(.id = 3, .load = 9), NODE(.id = 4, .unfit = true),
		BARE(.id = 5, .capacity = 4, .alive = false), BARE(.id = 6, .alive = true)};
	CHECK_INT(place_room_elsewhere(nodes, 6, 1), 2); /* one of 2, and one of 6 */
	CHECK_INT(place_room_elsewhere(nodes, 6, 2), 4);
	CHECK_INT(place_room_elsewhere(nodes, 1, 1), 0);
	nodes[5].no_cold = true; /* nor is there a seed that it could read */
	CHECK_INT(place_room_elsewhere(nodes, 6, 1), 1);
}

static void spread(const struct place_node *nodes, unsigned count, uint32_t pinned, uint32_t n,
	uint32_t *counts)
{
	struct place_request request = {.here = 1, .pinned = pinned};
	struct ramet_err err = {0};
	uint32_t sum = 0;
	suite_check_ok(place_burst(nodes, count, &request, n, counts, &err), &err, "place_burst",
		__FILE__, __LINE__);
	for (unsigned i = 0; i < count; i++)
		sum += counts[i];
	CHECK_INT(sum, n);
}

static void test_burst_fills_the_emptiest_first(void)
{
	struct place_node nodes[] = {NODE(.id = 1, .load = 6), NODE(.id = 2),
		BARE(.capacity = 4, .id = 3, .alive = false)};
	uint32_t counts[3];
	spread(nodes, 3, 0, 4, counts);
	CHECK_INT(counts[0], 0);
	CHECK_INT(counts[1], 4);
	spread(nodes, 3, 0, 10, counts);
	CHECK_INT(counts[0], 2);
	CHECK_INT(counts[1], 8);
	CHECK_INT(counts[2], 0);
	spread(nodes, 3, 1, 10, counts);
	CHECK_INT(counts[0], 10);
}

static void test_burst_follows_capacity(void)
{
	struct place_node nodes[] = {BARE(.alive = true, .id = 1, .capacity = 2),
		BARE(.alive = true, .id = 2, .capacity = 6)};
	uint32_t counts[2];
	spread(nodes, 2, 0, 64, counts);
	CHECK_INT(counts[0], 16);
	CHECK_INT(counts[1], 48);
	spread(nodes, 2, 0, 1, counts);
	CHECK_INT(counts[1], 1); /* one of six is emptier than one of two */
}

static void test_burst_at_the_limits_of_the_view(void)
{
	struct place_node nodes[] = {
		BARE(.alive = true, .id = 1, .capacity = UINT32_MAX, .load = UINT32_MAX),
		BARE(.alive = true, .id = 2, .capacity = 0, .load = UINT32_MAX)};
	uint32_t counts[2];
	spread(nodes, 2, 0, 65536, counts);
	CHECK_INT(counts[0], 65536);
}

SUITE_MAIN("place", TEST(test_warm_before_local_before_remote_before_cold),
	TEST(test_pinned_node_forks_from_a_peer), TEST(test_no_fork_between_classes),
	TEST(test_no_cold_start_without_the_interpreter), TEST(test_full_nodes_come_last),
	TEST(test_of_full_nodes_the_emptiest), TEST(test_least_loaded_of_equals),
	TEST(test_unknown_and_dead_nodes_are_errors), TEST(test_burst_fills_the_emptiest_first),
	TEST(test_burst_follows_capacity), TEST(test_burst_at_the_limits_of_the_view),
	TEST(test_room_elsewhere))
