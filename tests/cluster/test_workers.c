/* Workers: done comes on the loop's thread, in any number; what is left at the end is finished. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/loop.h"
#include "cluster/workers.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>

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

struct hashing {
	struct work work;
	int fd;
	int rc;
	sem_t begun;
	bool done;
};

static void hash(struct work *work)
{
	struct hashing *h = container_of(work, struct hashing, work);
	struct sha256 sum;
	sem_post(&h->begun);
	h->rc = sha256_fd(h->fd, &sum, NULL);
}

static void hash_done(struct work *work)
{
	container_of(work, struct hashing, work)->done = true;
}

/* files that would take minutes: one is being hashed, one waits */
static void test_destroy_does_not_wait_for_hashes(void)
{
	struct loop *loop;
	struct workers *workers;
	struct ramet_err err = {0};
	auto_close int fd = memfd_create("large", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && ftruncate(fd, (off_t)1 << 40) == 0);
	REQUIRE_OK(loop_create(&loop, &err), &err);
	REQUIRE_OK(workers_create(loop, 1, &workers, &err), &err);
	static struct hashing hashing[2];
	for (unsigned i = 0; i < 2; i++) {
		hashing[i] = (struct hashing){.work = {.run = hash, .done = hash_done}, .fd = fd};
		sem_init(&hashing[i].begun, 0, 0);
		workers_submit(workers, &hashing[i].work);
	}
	sem_wait(&hashing[0].begun);
	uint64_t begin = now_ns();
	workers_destroy(workers);
	CHECK(now_ns() - begin < 5 * NSEC_PER_SEC);
	for (unsigned i = 0; i < 2; i++) {
		CHECK(hashing[i].done);
		CHECK_INT(hashing[i].rc, RAMET_ECANCELED);
		sem_destroy(&hashing[i].begun);
	}
	loop_destroy(loop);
}

SUITE_MAIN("workers", TEST(test_done_comes_on_the_loop),
	TEST(test_destroy_finishes_what_was_submitted), TEST(test_destroy_does_not_wait_for_hashes))
