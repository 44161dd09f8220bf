/* Calls that run on another node than the client's: nodes that do not hear each other, and what an
 * answer tells of its node. */
#include "tests/cluster_node/world.h"

#include "base/cleanup.h"
#include "cluster/members.h"

static const struct world_options two_nodes = {.nodes = 2};

/* node 2 does not hear node 1 any more, which hears it */
static void test_calls_of_a_node_that_is_dead_for_us_are_lost(void)
{
	WORLD_BEGIN(w, &two_nodes, &(struct world_app){0});
	struct outcome o;
	struct call_request r = {.function = "hang", .node = 2};
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	REQUIRE(world_until(&w, &w.fakes[1].clones, 1));
	calls_node_down(w.nodes[1]->calls, 1);
	REQUIRE(world_until(&w, &o.done, 1));
	CHECK_INT(o.result.error.err.code, RAMET_ELOST); /* nobody has cancelled it */
	CHECK(o.result.error.retryable);
	outcome_fini(&o);
	o = world_call(&w, 0, "echo", 2);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	world_fini(&w);
}

static const struct member_load *load_of_node_2(const struct world *w)
{
	return &members_find(w->nodes[0]->members, 2)->load;
}

static bool node_2_is_busy(struct world *w)
{
	return load_of_node_2(w)->busy == 1;
}

/* What is placed when it has come does not find that node busy with the very call. */
static void test_an_answer_tells_the_load_after_it(void)
{
	WORLD_BEGIN(w, &two_nodes, &(struct world_app){0});
	struct outcome o;
	struct call_request r = {.function = "hold", .node = 2};
	for (unsigned i = 0; i < 10; i++) {
		REQUIRE(world_submit(&w, 0, &r, &o) == 0);
		REQUIRE(world_until_true(&w, node_2_is_busy));
		fake_release(&w.fakes[1]);
		REQUIRE(world_until(&w, &o.done, 1));
		CHECK_INT(o.result.error.err.code, 0);
		CHECK_INT(load_of_node_2(&w)->busy, 0);
		outcome_fini(&o);
	}
	world_fini(&w);
}

SUITE_MAIN("calls between nodes", TEST(test_calls_of_a_node_that_is_dead_for_us_are_lost),
	TEST(test_an_answer_tells_the_load_after_it))
