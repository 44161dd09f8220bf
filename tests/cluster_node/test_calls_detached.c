/* Calls whose results are kept: given out once, to their owner, also to who waits before there is
 * one. */
#include "tests/cluster_node/world.h"

#include "base/clock.h"

static const struct world_options one_node;

static void on_waited(void *user, const struct call_result *result)
{
	outcome_set(user, result);
}

static int submit_detached(
	struct world *w, const char *function, char id[CALL_ID_MAX], struct ramet_err *err)
{
	const struct call_request r = {
		.tenant = WORLD_UID, .function = function, .data = "7", .len = 1, .detach = true};
	return calls_submit(w->nodes[0]->calls, &r, NULL, NULL, id, err);
}

static void test_a_detached_result_is_given_once(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct calls *calls = w.nodes[0]->calls;
	char id[CALL_ID_MAX];
	struct call_wait *wait = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(submit_detached(&w, "echo", id, &err), &err);
	struct outcome before = {0};
	REQUIRE_OK(calls_wait(calls, WORLD_UID, id, 0, on_waited, &before, &wait, &err), &err);
	REQUIRE(world_until(&w, &before.done, 1));
	CHECK_STR(before.result.output, "7");
	CHECK_INT(calls_wait(calls, WORLD_UID, id, 0, on_waited, &before, &wait, &err),
		RAMET_ENOTFOUND);
	outcome_fini(&before);
	world_fini(&w);
}

/* who waits twice, and hangs up when told for the first time */
struct two_waits {
	struct call_wait *wait[2];
	struct outcome outcome[2];
};

static void on_one_waited(struct two_waits *two, unsigned which, const struct call_result *result)
{
	outcome_set(&two->outcome[which], result);
	two->wait[which] = NULL;
	calls_wait_cancel(two->wait[!which]);
	two->wait[!which] = NULL;
}

static void on_first_waited(void *user, const struct call_result *result)
{
	on_one_waited(user, 0, result);
}

static void on_second_waited(void *user, const struct call_result *result)
{
	on_one_waited(user, 1, result);
}

static void test_who_is_told_ends_another_wait(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct calls *calls = w.nodes[0]->calls;
	char id[CALL_ID_MAX];
	struct two_waits two = {0};
	struct ramet_err err = {0};
	REQUIRE_OK(submit_detached(&w, "echo", id, &err), &err);
	REQUIRE_OK(calls_wait(calls, WORLD_UID, id, 0, on_first_waited, &two, &two.wait[0], &err),
		&err);
	REQUIRE_OK(calls_wait(calls, WORLD_UID, id, 0, on_second_waited, &two, &two.wait[1], &err),
		&err);
	REQUIRE(world_until(&w, &two.outcome[0].done, 1));
	CHECK_STR(two.outcome[0].result.output, "7");
	CHECK_INT(two.outcome[1].done, 0);
	outcome_fini(&two.outcome[0]);
	world_fini(&w);
}

static void test_a_detached_result_is_kept_for_its_owner(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct calls *calls = w.nodes[0]->calls;
	char id[CALL_ID_MAX];
	struct call_wait *wait = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(submit_detached(&w, "echo", id, &err), &err);
	struct calls_stats stats;
	while (calls_get_stats(calls, &stats), stats.kept < 1)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	struct outcome after = {0};
	CHECK_INT(calls_wait(calls, WORLD_UID + 1, id, 0, on_waited, &after, &wait, &err),
		RAMET_ENOTFOUND);
	REQUIRE_OK(calls_wait(calls, WORLD_UID, id, 0, on_waited, &after, &wait, &err), &err);
	CHECK_INT(after.done, 0);
	REQUIRE(world_until(&w, &after.done, 1));
	CHECK_STR(after.result.output, "7");
	CHECK_STR(after.result.id, id);
	outcome_fini(&after);
	world_fini(&w);
}

static void test_a_wait_ends_before_its_call(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	char id[CALL_ID_MAX];
	struct call_wait *wait = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(submit_detached(&w, "hang", id, &err), &err);
	struct outcome late = {0};
	REQUIRE_OK(calls_wait(w.nodes[0]->calls, WORLD_UID, id, 10 * NSEC_PER_MSEC, on_waited,
			   &late, &wait, &err),
		&err);
	REQUIRE(world_until(&w, &late.done, 1));
	CHECK_INT(late.result.error.err.code, RAMET_ETIMEOUT);
	outcome_fini(&late);
	world_fini(&w);
}

SUITE_MAIN("calls that nobody waits for", TEST(test_a_detached_result_is_given_once),
	TEST(test_who_is_told_ends_another_wait),
	TEST(test_a_detached_result_is_kept_for_its_owner), TEST(test_a_wait_ends_before_its_call))
