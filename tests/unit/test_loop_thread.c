/* base/loop and several threads: posts from many, threads that answer each other, starting and
 * stopping. */
#include "base/cleanup.h"
#include "base/loop.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct loop *begin(void)
{
	struct loop *loop = NULL;
	CHECK_INT(loop_create(&loop, NULL), 0);
	return loop;
}

struct counted_task {
	struct loop_task task;
	unsigned thread, number;
};
static unsigned next_number[4], out_of_order, tasks_run;
static struct loop *post_loop;

static void count_task(struct loop_task *task)
{
	struct counted_task *counted = container_of(task, struct counted_task, task);
	out_of_order += next_number[counted->thread]++ != counted->number;
	free(counted);
	if (++tasks_run == 4 * 5000)
		loop_stop(post_loop);
}

static void *post_many(void *arg)
{
	for (unsigned i = 0; i < 5000; i++) {
		struct counted_task *counted = calloc(1, sizeof(*counted));
		if (!counted)
			abort();
		counted->task.fn = count_task;
		counted->thread = *(unsigned *)arg;
		counted->number = i;
		loop_post(post_loop, &counted->task);
	}
	return NULL;
}

static void test_posts_of_many_threads_run_in_order(void)
{
	struct loop *loop = post_loop = begin();
	pthread_t threads[4];
	unsigned ids[4] = {0, 1, 2, 3};
	memset(next_number, 0, sizeof(next_number));
	out_of_order = tasks_run = 0;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, post_many, &ids[i]);
	CHECK_INT(loop_run(loop, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(tasks_run, 4 * 5000);
	CHECK_INT(out_of_order, 0);
	loop_destroy(loop);
}

struct ping {
	struct loop_task there, back;
	struct loop *home, *away;
	unsigned rounds;
	int wrong_thread;
};

static void ping_back(struct loop_task *task)
{
	struct ping *ping = container_of(task, struct ping, back);
	ping->wrong_thread += !loop_is_current(ping->home) || loop_is_current(ping->away);
	if (ping->rounds-- == 0)
		loop_stop(ping->home);
	else
		loop_post(ping->away, &ping->there);
}

static void ping_there(struct loop_task *task)
{
	struct ping *ping = container_of(task, struct ping, there);
	ping->wrong_thread += !loop_is_current(ping->away) || loop_is_current(ping->home);
	sigset_t blocked;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	ping->wrong_thread += !sigismember(&blocked, SIGTERM) || sigismember(&blocked, SIGSEGV);
	loop_post(ping->home, &ping->back);
}

static void test_two_threads_answer_each_other(void)
{
	unsigned before = suite_count_fds();
	struct ramet_err err = {0};
	struct loop_thread *thread = NULL;
	struct loop *home = begin();
	REQUIRE_OK(loop_thread_start("ramet-test", &thread, &err), &err);
	struct ping ping = {
		{.fn = ping_there}, {.fn = ping_back}, home, loop_thread_loop(thread), 5000, 0};
	loop_post(home, &ping.back);
	CHECK_INT(loop_run(home, &err), 0);
	CHECK_INT(ping.wrong_thread, 0);
	loop_thread_stop(thread);
	loop_thread_stop(NULL);
	loop_destroy(home);
	CHECK_INT(suite_count_fds(), before);
}

static unsigned ran;

static void count_run(struct loop_task *task)
{
	(void)task;
	ran++;
}

static void test_starting_and_stopping_threads_at_once(void)
{
	for (int i = 0; i < 50; i++) {
		struct loop_thread *thread = NULL;
		struct loop_task task = {.fn = count_run};
		ran = 0;
		CHECK_INT(loop_thread_start("a name that is too long", &thread, NULL), 0);
		loop_post(loop_thread_loop(thread), &task);
		loop_thread_stop(thread);
		CHECK_INT(ran, 1);
	}
}

SUITE_MAIN("loop and threads", TEST(test_posts_of_many_threads_run_in_order),
	TEST(test_two_threads_answer_each_other), TEST(test_starting_and_stopping_threads_at_once))
