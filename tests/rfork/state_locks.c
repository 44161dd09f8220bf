/* Cases: locks held at the capture that know their owner by its thread id, where clones have other
 * ids: held by the captured thread and by another, which unlock them afterwards. */
#include "tests/rfork/state.h"
#include "tests/rfork/state_workers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct locks {
	pthread_mutex_t checked, recursive, inherited;
	pthread_rwlock_t written;
};

static void make_mutex(pthread_mutex_t *mutex, int type, int protocol)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type);
	pthread_mutexattr_setprotocol(&attr, protocol);
	pthread_mutex_init(mutex, &attr);
}

static void hold(struct locks *locks)
{
	make_mutex(&locks->checked, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE);
	make_mutex(&locks->recursive, PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE);
	make_mutex(&locks->inherited, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT);
	pthread_rwlock_init(&locks->written, NULL);
	pthread_mutex_lock(&locks->checked);
	pthread_mutex_lock(&locks->recursive);
	pthread_mutex_lock(&locks->recursive);
	pthread_mutex_lock(&locks->inherited);
	pthread_rwlock_wrlock(&locks->written);
}

/* 0, or which of them says that it is not ours */
static int let_go(struct locks *locks)
{
	int wrong = pthread_mutex_lock(&locks->checked) == EDEADLK ? 0 : 1;
	wrong |= pthread_mutex_unlock(&locks->checked) ? 2 : 0;
	wrong |= pthread_mutex_trylock(&locks->recursive) ? 4 : 0; /* once more */
	for (int i = 0; i < 3; i++)
		wrong |= pthread_mutex_unlock(&locks->recursive) ? 8 : 0;
	wrong |= pthread_mutex_unlock(&locks->inherited) ? 16 : 0;
	wrong |= pthread_rwlock_unlock(&locks->written) ? 32 : 0;
	return wrong;
}

/* somebody else can have all of them now */
static void *take(void *arg)
{
	struct locks *locks = arg;
	bool got = pthread_mutex_trylock(&locks->checked) == 0 &&
		pthread_mutex_trylock(&locks->recursive) == 0 &&
		pthread_mutex_trylock(&locks->inherited) == 0 &&
		pthread_rwlock_trywrlock(&locks->written) == 0;
	return got ? arg : NULL;
}

static const char *check_free(struct locks *locks)
{
	struct worker taker = {0};
	void *got = NULL;
	if (worker_start(&taker, take, locks) < 0)
		return state_failed("pthread_create");
	const char *wrong = worker_join(&taker, &got);
	if (!wrong)
		STATE_EXPECT(got == locks);
	return wrong;
}

/* --- of the captured thread: in static memory, and on the heap --- */

static struct locks own;
static struct locks *own_too;

static int own_setup(void)
{
	own_too = calloc(1, sizeof(*own_too));
	if (!own_too)
		return STATE_BROKEN;
	hold(&own);
	hold(own_too);
	return STATE_OK;
}

static const char *own_check(void)
{
	STATE_EXPECT_INT(let_go(&own), 0);
	STATE_EXPECT_INT(let_go(own_too), 0);
	const char *wrong = check_free(&own);
	return wrong ? wrong : check_free(own_too);
}

/* --- of another thread, on its stack, too --- */

static struct worker holder;
static struct locks theirs;
static atomic_int release;
static int their_wrong;

static void *hold_them(void *arg)
{
	struct locks mine;
	hold(&theirs);
	hold(&mine);
	worker_ready(&holder);
	while (!release)
		sched_yield();
	their_wrong = let_go(&theirs) | let_go(&mine);
	return arg;
}

static int theirs_setup(void)
{
	return worker_start(&holder, hold_them, NULL) < 0 ? STATE_BROKEN : worker_await(&holder);
}

static const char *theirs_check(void)
{
	release = 1;
	const char *wrong = worker_join(&holder, NULL);
	if (wrong)
		return wrong;
	STATE_EXPECT_INT(their_wrong, 0);
	return check_free(&theirs);
}

const struct state_case state_locks[] = {
	{.name = "locks that know the captured thread's id",
		.setup = own_setup,
		.check_child = own_check,
		.check_parent = own_check,
		.fault = "threads.owners"},
	{.name = "locks that know a thread's id",
		.setup = theirs_setup,
		.check_child = theirs_check,
		.check_parent = theirs_check,
		.fault = "threads.owners"},
	{.name = NULL},
};
