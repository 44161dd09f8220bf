/* Calls on one node: starts, reuse, deaths, deadlines, cancelling, limits. */
#include "tests/cluster_node/world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/leases.h"

#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

static const struct world_options one_node;

static unsigned count_running(const struct world *w)
{
	struct calls_stats stats;
	calls_get_stats(w->nodes[0]->calls, &stats);
	return stats.running;
}

static void test_first_call_is_served_by_the_host(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_STR(o.result.output, "42");
	CHECK_INT(o.result.start, START_WARM);
	CHECK_INT(o.result.node, 1);
	CHECK_STR(o.result.id, o.id);
	CHECK_STR(o.result.function, "echo");
	CHECK_STR(o.result.version, w.app->id);
	CHECK(o.result.pid > 0);
	CHECK_INT(o.result.ns.start, 0);
	CHECK(o.result.ns.total >= o.result.ns.run);
	CHECK_INT(w.fakes[0].hosts, 1);
	CHECK_INT(w.fakes[0].clones, 0);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_busy_host_makes_forks(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome held[4];
	struct call_request r = {.function = "hold"};
	for (unsigned i = 0; i < 4; i++)
		REQUIRE(world_submit(&w, 0, &r, &held[i]) == 0);
	struct outcome o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.start, START_LOCAL_FORK);
	CHECK(o.result.ns.start > 0);
	CHECK(o.result.ns.first_instruction > 0);
	while (count_running(&w) < 4)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	fake_release(&w.fakes[0]);
	unsigned warm = 0;
	for (unsigned i = 0; i < 4; i++) {
		REQUIRE(world_until(&w, &held[i].done, 1));
		warm += held[i].result.start == START_WARM;
		outcome_fini(&held[i]);
	}
	CHECK_INT(warm, 1); /* the host */
	CHECK_INT(w.fakes[0].clones, 4);
	CHECK_INT(w.fakes[0].templates, 2); /* one for each function */
	outcome_fini(&o);
	o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.start, START_WARM);
	outcome_fini(&o);
	struct calls_function_stats counters;
	calls_get_function_stats(w.nodes[0]->calls, WORLD_UID, "hold", &counters);
	CHECK_INT(counters.calls, 4);
	CHECK_INT(counters.local_fork, 3);
	world_fini(&w);
}

static void test_a_function_that_raises(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome o = world_call(&w, 0, "fail", 0);
	CHECK_INT(o.result.error.err.code, RAMET_EUSER);
	CHECK_STR(o.result.error.type, "ValueError");
	CHECK_STR(call_error_message(&o.result.error), "it said no");
	CHECK_STR(o.result.error.traceback, "line 1\nline 2");
	CHECK(!o.result.error.retryable);
	outcome_fini(&o);
	o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_an_error_it_may_not_give_is_its_own(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){.idempotent = true});
	struct outcome o = world_call(&w, 0, "claim", 0);
	CHECK_INT(o.result.error.err.code, RAMET_EUSER);
	CHECK_INT(w.fakes[0].clones, 0); /* not called again */
	outcome_fini(&o);
	world_fini(&w);
}

static void test_a_crash_costs_one_call(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome o = world_call(&w, 0, "crash", 0);
	CHECK_INT(o.result.error.err.code, RAMET_ECRASH);
	CHECK_INT(o.result.error.signal, SIGSEGV);
	CHECK_INT(o.result.error.fault_address, 0xdead0);
	CHECK_INT(o.result.error.node, 1);
	CHECK(o.result.error.log_tail_len == 15 &&
		memcmp(o.result.error.log_tail, "about to crash\n", 15) == 0);
	outcome_fini(&o);
	o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_INT(o.result.start, START_LOCAL_FORK);
	CHECK_INT(w.fakes[0].hosts, 1);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_ends_and_lies_of_instances(void)
{
	static const struct {
		const char *function;
		int code;
	} cases[] = {{"die", RAMET_ELOST}, {"leave", RAMET_ECRASH}, {"garbage", RAMET_EPROTO},
		{"other", RAMET_EPROTO}};
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome o = world_call(&w, 0, cases[i].function, 0);
		CHECK_INT(o.result.error.err.code, cases[i].code);
		outcome_fini(&o);
	}
	struct outcome o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_noise_ends_the_instance_only(void)
{
	unsigned failed = 0;
	WORLD_BEGIN(w, &one_node, &(struct world_app){.deadline_ms = 5});
	for (unsigned i = 0; i < 200; i++) {
		struct outcome o = world_call(&w, 0, "noise", 0);
		CHECK_INT(o.done, 1);
		failed += o.result.error.err.code < 0;
		outcome_fini(&o);
	}
	CHECK(failed > 50);
	int code = RAMET_EDEADLINE;
	for (unsigned i = 0; i < 200 && code == RAMET_EDEADLINE;
		i++) { /* 5 ms are few if the machine is busy */
		struct outcome o = world_call(&w, 0, "echo", 0);
		code = o.result.error.err.code;
		outcome_fini(&o);
	}
	CHECK_INT(code, 0);
	CHECK_INT(w.fakes[0].hosts, 1);
	world_fini(&w);
}

static void test_idempotent_calls_are_tried_again(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){.idempotent = true});
	struct outcome o = world_call(&w, 0, "die", 0);
	CHECK_INT(o.result.error.err.code, RAMET_ELOST);
	CHECK_INT(w.fakes[0].clones, 2); /* after the host, two more */
	outcome_fini(&o);
	world_fini(&w);
}

static void test_deadline(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome o;
	/* it is killed as long after its deadline as that was away: so long a machine may stand
	 * still */
	struct call_request r = {.function = "polite", .deadline_ns = 1500 * NSEC_PER_MSEC};
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	REQUIRE(world_until(&w, &o.done, 1));
	CHECK_INT(o.result.error.err.code, RAMET_EDEADLINE);
	CHECK_INT(w.fakes[0].kills, 0); /* it stopped by itself */
	outcome_fini(&o);
	uint64_t begin = now_ns();
	r = (struct call_request){.function = "hang", .deadline_ns = 20 * NSEC_PER_MSEC};
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	REQUIRE(world_until(&w, &o.done, 1));
	CHECK_INT(o.result.error.err.code, RAMET_EDEADLINE);
	CHECK(now_ns() - begin >= 100 * NSEC_PER_MSEC); /* it had time to stop */
	CHECK(now_ns() - begin < 2000 * NSEC_PER_MSEC);
	CHECK_INT(w.fakes[0].kills, 1);
	outcome_fini(&o);
	o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_deadline_of_the_deployment_and_in_the_queue(void)
{
	WORLD_BEGIN(w, &(struct world_options){.max_instances = 1},
		&(struct world_app){.deadline_ms = 30});
	struct outcome a, b;
	struct call_request r = {.function = "hang"};
	REQUIRE(world_submit(&w, 0, &r, &a) == 0);
	r.function = "echo";
	REQUIRE(world_submit(&w, 0, &r, &b) == 0);
	REQUIRE(world_until(&w, &a.done, 1));
	REQUIRE(world_until(&w, &b.done, 1));
	CHECK_INT(a.result.error.err.code, RAMET_EDEADLINE);
	CHECK_INT(b.result.error.err.code, RAMET_EDEADLINE);
	CHECK_INT(b.result.node, 0);
	outcome_fini(&a);
	outcome_fini(&b);
	world_fini(&w);
}

static void on_look(void *user, struct lease *lease)
{
}

static void on_ended(void *user, struct lease *lease)
{
	++*(unsigned *)user;
}

static int grant(struct world *w, unsigned *ended, struct lease **ret_lease)
{
	static const struct lease_owner owner = {.on_look = on_look, .on_ended = on_ended};
	auto_close int fd = eventfd(0, EFD_CLOEXEC);
	const struct lease_request request = {.tenant = WORLD_UID,
		.function = "echo",
		.client_fd = fd,
		.owner = &owner,
		.user = ended};
	return lease_grant(w->nodes[0]->calls, &request, ret_lease, NULL);
}

/* a lease without an instance would take memory for nothing, and calls that wait in it their time
 */
static void test_no_room_for_a_line(void)
{
	WORLD_BEGIN(w, &(struct world_options){.max_instances = 1},
		&(struct world_app){.fresh = "fresh"});
	struct outcome o;
	struct lease *lease = NULL;
	unsigned ended = 0;
	struct call_request r = {.function = "hang"};
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	CHECK_INT(grant(&w, &ended, &lease), RAMET_EAGAIN);
	CHECK_INT(calls_cancel(w.nodes[0]->calls, WORLD_UID, o.id), 0);
	REQUIRE(world_until(&w, &o.done, 1));
	outcome_fini(&o);
	world_fini(&w);
}

/* a lease makes room for a call, also before its instances have begun to start */
static void test_a_line_makes_room(void)
{
	WORLD_BEGIN(w, &(struct world_options){.max_instances = 2},
		&(struct world_app){.fresh = "fresh"});
	struct outcome first, second;
	struct lease *lease = NULL;
	unsigned ended = 0;
	struct call_request r = {.function = "hang"};
	REQUIRE(world_submit(&w, 0, &r, &first) == 0); /* the host that was captured has it */
	REQUIRE(grant(&w, &ended, &lease) == 0);
	r.function = "echo";
	REQUIRE(world_submit(&w, 0, &r, &second) == 0);
	REQUIRE(world_until(&w, &second.done, 1));
	CHECK_INT(second.result.error.err.code, 0);
	REQUIRE(world_until(&w, &ended, 1));
	CHECK_INT(calls_cancel(w.nodes[0]->calls, WORLD_UID, first.id), 0);
	REQUIRE(world_until(&w, &first.done, 1));
	outcome_fini(&first);
	outcome_fini(&second);
	world_fini(&w);
}

static void test_cancel(void)
{
	WORLD_BEGIN(w, &(struct world_options){.max_instances = 1}, &(struct world_app){0});
	struct outcome running, queued, next;
	struct call_request r = {.function = "hang"};
	REQUIRE(world_submit(&w, 0, &r, &running) == 0);
	REQUIRE(world_submit(&w, 0, &r, &queued) == 0);
	r.function = "echo";
	REQUIRE(world_submit(&w, 0, &r, &next) == 0);
	CHECK_INT(calls_cancel(w.nodes[0]->calls, WORLD_UID + 1, queued.id), RAMET_ENOTFOUND);
	CHECK_INT(calls_cancel(w.nodes[0]->calls, WORLD_UID, queued.id), 0);
	CHECK_INT(calls_cancel(w.nodes[0]->calls, WORLD_UID, running.id), 0);
	CHECK_INT(running.done + queued.done, 0);
	REQUIRE(world_until(&w, &next.done, 1));
	CHECK_INT(running.result.error.err.code, RAMET_ECANCELED);
	CHECK_INT(queued.result.error.err.code, RAMET_ECANCELED);
	CHECK_INT(next.result.error.err.code, 0);
	CHECK_INT(calls_cancel(w.nodes[0]->calls, WORLD_UID, running.id), RAMET_ENOTFOUND);
	outcome_fini(&running);
	outcome_fini(&queued);
	outcome_fini(&next);
	world_fini(&w);
}

static void test_forgotten_calls_say_nothing(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome o;
	struct call_request r = {.function = "hang"};
	REQUIRE(world_submit(&w, 0, &r, &o) == 0);
	calls_forget(w.nodes[0]->calls, o.id);
	REQUIRE(world_until(&w, &w.fakes[0].exits, 1));
	CHECK_INT(o.done, 0);
	world_fini(&w);
}

static void test_limits(void)
{
	WORLD_BEGIN(w, &((struct world_options){.max_instances = 3, .max_queue = 5}),
		&(struct world_app){.output = 1000});
	struct outcome o[8], more;
	struct call_request r = {.function = "hold"};
	for (unsigned i = 0; i < 3; i++)
		REQUIRE(world_submit(&w, 0, &r, &o[i]) == 0);
	while (count_running(&w) < 3)
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	for (unsigned i = 3; i < 8; i++)
		REQUIRE(world_submit(&w, 0, &r, &o[i]) == 0);
	CHECK_INT(world_submit(&w, 0, &r, &more), RAMET_EAGAIN);
	for (unsigned done = 0; done < 8;) {
		fake_release(&w.fakes[0]);
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
		done = 0;
		for (unsigned i = 0; i < 8; i++)
			done += o[i].done;
	}
	CHECK_INT(w.fakes[0].max_alive, 3);
	for (unsigned i = 0; i < 8; i++) {
		CHECK_INT(o[i].result.error.err.code, 0);
		outcome_fini(&o[i]);
	}
	struct outcome big = world_call(&w, 0, "big", 0);
	CHECK_INT(big.result.error.err.code, RAMET_ELIMIT);
	CHECK(strstr(big.result.error.err.msg, "100000") != NULL);
	outcome_fini(&big);
	CHECK_INT(world_submit(&w, 0, &(struct call_request){.function = "none"}, &more),
		RAMET_ENOTFOUND);
	world_fini(&w);
}

static bool nobody_lives(struct world *w)
{
	return w->fakes[0].alive == 0;
}

static void test_idle_instances_end(void)
{
	WORLD_BEGIN(w, &(struct world_options){.idle_ms = 30}, &(struct world_app){0});
	struct outcome o = world_call(&w, 0, "echo", 0);
	outcome_fini(&o);
	REQUIRE(world_until_true(&w, nobody_lives));
	CHECK_INT(w.fakes[0].kills, 0); /* it was asked to */
	o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.start, START_LOCAL_FORK);
	outcome_fini(&o);
	world_fini(&w);
}

static bool one_lives(struct world *w)
{
	return w->fakes[0].alive == 1;
}

static bool one_holds(struct world *w)
{
	return fake_holding(&w->fakes[0]) == 1;
}

static bool two_hold(struct world *w)
{
	return fake_holding(&w->fakes[0]) == 2;
}

/* the host ends before its clones do */
static void test_idle_hosts_end(void)
{
	WORLD_BEGIN(w, &(struct world_options){.host_idle_ms = 30}, &(struct world_app){0});
	struct outcome held[2];
	struct call_request r = {.function = "hold"};
	for (unsigned i = 0; i < 2; i++)
		REQUIRE(world_submit(&w, 0, &r, &held[i]) == 0);
	REQUIRE(world_until_true(&w, two_hold));
	fake_release(&w.fakes[0]);
	for (unsigned i = 0; i < 2; i++) {
		REQUIRE(world_until(&w, &held[i].done, 1));
		outcome_fini(&held[i]);
	}
	CHECK_INT(w.fakes[0].alive, 2);
	REQUIRE(world_until_true(&w, one_lives));
	CHECK_INT(w.fakes[0].kills, 0);
	CHECK_INT(w.fakes[0].clones, 1);
	REQUIRE(world_submit(&w, 0, &r, &held[0]) == 0);
	REQUIRE(world_until_true(&w, one_holds));
	fake_release(&w.fakes[0]);
	REQUIRE(world_until(&w, &held[0].done, 1));
	CHECK_INT(held[0].result.start, START_WARM); /* by the clone */
	CHECK_INT(w.fakes[0].clones, 1);
	outcome_fini(&held[0]);
	world_fini(&w);
}

static void test_fresh_functions_never_reuse(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){.fresh = "fresh"});
	for (unsigned i = 0; i < 3; i++) {
		struct outcome o = world_call(&w, 0, "echo", 0);
		CHECK_INT(o.result.error.err.code, 0);
		CHECK_INT(o.result.start, i == 0 ? START_WARM : START_LOCAL_FORK);
		outcome_fini(&o);
	}
	REQUIRE(world_until(&w, &w.fakes[0].exits, 3));
	world_fini(&w);
}

static void test_clone_that_cannot_be_made(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome o = world_call(&w, 0, "crash", 0); /* the host goes */
	outcome_fini(&o);
	w.fakes[0].fail_template = true;
	o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, RAMET_EREFUSED);
	outcome_fini(&o);
	w.fakes[0].fail_template = false;
	w.fakes[0].fail_clone = true;
	o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, RAMET_EREFUSED);
	outcome_fini(&o);
	w.fakes[0].fail_clone = false;
	o = world_call(&w, 0, "echo", 0);
	CHECK_INT(o.result.error.err.code, 0);
	outcome_fini(&o);
	world_fini(&w);
}

static void test_dropped_version(void)
{
	WORLD_BEGIN(w, &one_node, &(struct world_app){0});
	struct outcome running, o;
	struct call_request r = {.function = "hang"};
	REQUIRE(world_submit(&w, 0, &r, &running) == 0);
	o = world_call(&w, 0, "echo", 0);
	outcome_fini(&o);
	CHECK_INT(calls_drop_version(w.nodes[0]->calls, WORLD_UID, w.app->id, true), 2);
	seeds_drop(w.nodes[0]->seeds, WORLD_UID, w.app->id, true);
	REQUIRE(world_until(&w, &running.done, 1));
	CHECK_INT(running.result.error.err.code, RAMET_EREVOKED);
	REQUIRE(world_until(&w, &w.fakes[0].exits, 2));
	CHECK(!seeds_have(w.nodes[0]->seeds, WORLD_UID, w.app->id));
	CHECK_INT(w.fakes[0].drops, 1);
	outcome_fini(&running);
	world_fini(&w);
}

static void test_calls_accepted_before_a_newer_version(void)
{
	WORLD_BEGIN(w, &(struct world_options){.max_instances = 1}, &(struct world_app){0});
	struct outcome running, queued;
	struct call_request r = {.function = "hold"};
	REQUIRE(world_submit(&w, 0, &r, &running) == 0);
	r.function = "echo";
	REQUIRE(world_submit(&w, 0, &r, &queued) == 0);
	CHECK_INT(calls_drop_version(w.nodes[0]->calls, WORLD_UID, w.app->id, false), 0);
	seeds_drop(w.nodes[0]->seeds, WORLD_UID, w.app->id, false);
	while (running.done == 0) {
		fake_release(&w.fakes[0]);
		REQUIRE(loop_turn(w.loop, WORLD_TIMEOUT_NS, NULL) == 0);
	}
	REQUIRE(world_until(&w, &queued.done, 1));
	CHECK_INT(running.result.error.err.code, 0);
	CHECK_INT(queued.result.error.err.code, 0);
	CHECK_INT(w.fakes[0].hosts, 1); /* not initialised again */
	outcome_fini(&running);
	outcome_fini(&queued);
	world_fini(&w);
}

SUITE_MAIN("calls on one node", TEST(test_first_call_is_served_by_the_host),
	TEST(test_busy_host_makes_forks), TEST(test_a_function_that_raises),
	TEST(test_an_error_it_may_not_give_is_its_own), TEST(test_a_crash_costs_one_call),
	TEST(test_ends_and_lies_of_instances), TEST(test_noise_ends_the_instance_only),
	TEST(test_idempotent_calls_are_tried_again), TEST(test_deadline),
	TEST(test_deadline_of_the_deployment_and_in_the_queue), TEST(test_no_room_for_a_line),
	TEST(test_a_line_makes_room), TEST(test_cancel), TEST(test_forgotten_calls_say_nothing),
	TEST(test_limits), TEST(test_idle_instances_end), TEST(test_idle_hosts_end),
	TEST(test_fresh_functions_never_reuse), TEST(test_clone_that_cannot_be_made),
	TEST(test_dropped_version), TEST(test_calls_accepted_before_a_newer_version))
