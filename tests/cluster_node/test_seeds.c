/* Making seeds, and forking them on other nodes: three nodes, real bus, data and pager threads. */
#include "tests/cluster_node/fake_process.h"
#include "tests/cluster_node/world.h"

#include "base/clock.h"
#include "base/topo.h"
#include "cluster/bus.h"
#include "cluster/members.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct world_options one_node;
static const struct world_options three_nodes = {.nodes = 3};

static void test_making_a_seed(void)
{
	struct world w;
	struct made made;
	REQUIRE(world_init(&w, &one_node));
	world_make(&w, 0, &(struct world_app){0}, &made);
	CHECK_INT(made.seed.error.err.code, 0);
	CHECK_INT(made.seed.start, START_COLD);
	CHECK(made.stages >= 3);
	CHECK(made.seed.instance > 0 && made.seed.pid > 0);
	CHECK(made.seed.ready_ns > 0 && made.seed.load_ns > 0 && made.seed.capture_ns > 0);
	CHECK_INT(made.seed.stall_ns, 350000);
	CHECK_INT(made.seed.image_bytes, FAKE_PAGES * 4096);
	CHECK_INT(seeds_count(w.nodes[0]->seeds), 1);
	CHECK_INT(calls_idle(w.nodes[0]->calls, w.app->id), 1);
	world_make(&w, 0, &(struct world_app){0}, &made);
	CHECK_INT(made.seed.start, START_WARM);
	CHECK_INT(w.fakes[0].hosts, 1);
	world_fini(&w);
}

static void check_refused(struct world *w, int code, const char *text)
{
	struct made made;
	world_make(w, 0, &(struct world_app){0}, &made);
	CHECK_INT(made.seed.error.err.code, code);
	CHECK(strstr(call_error_message(&made.seed.error), text) != NULL);
	call_error_fini(&made.seed.error);
	CHECK_INT(seeds_count(w->nodes[0]->seeds), 0);
	CHECK_INT(calls_idle(w->nodes[0]->calls, w->app->id), 0);
	CHECK(world_until(w, &w->fakes[0].exits, w->fakes[0].hosts)); /* nothing is left */
}

static void test_what_cannot_be_made_leaves_nothing(void)
{
	struct world w;
	REQUIRE(world_init(&w, &one_node));
	w.fakes[0].fail_load = true;
	check_refused(&w, RAMET_EUSER, "no module named nothing");
	w.fakes[0].fail_load = false;
	w.fakes[0].refuse_capture = true;
	check_refused(&w, RAMET_EREFUSED, "connected socket");
	w.fakes[0].refuse_capture = false;
	w.fakes[0].bad_capture = true;
	check_refused(&w, RAMET_EREFUSED, "open for writing");
	w.fakes[0].bad_capture = false;
	struct made made;
	world_make(&w, 0, &(struct world_app){0}, &made);
	CHECK_INT(made.seed.error.err.code, 0);
	world_fini(&w);
}

static bool capture_waits(struct world *w)
{
	(void)w;
	return atomic_load(&fake_captures_waiting) > 0;
}

static const struct world_app versions[] = {
	{.python = true, .content = "one"},
	{.python = true, .content = "two"},
};

static void test_redeploy_begins_from_the_base(void)
{
	struct world w;
	struct made made;
	REQUIRE(world_init(&w, &one_node));
	world_make(&w, 0, &versions[0], &made);
	CHECK_INT(made.seed.error.err.code, 0);
	CHECK_INT(made.seed.start, START_COLD);
	world_make(&w, 0, &versions[1], &made);
	CHECK_INT(made.seed.error.err.code, 0);
	CHECK_INT(made.seed.start, START_LOCAL_FORK);
	CHECK_INT(w.fakes[0].hosts, 1);
	world_fini(&w);
}

/* it has imported what the version must not have: another one, that is asked for no base */
static void test_host_that_could_not_be_a_base_does_not_suit(void)
{
	struct world w;
	struct made made;
	REQUIRE(world_init(&w, &one_node));
	w.fakes[0].unsuitable = true;
	world_make(&w, 0, &versions[0], &made);
	CHECK_INT(made.seed.error.err.code, 0);
	CHECK_INT(made.seed.start, START_COLD);
	CHECK_INT(w.fakes[0].hosts, 2);
	CHECK_INT(w.fakes[0].loads, 2);
	call_error_fini(&made.seed.error);
	world_fini(&w);
}

/* the worker's answer comes when another host is on its way, and is for nobody */
static void test_clone_of_base_ends_while_its_capture_is_read(void)
{
	struct world w;
	struct seed_making *making = NULL;
	struct made made;
	struct ramet_err err = {0};
	REQUIRE(world_init(&w, &one_node));
	REQUIRE(sem_init(&fake_capture_go, 0, 0) == 0);
	world_make(&w, 0, &versions[0], &made);
	REQUIRE(made.seed.error.err.code == 0);
	REQUIRE(world_install(&w, 0, &versions[1]));
	made = (struct made){0};
	atomic_store(&fake_captures_waiting, 0);
	atomic_store(&fake_capture_waits, true);
	REQUIRE_OK(world_begin(&w, 0, &made, &making, &err), &err);
	REQUIRE(world_until_true(&w, capture_waits));
	atomic_store(&fake_capture_waits, false);
	REQUIRE(fake_kill(&w.fakes[0], w.fakes[0].captured));
	REQUIRE(world_until(&w, &w.fakes[0].hosts, 2));
	sem_post(&fake_capture_go);
	REQUIRE(world_until(&w, &made.done, 1));
	CHECK_INT(made.seed.error.err.code, 0);
	CHECK_INT(made.seed.start, START_COLD);
	CHECK_INT(w.fakes[0].loads, 3); /* of both versions, and the second once more */
	CHECK(made.seed.load_ns < WORLD_TIMEOUT_NS);
	world_fini(&w);
	sem_destroy(&fake_capture_go);
}

static void test_samples_are_called_before_the_capture(void)
{
	struct world w;
	REQUIRE(world_init(&w, &one_node));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){.samples = 3}));
	struct outcome o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_cancelled_while_it_loads(void)
{
	struct world w;
	struct made made = {0};
	REQUIRE(world_init(&w, &one_node));
	world_make(&w, 0, &(struct world_app){0}, &made); /* installs the files */
	seeds_drop(w.nodes[0]->seeds, WORLD_UID, w.app->id, true);
	w.fakes[0].no_ready = true;
	struct outcome o;
	struct call_request r = {.function = "echo", .app = w.app};
	REQUIRE(calls_drop_version(w.nodes[0]->calls, WORLD_UID, w.app->id, true) == 1);
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	REQUIRE(world_until(&w, &w.fakes[0].hosts, 2));
	CHECK_INT(calls_cancel(w.nodes[0]->calls, WORLD_UID, o.id), 0);
	REQUIRE(world_until(&w, &o.done, 1));
	CHECK_INT(o.result.error.err.code, RAMET_ECANCELED);
	outcome_fini(&o);
	world_fini(&w);
}

static bool has_copy(struct world *w)
{
	const struct member *m = members_find(w->nodes[0]->members, 2);
	const struct holding *h = m ? member_holds(m, w->app->id) : NULL;
	return h && !h->origin;
}

static void test_remote_fork_then_a_complete_copy(void)
{
	struct world w;
	REQUIRE(world_init(&w, &three_nodes));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "echo", 2);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, "42");
	CHECK_INT(o.result.node, 2);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	CHECK_INT(o.result.source_node, 1);
	CHECK(o.result.ns.first_instruction > 0 && o.result.ns.total > 0);
	outcome_fini(&o);
	CHECK_INT(w.fakes[1].hosts, 0);
	CHECK_INT(w.fakes[1].uffd_templates, 1);
	/* the rest of the image comes in the background; then others may read it, and userfaultfd
	 * goes */
	REQUIRE(world_until_true(&w, has_copy));
	REQUIRE(world_until(&w, &w.fakes[1].drops, 1));
	CHECK_INT(w.fakes[1].templates, 2);
	CHECK_INT(w.fakes[1].uffd_templates, 1);
	world_fini(&w);
}

static void test_many_wait_for_one_fetch(void)
{
	struct world w;
	struct outcome o[20];
	unsigned remote = 0;
	REQUIRE(world_init(&w, &three_nodes));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct call_request r = {.function = "echo", .node = 3, .own_instance = true};
	for (unsigned i = 0; i < 20; i++)
		REQUIRE(world_submit(&w, 0, &r, &o[i]) == 0);
	for (unsigned i = 0; i < 20; i++) {
		REQUIRE(world_until(&w, &o[i].done, 1));
		CHECK_INT(o[i].result.error.err.code, 0);
		CHECK_INT(o[i].result.node, 3);
		remote += o[i].result.start == START_REMOTE_FORK;
		outcome_fini(&o[i]);
	}
	CHECK_INT(remote, 20);
	CHECK_INT(w.fakes[2].clones, 20);
	CHECK_INT(w.fakes[2].hosts, 0);
	world_fini(&w);
}

static void test_without_userfaultfd_all_comes_first(void)
{
	struct world w;
	struct world_options options = {.nodes = 2, .eager = true};
	REQUIRE(world_init(&w, &options));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "echo", 2);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	CHECK_INT(w.fakes[1].uffd_templates, 0);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_a_seed_of_another_class_is_made_cold(void)
{
	struct world w;
	struct world_options options = {.nodes = 2};
	REQUIRE(world_init(&w, &options));
	w.fakes[0].class_id = 12345;
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 0, "echo", 2);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_INT(o.result.start, START_COLD);
	CHECK_INT(w.fakes[1].hosts, 1);
	outcome_fini(&o);
	world_fini(&w);
}

static bool node_1_is_dead(struct world *w)
{
	return !members_find(w->nodes[1]->members, 1)->alive;
}

static void test_source_is_lost(void)
{
	struct world w;
	struct world_options options = {.nodes = 3};
	REQUIRE(world_init(&w, &options));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o = world_call(&w, 1, "echo", 2);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	outcome_fini(&o);
	REQUIRE(world_until_true(&w, has_copy));
	world_stop_node(&w, 0);
	REQUIRE(world_until_true(&w, node_1_is_dead));
	o = world_call(&w, 2, "echo", 3); /* from the copy */
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	CHECK_INT(o.result.source_node, 2);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_calls_of_a_lost_node(void)
{
	struct world w;
	struct world_options options = {.nodes = 2};
	REQUIRE(world_init(&w, &options));
	REQUIRE(world_deploy(&w, 1, &(struct world_app){0}));
	struct outcome o;
	struct call_request r = {.function = "hang", .node = 2};
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	struct calls_stats stats = {0};
	while (stats.running < 1) {
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
		calls_get_stats(w.nodes[1]->calls, &stats);
	}
	world_stop_node(&w, 1);
	REQUIRE(world_until(&w, &o.done, 1));
	CHECK_INT(o.result.error.err.code, RAMET_ELOST);
	CHECK(o.result.error.retryable);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_cancel_and_deadline_reach_the_other_node(void)
{
	struct world w;
	struct world_options options = {.nodes = 2};
	REQUIRE(world_init(&w, &options));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct outcome o;
	struct call_request r = {.function = "hang", .node = 2};
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	struct calls_stats stats = {0};
	while (stats.running < 1) {
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
		calls_get_stats(w.nodes[1]->calls, &stats);
	}
	CHECK_INT(calls_cancel(w.nodes[0]->calls, WORLD_UID, o.id), 0);
	REQUIRE(world_until(&w, &o.done, 1));
	CHECK_INT(o.result.error.err.code, RAMET_ECANCELED);
	REQUIRE(world_until(&w, &w.fakes[1].exits, 1));
	outcome_fini(&o);
	r.deadline_ns = 30 * NSEC_PER_MSEC;
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	REQUIRE(world_until(&w, &o.done, 1));
	CHECK_INT(o.result.error.err.code, RAMET_EDEADLINE);
	CHECK_INT(o.result.error.node, 2);
	REQUIRE(world_until(&w, &w.fakes[1].exits, 2));
	outcome_fini(&o);
	world_fini(&w);
}

static void on_waited(void *user, const struct call_result *result)
{
	outcome_set(user, result);
}

static void test_detached_result_from_another_node(void)
{
	struct world w;
	struct world_options options = {.nodes = 2};
	REQUIRE(world_init(&w, &options));
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	struct call_request r = {
		.tenant = WORLD_UID, .function = "echo", .data = "7", .len = 1, .detach = true};
	char id[CALL_ID_MAX];
	struct ramet_err err = {0};
	struct call_wait *wait = NULL;
	struct outcome o = {0};
	REQUIRE_OK(calls_submit(w.nodes[0]->calls, &r, NULL, NULL, id, &err), &err);
	REQUIRE_OK(
		calls_wait(w.nodes[1]->calls, WORLD_UID, id, 0, on_waited, &o, &wait, &err), &err);
	REQUIRE(world_until(&w, &o.done, 1));
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, "7");
	outcome_fini(&o);
	world_fini(&w);
}

/* --- files named beforehand --- */

struct told {
	unsigned count;
	int code;
};

static void on_told(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct told *told = user;
	(void)body;
	told->count++;
	told->code = error ? error->code : 0;
}

/* what node 2 says of a list of these paths; NULL ends it; a number where a path is "7" */
static int name_files(struct world *w, const char *const *paths)
{
	struct buf b = {0};
	struct told told = {0};
	struct ramet_err err = {0};
	uint32_t count = 0;
	while (paths[count])
		count++;
	wire_map(&b, 1);
	wire_key(&b, "files");
	wire_array(&b, count);
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(paths[i], "7") == 0)
			wire_uint(&b, 7);
		else
			wire_str(&b, paths[i]);
	}
	int rc = bus_call(w->nodes[0]->bus, 2, "seed.files", &b, 0, on_told, &told, NULL, &err);
	CHECK_INT(rc, 0);
	CHECK(rc < 0 || world_until(w, &told.count, 1));
	return told.code;
}

/* whatever they are, nothing waits for them */
static void test_files_of_a_seed_are_named_beforehand(void)
{
	struct world w;
	char fifo[128];
	REQUIRE(world_init(&w, &three_nodes));
	snprintf(fifo, sizeof(fifo), "/tmp/ramet-seeds-%d.fifo", (int)getpid());
	REQUIRE(mkfifo(fifo, 0600) == 0);
	REQUIRE(world_deploy(&w, 0, &(struct world_app){0}));
	CHECK_INT(name_files(&w,
			  (const char *const[]){"/nonexistent", fifo, "/tmp", "/dev/zero",
				  "relative", "/proc/self/exe", NULL}),
		0);
	CHECK_INT(name_files(&w, (const char *const[]){NULL}), 0);
	CHECK_INT(name_files(&w, (const char *const[]){"", NULL}), RAMET_EPROTO);
	CHECK_INT(name_files(&w, (const char *const[]){"/bin/sh", "7", NULL}), RAMET_EPROTO);
	struct outcome o = world_call(&w, 1, "echo", 0);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	world_fini(&w);
	unlink(fifo);
}

SUITE_MAIN("seeds and nodes", TEST(test_files_of_a_seed_are_named_beforehand),
	TEST(test_making_a_seed), TEST(test_what_cannot_be_made_leaves_nothing),
	TEST(test_redeploy_begins_from_the_base),
	TEST(test_host_that_could_not_be_a_base_does_not_suit),
	TEST(test_clone_of_base_ends_while_its_capture_is_read),
	TEST(test_samples_are_called_before_the_capture), TEST(test_cancelled_while_it_loads),
	TEST(test_remote_fork_then_a_complete_copy), TEST(test_many_wait_for_one_fetch),
	TEST(test_without_userfaultfd_all_comes_first),
	TEST(test_a_seed_of_another_class_is_made_cold), TEST(test_source_is_lost),
	TEST(test_calls_of_a_lost_node), TEST(test_cancel_and_deadline_reach_the_other_node),
	TEST(test_detached_result_from_another_node))
