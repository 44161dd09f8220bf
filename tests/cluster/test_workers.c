/* Workers: done comes on the loop's thread, in any number; what is left at the end is finished. */
#include "base/cleanup.h"
#include "base/loop.h"
#include "cluster/workers.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <stdatomic.h>

struct job {
	struct work work;
	pthread_t ran_on;
	bool ran, done;
	unsigned *left;
	struct loop *loop;
	struct workers *workers;
	struct job *next;
};

static void run(struct work *work)
{
	struct job *job = container_of(work, struct job, work);
	job->ran = true;
	job->ran_on = pthread_self();
}

static void done(struct work *work)
{
	struct job *job = container_of(work, struct job, work);
	CHECK(job->ran);
	CHECK(!pthread_equal(job->ran_on, pthread_self()));
	job->done = true;
	if (--*job->left == 0)
		loop_stop(job->loop);
}

static void test_done_comes_on_the_loop(void)
{
	enum { N = 100 };
	static struct job jobs[N];
	struct loop *loop;
	struct workers *workers;
	struct ramet_err err = {0};
	unsigned left = N;
	REQUIRE_OK(loop_create(&loop, &err), &err);
	REQUIRE_OK(workers_create(loop, 3, &workers, &err), &err);
	for (unsigned i = 0; i < N; i++) {
		jobs[i] = (struct job){
			.work = {.run = run, .done = done}, .left = &left, .loop = loop};
		workers_submit(workers, &jobs[i].work);
	}
	REQUIRE_OK(loop_run(loop, &err), &err);
	for (unsigned i = 0; i < N; i++)
		CHECK(jobs[i].done);
	workers_destroy(workers);
	loop_destroy(loop);
}

static void done_and_submit(struct work *work)
{
	struct job *job = container_of(work, struct job, work);
	job->done = true;
	if (job->next)
		workers_submit(job->workers, &job->next->work);
}

static void test_destroy_finishes_what_was_submitted(void)
{
	struct loop *loop;
	struct workers *workers;
	struct ramet_err err = {0};
	unsigned fds = suite_count_fds();
	REQUIRE_OK(loop_create(&loop, &err), &err);
	REQUIRE_OK(workers_create(loop, 1, &workers, &err), &err);
	struct job second = {.work = {.run = run, .done = done_and_submit}, .workers = workers};
	struct job first = {
		.work = {.run = run, .done = done_and_submit}, .workers = workers, .next = &second};
	workers_submit(workers, &first.work);
	workers_destroy(workers);
	CHECK(first.done);
	CHECK(second.ran);
	CHECK(second.done);
	loop_destroy(loop);
	CHECK_INT(suite_count_fds(), fds);
}

SUITE_MAIN("workers", TEST(test_done_comes_on_the_loop),
	TEST(test_destroy_finishes_what_was_submitted))
