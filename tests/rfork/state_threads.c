/* Cases: threads that wait, run, end and begin. Each check has its thread show that it goes on
 * where it was. */
#include "tests/rfork/state.h"
#include "tests/rfork/state_workers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MANY 200

/* --- waiting --- */

static struct worker waiter;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool waiting, go;
static __thread uint64_t thread_local = 1;

static void *wait_for_go(void *arg)
{
	(void)arg;
	thread_local = 77;
	pthread_mutex_lock(&lock);
	waiting = true;
	while (!go)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	return (void *)(uintptr_t) thread_local;
}

/* until it waits: it gives up the lock only then */
static int condition_setup(void)
{
	bool there = false;
	if (worker_start(&waiter, wait_for_go, NULL) < 0)
		return STATE_BROKEN;
	while (!there) {
		pthread_mutex_lock(&lock);
		there = waiting;
		pthread_mutex_unlock(&lock);
	}
	return STATE_OK;
}

static const char *condition_check(void)
{
	void *value = NULL;
	pthread_mutex_lock(&lock);
	go = true;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
	const char *wrong = worker_join(&waiter, &value);
	if (wrong)
		return wrong;
	STATE_EXPECT_INT((uintptr_t)value, 77);
	STATE_EXPECT_INT(thread_local, 1);
	return NULL;
}

static struct worker timed;
static struct timespec until;

static void *wait_until(void *arg)
{
	static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t never;
	pthread_condattr_t monotonic;
	(void)arg;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&never, &monotonic);
	pthread_mutex_lock(&own);
	int rc;
	worker_ready(&timed);
	while ((rc = pthread_cond_timedwait(&never, &own, &until)) == 0)
		;
	pthread_mutex_unlock(&own);
	return (void *)(intptr_t)rc;
}

static int timed_setup(void)
{
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 3;
	return worker_start(&timed, wait_until, NULL) < 0 ? STATE_BROKEN : worker_await(&timed);
}

static const char *timed_check(void)
{
	struct timespec now;
	void *value = NULL;
	const char *wrong = worker_join(&timed, &value);
	if (wrong)
		return wrong;
	STATE_EXPECT_INT((intptr_t)value, ETIMEDOUT);
	clock_gettime(CLOCK_MONOTONIC, &now);
	STATE_EXPECT(
		now.tv_sec >= until.tv_sec && now.tv_sec < until.tv_sec + 60 * state_patience());
	return NULL;
}

static struct worker sleeper;

static void *sleep_on(void *arg)
{
	(void)arg;
	for (;;) {
		struct timespec rest = {0, 2000000};
		while (nanosleep(&rest, &rest) < 0)
			;
		worker_ready(&sleeper);
	}
	return NULL;
}

static int sleeper_setup(void)
{
	return worker_start(&sleeper, sleep_on, NULL) < 0 ? STATE_BROKEN : worker_await(&sleeper);
}

static const char *sleeper_check(void)
{
	return worker_advances(&sleeper);
}

/* Calls that the kernel ends with EINTR, whatever a handler's flags: a capture is no reason to. */
struct waiter {
	struct worker worker;
	int (*wait)(void);
	atomic_int ended;
};

static int wait_poll(void)
{
	return poll(NULL, 0, -1);
}

static int wait_ppoll(void)
{
	return ppoll(NULL, 0, NULL, NULL);
}

static int wait_select(void)
{
	struct timeval long_time = {1000, 0};
	return select(0, NULL, NULL, NULL, &long_time);
}

static int wait_nanosleep(void)
{
	struct timespec long_time = {1000, 0}, rest;
	return nanosleep(&long_time, &rest);
}

static int wait_pause(void)
{
	return pause();
}

static int wait_sigsuspend(void)
{
	sigset_t none;
	sigemptyset(&none);
	return sigsuspend(&none);
}

static int wait_timed_semaphore(void)
{
	static sem_t never;
	struct timespec at;
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += 1000;
	return sem_timedwait(&never, &at);
}

static struct waiter waiters[] = {{.wait = wait_poll}, {.wait = wait_ppoll}, {.wait = wait_select},
	{.wait = wait_nanosleep}, {.wait = wait_pause}, {.wait = wait_sigsuspend},
	{.wait = wait_timed_semaphore}};
#define WAITERS (sizeof(waiters) / sizeof(waiters[0]))

static void *wait_once(void *arg)
{
	struct waiter *w = arg;
	worker_ready(&w->worker);
	int rc = w->wait();
	w->ended = rc < 0 ? errno : -1;
	return NULL;
}

static void on_wake(int sig)
{
	(void)sig;
}

static int waiters_setup(void)
{
	const struct sigaction action = {.sa_handler = on_wake};
	sigaction(SIGWINCH, &action, NULL);
	for (unsigned i = 0; i < WAITERS; i++)
		if (worker_start(&waiters[i].worker, wait_once, &waiters[i]) < 0 ||
			worker_await(&waiters[i].worker) < 0)
			return STATE_BROKEN;
	return workers_sleep();
}

/* they still wait, and a signal of the application ends that */
static const char *waiters_check(void)
{
	STATE_EXPECT_INT(workers_sleep(), STATE_OK);
	for (unsigned i = 0; i < WAITERS; i++) {
		struct waiter *w = &waiters[i];
		if (w->ended)
			return state_wrong("waiter %u has ended: %s", i, strerror(w->ended));
		STATE_EXPECT_INT(pthread_kill(w->worker.thread, SIGWINCH), 0);
		const char *wrong = worker_join(&w->worker, NULL);
		if (wrong)
			return wrong;
		STATE_EXPECT_INT(w->ended, EINTR);
	}
	return NULL;
}

/* one thread waits for the end of another, which waits for a semaphore */
static struct worker joined, joiner;
static sem_t semaphore;

static void *wait_semaphore(void *arg)
{
	worker_ready(&joined);
	while (sem_wait(&semaphore) < 0)
		;
	return arg;
}

static void *join_other(void *arg)
{
	void *value = NULL;
	(void)arg;
	worker_ready(&joiner);
	pthread_join(joined.thread, &value);
	return value;
}

static int join_setup(void)
{
	sem_init(&semaphore, 0, 0);
	if (worker_start(&joined, wait_semaphore, &semaphore) < 0 || worker_await(&joined) < 0 ||
		worker_start(&joiner, join_other, NULL) < 0)
		return STATE_BROKEN;
	return worker_await(&joiner);
}

static const char *join_check(void)
{
	void *value = NULL;
	sem_post(&semaphore);
	const char *wrong = worker_join(&joiner, &value);
	if (wrong)
		return wrong;
	STATE_EXPECT(value == &semaphore);
	return NULL;
}

/* --- running --- */

/* threads that are made, allocate, and end at any moment */
static struct worker churn[2];

static void *short_life(void *arg)
{
	free(malloc(*(size_t *)arg * 997 % 70000));
	return NULL;
}

static void *make_threads(void *arg)
{
	struct worker *self = arg;
	for (size_t n = 0; !atomic_load(&self->stop); n++) {
		pthread_t threads[3];
		unsigned made = 0;
		while (made < 3 && pthread_create(&threads[made], NULL, short_life, &n) == 0)
			made++;
		for (unsigned i = 0; i < made; i++)
			pthread_join(threads[i], NULL);
		if (made == 3)
			worker_ready(self);
	}
	return NULL;
}

static int churn_setup(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (worker_start(&churn[i], make_threads, &churn[i]) < 0 ||
			worker_await(&churn[i]) < 0)
			return STATE_BROKEN;
	return STATE_OK;
}

static const char *churn_check(void)
{
	const char *wrong = NULL;
	for (unsigned i = 0; i < 2 && !wrong; i++)
		wrong = worker_advances(&churn[i]);
	for (unsigned i = 0; i < 2 && !wrong; i++) {
		atomic_store(&churn[i].stop, 1);
		wrong = worker_join(&churn[i], NULL);
	}
	return wrong;
}

/* --- ends and beginnings --- */

static struct worker cancelled;

static void *wait_for_ever(void *arg)
{
	sigset_t all; /* glibc keeps its own open, and ours with them */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	worker_ready(arg);
	for (;;)
		pause();
	return NULL;
}

static int cancelled_setup(void)
{
	return worker_start(&cancelled, wait_for_ever, &cancelled) < 0 ? STATE_BROKEN
								       : worker_await(&cancelled);
}

static const char *cancelled_check(void)
{
	void *value = NULL;
	STATE_EXPECT_INT(pthread_cancel(cancelled.thread), 0);
	const char *wrong = worker_join(&cancelled, &value);
	if (wrong)
		return wrong;
	STATE_EXPECT(value == PTHREAD_CANCELED);
	return NULL;
}

static const char *create_check(void)
{
	struct worker made;
	void *value = NULL;
	if (worker_start(&made, short_life, &(size_t){7}) < 0)
		return state_failed("pthread_create");
	return worker_join(&made, &value);
}

static struct worker many[MANY];

static void *small_wait(void *arg)
{
	struct worker *self = arg;
	worker_ready(self);
	while (!self->stop)
		syscall(SYS_futex, &self->stop, 128 /* FUTEX_WAIT_PRIVATE */, 0, NULL);
	return arg;
}

static int many_setup(void)
{
	for (unsigned i = 0; i < MANY; i++)
		if (worker_start(&many[i], small_wait, &many[i]) < 0 || worker_await(&many[i]) < 0)
			return STATE_BROKEN;
	return STATE_OK;
}

static const char *many_check(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		void *value = NULL;
		atomic_store(&many[i].stop, 1);
		syscall(SYS_futex, &many[i].stop, 129 /* FUTEX_WAKE_PRIVATE */, 1);
		const char *wrong = worker_join(&many[i], &value);
		if (wrong)
			return wrong;
		STATE_EXPECT(value == &many[i]);
	}
	return NULL;
}

const struct state_case state_threads[] = {
	{.name = "a thread waits on a condition",
		.setup = condition_setup,
		.check_child = condition_check,
		.check_parent = condition_check,
		.fault = "threads.make"},
	{.name = "a thread waits until a time",
		.setup = timed_setup,
		.check_child = timed_check,
		.check_parent = timed_check,
		.fault = "threads.make"},
	{.name = "a thread sleeps",
		.setup = sleeper_setup,
		.check_child = sleeper_check,
		.check_parent = sleeper_check,
		.fault = "threads.make"},
	{.name = "threads wait in calls that signals end",
		.setup = waiters_setup,
		.check_child = waiters_check,
		.check_parent = waiters_check,
		.fault = "threads.restart",
		.flags = STATE_ALONE},
	{.name = "a thread waits for the end of another",
		.setup = join_setup,
		.check_child = join_check,
		.check_parent = join_check,
		.fault = "threads.make"},
	{.name = "threads come and go",
		.setup = churn_setup,
		.check_child = churn_check,
		.check_parent = churn_check,
		.fault = "threads.make",
		.flags = STATE_BUSY},
	{.name = "a thread blocks all signals, and is cancelled",
		.setup = cancelled_setup,
		.check_child = cancelled_check,
		.check_parent = cancelled_check,
		.fault = "threads.make"},
	{.name = "new threads", .check_child = create_check, .check_parent = create_check},
	{.name = "200 threads",
		.setup = many_setup,
		.check_child = many_check,
		.check_parent = many_check,
		.fault = "threads.make",
		.flags = STATE_ALONE},
	{.name = NULL},
};
