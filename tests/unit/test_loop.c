/* base/loop: order within a turn, removal from callbacks, tasks, nesting. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/loop.h"
#include "tests/lib/suite.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static char trace[64];

static void note(char c)
{
	size_t len = strlen(trace);
	if (len + 1 < sizeof(trace))
		trace[len] = c;
}

static struct loop *begin(void)
{
	struct loop *loop = NULL;
	struct ramet_err err = {0};
	memset(trace, 0, sizeof(trace));
	CHECK_INT(loop_create(&loop, &err), 0);
	return loop;
}

static int ready_fd(void)
{
	return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* --- order --- */

static void note_timer(struct loop_timer *timer)
{
	(void)timer;
	note('t');
}

static void note_task(struct loop_task *task)
{
	(void)task;
	note('p');
}

static void note_watch(struct loop_watch *watch, uint32_t events)
{
	CHECK(events & EPOLLIN);
	note('w');
	loop_watch_remove(watch);
}

static bool note_idle(struct loop_idle *idle)
{
	(void)idle;
	note('i');
	return false;
}

static void test_a_turn_runs_timers_posts_watches_hooks(void)
{
	struct loop *loop = begin();
	auto_close int fd = ready_fd();
	struct loop_watch watch = {0};
	struct loop_timer timer = {0};
	struct loop_task task = {.fn = note_task};
	struct loop_idle idle = {0};
	loop_idle_add(loop, &idle, note_idle);
	CHECK_INT(loop_watch_add(loop, &watch, fd, EPOLLIN, note_watch, NULL), 0);
	loop_post(loop, &task);
	CHECK_INT(loop_timer_set(loop, &timer, now_ns(), note_timer), 0);
	CHECK_INT(loop_turn(loop, UINT64_MAX, NULL), 0);
	CHECK_STR(trace, "tpwi");
	CHECK_INT(loop_turn(loop, 0, NULL), 0);
	CHECK_STR(trace, "tpwii");
	loop_idle_remove(&idle);
	loop_idle_remove(&idle);
	CHECK_INT(loop_turn(loop, 0, NULL), 0);
	CHECK_STR(trace, "tpwii");
	loop_destroy(loop);
}

/* --- timers --- */

struct numbered {
	struct loop_timer timer;
	unsigned number;
};
static unsigned fired[512], fired_count;

static void note_number(struct loop_timer *timer)
{
	fired[fired_count++] = container_of(timer, struct numbered, timer)->number;
}

static void test_timers_fire_in_order_of_deadline(void)
{
	struct loop *loop = begin();
	static struct numbered timers[512];
	memset(timers, 0, sizeof(timers));
	fired_count = 0;
	unsigned x = 1;
	for (unsigned i = 0; i < 512; i++) {
		x = x * 1103515245 + 12345;
		timers[i].number = (x >> 16) % 100;
		CHECK_INT(loop_timer_set(
				  loop, &timers[i].timer, 1000 + timers[i].number, note_number),
			0);
	}
	unsigned cancelled = 0;
	for (unsigned i = 0; i < 512; i += 3, cancelled++)
		loop_timer_cancel(&timers[i].timer);
	for (unsigned i = 1; i < 512; i += 3) { /* moved */
		timers[i].number = 200 - timers[i].number;
		CHECK_INT(loop_timer_set(
				  loop, &timers[i].timer, 1000 + timers[i].number, note_number),
			0);
	}
	CHECK_INT(loop_turn(loop, UINT64_MAX, NULL), 0);
	CHECK_INT(fired_count, 512 - cancelled);
	for (unsigned i = 1; i < fired_count; i++)
		CHECK(fired[i - 1] <= fired[i]);
	loop_timer_cancel(&timers[1].timer);
	loop_destroy(loop);
}

static void test_equal_deadlines_fire_in_order_of_setting(void)
{
	struct loop *loop = begin();
	struct numbered timers[20] = {0};
	fired_count = 0;
	for (unsigned i = 0; i < 20; i++) {
		timers[i].number = i;
		loop_timer_set(loop, &timers[i].timer, 5, note_number);
	}
	loop_turn(loop, 0, NULL);
	CHECK_INT(fired_count, 20);
	for (unsigned i = 0; i < fired_count; i++)
		CHECK_INT(fired[i], i);
	loop_destroy(loop);
}

static struct loop_timer again_timer, other_timer;

static void set_again(struct loop_timer *timer)
{
	note('a');
	loop_timer_set(timer->loop, timer, 0, set_again);
}

static void test_a_timer_that_sets_itself_lets_others_run(void)
{
	struct loop *loop = begin();
	memset(&again_timer, 0, sizeof(again_timer));
	memset(&other_timer, 0, sizeof(other_timer));
	loop_timer_set(loop, &again_timer, 0, set_again);
	loop_timer_set(loop, &other_timer, now_ns(), note_timer);
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "at");
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "ata");
	loop_destroy(loop);
	CHECK_INT(again_timer.heap_pos, 0);
}

static void cancel_other(struct loop_timer *timer)
{
	note('c');
	loop_timer_cancel(timer == &again_timer ? &other_timer : &again_timer);
}

static void test_a_timer_cancels_another_of_the_same_turn(void)
{
	struct loop *loop = begin();
	memset(&again_timer, 0, sizeof(again_timer));
	memset(&other_timer, 0, sizeof(other_timer));
	loop_timer_set(loop, &again_timer, 1, cancel_other);
	loop_timer_set(loop, &other_timer, 2, cancel_other);
	loop_turn(loop, 0, NULL);
	CHECK_STR(trace, "c");
	loop_destroy(loop);
}

static void check_sleep(struct loop *loop)
{
	struct loop_timer timer = {0};
	uint64_t start = now_ns();
	loop_timer_set(loop, &timer, start + 3 * NSEC_PER_MSEC, note_timer);
	while (!trace[0] && now_ns() < start + 10 * NSEC_PER_SEC)
		loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "t");
	CHECK(now_ns() - start >= 3 * NSEC_PER_MSEC);
	start = now_ns();
	while (now_ns() - start < 2 * NSEC_PER_MSEC)
		loop_turn(loop, 2 * NSEC_PER_MSEC, NULL);
	CHECK(now_ns() - start < 5 * NSEC_PER_SEC);
}

static void test_waits_until_a_deadline(void)
{
	struct loop *loop = begin();
	check_sleep(loop);
	loop_destroy(loop);
}

static void test_waits_without_epoll_pwait2(void)
{
	struct loop *loop = begin();
	fault_set("loop.epoll_pwait2", 0, 1);
	check_sleep(loop);
	memset(trace, 0, sizeof(trace));
	check_sleep(loop);
	fault_set("loop.epoll_pwait2", 0, 0);
	loop_destroy(loop);
}

/* --- watches --- */

static struct loop_watch *heap_watches[3];

static void free_all_watches(struct loop_watch *watch, uint32_t events)
{
	(void)watch, (void)events;
	note('w');
	for (int i = 0; i < 3; i++) {
		loop_watch_remove(heap_watches[i]);
		free(heap_watches[i]);
		heap_watches[i] = NULL;
	}
}

static void test_a_watch_frees_all_of_the_same_turn(void)
{
	struct loop *loop = begin();
	int fds[3];
	for (int i = 0; i < 3; i++) {
		fds[i] = ready_fd();
		heap_watches[i] = calloc(1, sizeof(struct loop_watch));
		CHECK_INT(loop_watch_add(
				  loop, heap_watches[i], fds[i], EPOLLIN, free_all_watches, NULL),
			0);
	}
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "w");
	loop_turn(loop, 0, NULL);
	CHECK_STR(trace, "w");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	loop_destroy(loop);
}

static void test_watch_mod_and_failures(void)
{
	struct loop *loop = begin();
	struct ramet_err err = {0};
	struct loop_watch watch = {0};
	loop_watch_remove(&watch);
	CHECK_INT(loop_watch_mod(&watch, EPOLLIN), RAMET_EINVAL);
	CHECK_INT(loop_watch_add(loop, &watch, -1, EPOLLIN, note_watch, &err), RAMET_EIO);
	CHECK(watch.loop == NULL);
	CHECK(strstr(err.msg, "descriptor -1") != NULL);

	auto_close int fd = ready_fd();
	CHECK_INT(loop_watch_add(loop, &watch, fd, 0, note_watch, &err), 0);
	loop_turn(loop, 0, NULL);
	CHECK_STR(trace, "");
	CHECK_INT(loop_watch_mod(&watch, EPOLLIN), 0);
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "w");
	loop_destroy(loop);
}

static int turn_within;

static void try_turn(struct loop_task *task)
{
	(void)task;
	turn_within = loop_turn(heap_watches[0]->loop, 0, NULL);
}

static void test_no_turn_within_a_turn(void)
{
	struct loop *loop = begin();
	struct loop_watch watch = {.loop = loop};
	struct loop_task task = {.fn = try_turn};
	heap_watches[0] = &watch;
	turn_within = 0;
	loop_post(loop, &task);
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_INT(turn_within, RAMET_EINVAL);
	loop_destroy(loop);
}

/* --- hooks --- */

static struct loop_idle hooks[3];
static struct loop *hook_loop;

static bool late_hook(struct loop_idle *idle)
{
	(void)idle;
	note('l');
	return false;
}

static bool remove_others(struct loop_idle *idle)
{
	note('r');
	loop_idle_remove(&hooks[1]);
	loop_idle_remove(idle);
	loop_idle_add(hook_loop, &hooks[2], late_hook);
	return true;
}

static void test_hooks_remove_and_add_hooks(void)
{
	struct loop *loop = hook_loop = begin();
	memset(hooks, 0, sizeof(hooks));
	loop_idle_add(loop, &hooks[0], remove_others);
	loop_idle_add(loop, &hooks[1], note_idle);
	loop_turn(loop, 0, NULL);
	CHECK_STR(trace, "r");
	loop_turn(loop, UINT64_MAX, NULL); /* a hook asked for it: no sleep */
	CHECK_STR(trace, "rl");
	loop_destroy(loop);
}

static bool makes_due_once(struct loop_idle *idle)
{
	if (!strchr(trace, 'd'))
		loop_idle_due(hook_loop);
	note('d');
	return false;
}

static void test_due_hooks_keep_the_loop_awake(void)
{
	struct loop *loop = hook_loop = begin();
	memset(hooks, 0, sizeof(hooks));
	loop_idle_add(loop, &hooks[0], note_idle);
	loop_idle_due(loop); /* between turns */
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "i");
	loop_idle_add(loop, &hooks[1], makes_due_once); /* after the hook that it is due for */
	loop_turn(loop, 0, NULL);
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "iidid");
	CHECK_INT(loop_turn(loop, NSEC_PER_MSEC, NULL), 0); /* sleeps: nothing is due any more */
	CHECK_STR(trace, "iididid");
	loop_destroy(loop);
}

/* --- tasks --- */

static struct loop *post_loop;

static struct loop_task second_task = {.fn = note_task};

static void post_second(struct loop_task *task)
{
	(void)task;
	note('1');
	loop_post(post_loop, &second_task);
}

static void test_a_task_posts_a_task(void)
{
	struct loop *loop = post_loop = begin();
	struct loop_task task = {.fn = post_second};
	loop_post(loop, &task);
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "1");
	loop_turn(loop, UINT64_MAX, NULL);
	CHECK_STR(trace, "1p");
	loop_post(loop, &task);
	loop_destroy(loop); /* runs what is left, and what that posts */
	CHECK_STR(trace, "1p1p");
}

static void test_stop_before_run(void)
{
	struct loop *loop = begin();
	loop_stop(loop);
	CHECK_INT(loop_run(loop, NULL), 0);
	CHECK(!loop_is_current(loop));
	loop_destroy(loop);
	loop_destroy(NULL);
}

/* --- nesting --- */

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, timeout_ms) == 1;
}

static void test_loop_fd_tells_of_everything(void)
{
	struct loop *loop = post_loop = begin();
	struct loop_task task = {.fn = post_second};
	struct loop_timer timer = {0};
	auto_close int fd = ready_fd();
	struct loop_watch watch = {0};
	int outer = loop_fd(loop);
	REQUIRE(outer >= 0);
	CHECK(!readable(outer, 0));

	loop_post(loop, &task);
	CHECK(readable(outer, 0));
	loop_turn(loop, 0, NULL);
	CHECK(readable(outer, 0)); /* the task posted another */
	loop_turn(loop, 0, NULL);
	CHECK_STR(trace, "1p");
	CHECK(!readable(outer, 0));

	for (int i = 0; i < 2; i++) { /* twice the same deadline, in the past the second time */
		loop_timer_set(
			loop, &timer, i ? timer.deadline_ns : now_ns() + NSEC_PER_MSEC, note_timer);
		CHECK(readable(outer, 10000));
		loop_turn(loop, 0, NULL);
		CHECK(!readable(outer, 0));
	}
	CHECK_STR(trace, "1ptt");

	loop_idle_due(loop);
	CHECK(readable(outer, 0));
	loop_turn(loop, 0, NULL);
	CHECK(!readable(outer, 0));

	CHECK_INT(loop_watch_add(loop, &watch, fd, EPOLLIN, note_watch, NULL), 0);
	CHECK(readable(outer, 0));
	loop_turn(loop, 0, NULL);
	CHECK(!readable(outer, 0));
	loop_destroy(loop);
}

SUITE_MAIN("loop", TEST(test_a_turn_runs_timers_posts_watches_hooks),
	TEST(test_timers_fire_in_order_of_deadline),
	TEST(test_equal_deadlines_fire_in_order_of_setting),
	TEST(test_a_timer_that_sets_itself_lets_others_run),
	TEST(test_a_timer_cancels_another_of_the_same_turn), TEST(test_waits_until_a_deadline),
	TEST(test_waits_without_epoll_pwait2), TEST(test_a_watch_frees_all_of_the_same_turn),
	TEST(test_watch_mod_and_failures), TEST(test_no_turn_within_a_turn),
	TEST(test_hooks_remove_and_add_hooks), TEST(test_due_hooks_keep_the_loop_awake),
	TEST(test_a_task_posts_a_task), TEST(test_stop_before_run),
	TEST(test_loop_fd_tells_of_everything))
