/* Nodes with real processes: a cold start, a capture, local and remote forks, working sets, deaths.
 */
#include "tests/cluster_node/world.h"

#include "base/clock.h"
#include "cluster/members.h"
#include "runtime/spawn/spawn_client.h"
#include "scheduler/place.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUM "137438691370" /* of the table, 2^19 numbers from 0, and 42 */
#define TOUCHED 1024 /* numbers of the table, by each call of `touch` */
#define MANY 24

static void test_one_node(void)
{
	struct world w;
	REQUIRE(world_init(&w, &(struct world_options){0}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "sum", 0);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, SUM);
	CHECK_INT(o.result.start, START_WARM);
	outcome_fini(&o);
	o = world_call(&w, 0, "touch", 0); /* the host is bound to sum */
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, SUM);
	CHECK_INT(o.result.start, START_LOCAL_FORK);
	CHECK(o.result.ns.first_instruction > 0 &&
		o.result.ns.first_instruction < o.result.ns.total);
	outcome_fini(&o);
	o = world_call(&w, 0, "crash", 0);
	CHECK_INT(o.result.error.err.code, RAMET_ECRASH);
	CHECK_INT(o.result.error.signal, SIGSEGV);
	outcome_fini(&o);
	o = world_call(&w, 0, "leave", 0);
	CHECK_INT(o.result.error.err.code, RAMET_ECRASH);
	CHECK(strstr(o.result.error.err.msg, "status 3") != NULL);
	outcome_fini(&o);
	o = world_call(&w, 0, "sum", 0);
	CHECK_STR(o.result.output, SUM);
	CHECK_INT(o.result.start, START_WARM);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_many_at_once(void)
{
	struct world w;
	struct outcome o[MANY];
	REQUIRE(world_init(&w, &(struct world_options){0}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct call_request r = {.function = "touch", .own_instance = true};
	for (unsigned i = 0; i < MANY; i++)
		REQUIRE(world_submit(&w, 0, &r, &o[i]) == 0);
	for (unsigned i = 0; i < MANY; i++) {
		REQUIRE(world_until(&w, &o[i].done, 1));
		CHECK_INT(o[i].result.error.err.code, 0);
		CHECK_STR(o[i].result.output, SUM); /* what one writes, no other sees */
		outcome_fini(&o[i]);
	}
	world_fini(&w);
}

static void test_deadline_kills(void)
{
	struct world w;
	REQUIRE(world_init(&w, &(struct world_options){0}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){.deadline_ms = 50}));
	for (unsigned i = 0; i < 3; i++) {
		struct outcome o = world_call(&w, 0, "hang", 0);
		CHECK_INT(o.result.error.err.code, RAMET_EDEADLINE);
		outcome_fini(&o);
		const struct call_request patient = {
			.function = "pid", .deadline_ns = 20 * NSEC_PER_SEC};
		REQUIRE(world_submit(&w, 0, &patient, &o) == 0);
		CHECK(world_until(&w, &o.done, 1));
		CHECK_INT(o.result.error.err.code, 0);
		outcome_fini(&o);
	}
	world_fini(&w);
}

static void test_false_crash(void)
{
	struct world w;
	REQUIRE(world_init(&w, &(struct world_options){0}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "pretend", 0);
	CHECK_INT(o.result.error.err.code, RAMET_ECRASH);
	CHECK(o.result.pid > 0);
	CHECK(kill(o.result.pid, 0) < 0 && errno == ESRCH); /* it did not get away with it */
	outcome_fini(&o);
	world_fini(&w);
}

static void test_impostor_for_a_shadow(void)
{
	struct world w;
	struct made made;
	REQUIRE(world_init(&w, &(struct world_options){0}));
	world_make(&w, 0, &(struct world_app){.impostor = true}, &made);
	CHECK_INT(made.seed.error.err.code, RAMET_EPROTO);
	CHECK(strstr(made.seed.error.err.msg, "another process") != NULL);
	call_error_fini(&made.seed.error);
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	world_fini(&w);
}

static void count_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	(void)inst;
	CHECK_INT(cause->err.code, RAMET_ECLOSED);
	(*(unsigned *)user)++;
}

/* while ramet-spawn does not answer, nobody waits for what it might make, and nobody is told later
 */
static void test_given_up_before_it_was_made(void)
{
	static const char *const argv[] = {"/bin/true", NULL};
	static const char *const env[] = {NULL};
	static const struct instance_handler handler = {.on_gone = count_gone};
	struct world w;
	struct instance *inst = NULL;
	struct ramet_err err = {0};
	unsigned count = 0;
	REQUIRE(world_init(&w, &(struct world_options){0}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	pid_t spawn = spawn_client_pid(w.nodes[0]->spawn);
	REQUIRE(kill(spawn, SIGSTOP) == 0);
	const struct instance_host host = {.app = w.app, .argv = argv, .env = env, .dir = "/"};
	uint64_t begin = now_ns();
	REQUIRE_OK(instance_start_host(w.nodes[0]->instances, &host, &handler, &count, &inst, &err),
		&err);
	instance_end(inst);
	CHECK(world_until(&w, &count, 1));
	CHECK(now_ns() - begin < suite_patience(NSEC_PER_SEC));
	REQUIRE(kill(spawn, SIGCONT) == 0);
	struct outcome o = world_call(&w, 0, "pid", 0);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	o = world_call(&w, 0, "sum", 0); /* behind the answer that nobody wants */
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	CHECK_INT(count, 1);
	world_fini(&w);
}

static bool two_has_a_copy(struct world *w)
{
	const struct member *m = members_find(w->nodes[0]->members, 2);
	return member_holds(m, w->app->id) != NULL;
}

static void has_working_set(void *user, const struct seed_info *info)
{
	*(uint64_t *)user = info->working_set_bytes;
}

static uint64_t set_bytes(struct world *w)
{
	uint64_t set = 0;
	seeds_each(w->nodes[0]->seeds, has_working_set, &set);
	return set;
}

static void test_remote_forks(void)
{
	struct world w;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 3}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "touch", 2);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, SUM);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	CHECK_INT(o.result.source_node, 1);
	outcome_fini(&o);
	REQUIRE(world_until_true(&w, two_has_a_copy));
	o = world_call(&w, 0, "sum", 2); /* another function, from the complete copy */
	CHECK_STR(o.result.output, SUM);
	CHECK_INT(o.result.start, START_LOCAL_FORK);
	outcome_fini(&o);
	CHECK(set_bytes(&w) >= 4 << 20); /* node 2 told what it had to fetch */
	o = world_call(&w, 0, "touch", 3); /* prefetched */
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, SUM);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	outcome_fini(&o);
	world_fini(&w);
}

static bool set_is_known(struct world *w)
{
	return set_bytes(w) > 0;
}

/* by the time that it touches its memory, the background has brought it */
static void test_working_set_of_a_slow_call(void)
{
	struct world w;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 2}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "late", 2);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, SUM);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	outcome_fini(&o);
	REQUIRE(world_until_true(&w, set_is_known));
	CHECK(set_bytes(&w) >= 4 << 20);
	world_fini(&w);
}

static void test_no_working_set_of_a_call_that_fails(void)
{
	struct world w;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 2}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "fail", 2);
	CHECK_INT(o.result.error.err.code, RAMET_EUSER);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	outcome_fini(&o);
	REQUIRE(world_until_true(&w, two_has_a_copy));
	CHECK_INT(set_bytes(&w), 0);
	world_fini(&w);
}

struct seen {
	unsigned results, summaries, wrong, kinds[START_KINDS];
	struct burst_summary summary;
};

/* an instance that was there may have served before: what it touched then is more by one */
static bool is_sum(const struct call_result *result)
{
	char text[32];
	snprintf(text, sizeof(text), "%.*s", (int)result->output_len, (const char *)result->output);
	if (result->start != START_WARM)
		return strcmp(text, SUM) == 0;
	uint64_t sum = strtoull(text, NULL, 10), first = strtoull(SUM, NULL, 10);
	return sum >= first && (sum - first) % TOUCHED == 0;
}

static void on_rank(void *user, const struct call_result *result)
{
	struct seen *seen = user;
	seen->results++;
	seen->kinds[result->start]++;
	if (!is_sum(result)) {
		seen->wrong++;
		printf("  a rank, %s: %.*s %s\n", start_kind_name(result->start),
			(int)result->output_len, (const char *)result->output,
			result->error.err.msg);
	}
}

static void on_summary(void *user, const struct burst_summary *summary)
{
	struct seen *seen = user;
	seen->summary = *summary;
	seen->summaries++;
}

static void burst(struct world *w, uint32_t count, struct seen *seen)
{
	static const struct burst_handler handler = {on_rank, on_summary};
	struct burst_request r = {
		.tenant = WORLD_UID, .function = "touch", .data = "42", .len = 2, .count = count};
	char id[CALL_ID_MAX];
	struct ramet_err err = {0};
	*seen = (struct seen){0};
	REQUIRE_OK(bursts_submit(w->nodes[0]->bursts, &r, &handler, seen, id, &err), &err);
	REQUIRE(world_until(w, &seen->summaries, 1));
}

static void test_burst_over_three_nodes(void)
{
	struct world w;
	struct seen seen;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 3}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	const uint32_t count = 64 / (uint32_t)suite_patience(1); /* at most as many forks at once */
	burst(&w, count, &seen);
	CHECK_INT(seen.results, count);
	CHECK_INT(seen.wrong, 0);
	CHECK_INT(seen.summary.ok, count);
	CHECK_INT(seen.summary.nodes, 3);
	CHECK_INT(seen.kinds[START_COLD], 0);
	CHECK(seen.kinds[START_LOCAL_FORK] > 0 && seen.kinds[START_REMOTE_FORK] > 0);
	world_fini(&w);
}

static bool source_is_dead(struct world *w)
{
	return !members_find(w->nodes[1]->members, 1)->alive;
}

static void test_copy_outlives_its_source(void)
{
	struct world w;
	REQUIRE(world_init(&w, &(struct world_options){.nodes = 2}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "touch", 2);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	REQUIRE(world_until_true(&w, two_has_a_copy));
	world_stop_node(&w, 0);
	REQUIRE(world_until_true(&w, source_is_dead));
	o = world_call(&w, 1, "sum", 0);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, SUM);
	CHECK_INT(o.result.start, START_LOCAL_FORK);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_nothing_is_left_after_many(void)
{
	struct world w;
	struct seen seen;
	REQUIRE(world_init(&w, &(struct world_options){.max_instances = 16, .idle_ms = 20}));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){.fresh = "fresh"}));
	burst(&w, 16, &seen); /* what is made once is there now */
	CHECK_INT(seen.wrong, 0);
	while (instances_count(w.nodes[0]->instances, NULL) > 0)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	unsigned fds = suite_count_fds();
	burst(&w, 300, &seen);
	CHECK_INT(seen.wrong, 0);
	CHECK_INT(seen.summary.ok, 300);
	while (instances_count(w.nodes[0]->instances, NULL) > 0)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	CHECK_INT(suite_count_fds(), fds);
	world_fini(&w);
}

SUITE_MAIN("nodes with real processes", TEST(test_one_node), TEST(test_many_at_once),
	TEST(test_deadline_kills), TEST(test_remote_forks), TEST(test_working_set_of_a_slow_call),
	TEST(test_no_working_set_of_a_call_that_fails), TEST(test_burst_over_three_nodes),
	TEST(test_copy_outlives_its_source), TEST(test_false_crash),
	TEST(test_impostor_for_a_shadow), TEST(test_given_up_before_it_was_made),
	TEST(test_nothing_is_left_after_many))
