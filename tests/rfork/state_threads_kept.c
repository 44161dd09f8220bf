/* Cases: what the kernel keeps for each thread, and the locks that know a thread by its id. */
#include "tests/rfork/state.h"
#include "tests/rfork/state_workers.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS (20000 * state_patience())

/* --- what the kernel keeps for each --- */

static struct worker named;
static _Atomic pid_t signalled;
static atomic_bool on_altstack, name_right, mask_right;
static unsigned char altstack[65536];

static void on_signal(int sig)
{
	unsigned char here;
	char name[16] = "";
	sigset_t set;
	(void)sig;
	pthread_getname_np(pthread_self(), name, sizeof(name));
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	on_altstack = &here >= altstack && &here < altstack + sizeof(altstack);
	name_right = strcmp(name, "a-name") == 0;
	mask_right = sigismember(&set, SIGUSR2) == 1 && sigismember(&set, SIGHUP) == 0;
	signalled = (pid_t)syscall(SYS_gettid);
}

static void *wait_signals(void *arg)
{
	const stack_t stack = {.ss_sp = altstack, .ss_size = sizeof(altstack)};
	sigset_t set;
	(void)arg;
	sigaltstack(&stack, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_setname_np(pthread_self(), "a-name");
	worker_ready(&named);
	for (;;)
		pause();
	return NULL;
}

static int named_setup(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	if (named.count) /* two cases share it */
		return STATE_OK;
	sigaction(SIGUSR1, &action, NULL);
	return worker_start(&named, wait_signals, NULL) < 0 ? STATE_BROKEN : worker_await(&named);
}

static const char *signal_named(void)
{
	signalled = 0;
	STATE_EXPECT_INT(pthread_kill(named.thread, SIGUSR1), 0);
	return await_value(&signalled, 1) ? NULL : state_wrong("the signal did not come");
}

static const char *altstack_check(void)
{
	const char *wrong = signal_named();
	if (wrong)
		return wrong;
	STATE_EXPECT(on_altstack);
	STATE_EXPECT(mask_right);
	return NULL;
}

static const char *name_check(void)
{
	const char *wrong = signal_named();
	if (wrong)
		return wrong;
	STATE_EXPECT(name_right);
	return NULL;
}

/* glibc asks rseq where a thread runs */
static struct worker cpu_asker;
static atomic_int asked, cpu_said;

static void *say_cpu(void *arg)
{
	(void)arg;
	worker_ready(&cpu_asker);
	for (int seen = 0;; sched_yield()) {
		if (asked == seen)
			continue;
		seen = asked;
		cpu_said = sched_getcpu();
		worker_ready(&cpu_asker);
	}
	return NULL;
}

static int cpu_setup(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) < 2)
		return STATE_NOT_HERE;
	return worker_start(&cpu_asker, say_cpu, NULL) < 0 ? STATE_BROKEN
							   : worker_await(&cpu_asker);
}

static const char *cpu_check(void)
{
	cpu_set_t all, one;
	sched_getaffinity(0, sizeof(all), &all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		STATE_EXPECT_INT(pthread_setaffinity_np(cpu_asker.thread, sizeof(one), &one), 0);
		int seen = cpu_asker.count;
		asked++;
		if (!await_value(&cpu_asker.count, seen + 1))
			return state_wrong("the thread does not answer");
		STATE_EXPECT_INT(cpu_said, cpu);
	}
	return NULL;
}

/* --- locks held --- */

static struct worker holder;
static pthread_mutex_t robust, left;
static atomic_int unlock_rc, may_unlock;

static void *hold_robust(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&robust);
	pthread_mutex_lock(&left);
	worker_ready(&holder);
	while (!may_unlock)
		sched_yield();
	unlock_rc = pthread_mutex_unlock(&robust);
	return NULL; /* and leaves the other one locked */
}

static int robust_setup(void)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&robust, &attr);
	pthread_mutex_init(&left, &attr);
	unlock_rc = -1;
	return worker_start(&holder, hold_robust, NULL) < 0 ? STATE_BROKEN : worker_await(&holder);
}

static const char *robust_check(void)
{
	struct timespec at;
	STATE_EXPECT_INT(pthread_mutex_trylock(&robust), EBUSY);
	may_unlock = 1;
	const char *wrong = worker_join(&holder, NULL);
	if (wrong)
		return wrong;
	STATE_EXPECT_INT(unlock_rc, 0);
	STATE_EXPECT_INT(pthread_mutex_trylock(&robust), 0);
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += 10;
	STATE_EXPECT_INT(pthread_mutex_timedlock(&left, &at), EOWNERDEAD);
	STATE_EXPECT_INT(pthread_mutex_consistent(&left), 0);
	STATE_EXPECT_INT(pthread_mutex_unlock(&left), 0);
	return NULL;
}

/* Locks of the C library that note their owner by its id. Gaps between ids come of threads that
 * have ended. */
static struct worker owner;
static pthread_mutex_t checked, recursive;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER;
static pid_t owner_id, owner_id_now;
static atomic_int release_all, released;

static void *end_at_once(void *arg)
{
	return arg;
}

static void *own_locks(void *arg)
{
	(void)arg;
	owner_id = gettid();
	pthread_mutex_lock(&checked);
	pthread_mutex_lock(&recursive);
	pthread_rwlock_wrlock(&written);
	worker_ready(&owner);
	while (!release_all)
		sched_yield();
	owner_id_now = gettid();
	worker_ready(&owner);
	released |= pthread_mutex_unlock(&checked) ? 1 : 0;
	released |= pthread_mutex_lock(&recursive) ? 2 : 0;
	released |= pthread_mutex_unlock(&recursive) || pthread_mutex_unlock(&recursive) ? 4 : 0;
	released |= pthread_rwlock_unlock(&written) ? 8 : 0;
	return NULL;
}

/* A thread that loads a library holds the dynamic linker's lock, which is a recursive one. */
static struct worker loading, next_loading;
__attribute__((visibility("default"))) atomic_int waiting_library_loads, waiting_library_go;

static void *load_library(void *arg)
{
	(void)arg;
	return dlopen(WAITING_LIBRARY, RTLD_NOW);
}

static int loading_setup(void)
{
	if (worker_start(&loading, load_library, NULL) < 0)
		return STATE_BROKEN;
	return await_value(&waiting_library_loads, 1) ? STATE_OK : STATE_BROKEN;
}

static const char *loading_check(void)
{
	void *loaded = NULL, *again = NULL;
	struct timespec at;
	waiting_library_go = 1;
	const char *wrong = worker_join(&loading, &loaded);
	if (wrong)
		return wrong;
	STATE_EXPECT(loaded != NULL);
	if (worker_start(&next_loading, load_library, NULL) < 0)
		return state_failed("pthread_create");
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += 10;
	STATE_EXPECT_INT(pthread_timedjoin_np(next_loading.thread, &again, &at), 0);
	STATE_EXPECT(again == loaded);
	return NULL;
}

static void make_mutex(pthread_mutex_t *mutex, int type, int protocol)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type);
	pthread_mutexattr_setprotocol(&attr, protocol);
	pthread_mutex_init(mutex, &attr);
}

static int owner_setup(void)
{
	make_mutex(&checked, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE);
	make_mutex(&recursive, PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE);
	for (unsigned i = 0; i < 5; i++) {
		struct worker ended;
		if (worker_start(&ended, end_at_once, NULL) < 0 || worker_join(&ended, NULL))
			return STATE_BROKEN;
	}
	return worker_start(&owner, own_locks, NULL) < 0 ? STATE_BROKEN : worker_await(&owner);
}

static const char *owner_check(void)
{
	release_all = 1;
	STATE_EXPECT(await_value(&owner.count, 2));
	STATE_EXPECT_INT(owner_id_now, owner_id);
	const char *wrong = worker_join(&owner, NULL);
	if (wrong)
		return wrong;
	STATE_EXPECT_INT(released, 0);
	STATE_EXPECT_INT(pthread_mutex_trylock(&checked), 0);
	STATE_EXPECT_INT(pthread_mutex_trylock(&recursive), 0);
	STATE_EXPECT_INT(pthread_rwlock_trywrlock(&written), 0);
	return NULL;
}

/* A lock that the kernel hands on, waited for in the kernel; on a page that nothing else touches.
 */
static struct worker heir, queued;
static struct {
	pthread_mutex_t mutex;
	unsigned char rest[4096 - sizeof(pthread_mutex_t)];
} inherited __attribute__((aligned(4096)));
static atomic_int hand_on;

static void *hold_inherited(void *arg)
{
	pthread_mutex_lock(&inherited.mutex);
	worker_ready(&heir);
	while (!hand_on)
		sched_yield();
	return pthread_mutex_unlock(&inherited.mutex) == 0 ? arg : NULL;
}

static void *queue_for_lock(void *arg)
{
	int rc = pthread_mutex_lock(&inherited.mutex);
	worker_ready(&queued);
	return rc == 0 && pthread_mutex_unlock(&inherited.mutex) == 0 ? arg : NULL;
}

/* until the word says that somebody waits */
static int inherited_setup(void)
{
	const volatile unsigned *word = (const volatile unsigned *)&inherited.mutex;
	make_mutex(&inherited.mutex, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT);
	if (worker_start(&heir, hold_inherited, &heir) < 0 || worker_await(&heir) < 0 ||
		worker_start(&queued, queue_for_lock, &queued) < 0)
		return STATE_BROKEN;
	while (!(*word & 0x80000000u)) /* FUTEX_WAITERS */
		sched_yield();
	return STATE_OK;
}

/* Or nobody can tell (mincore() says so of other users' files): then it counts as here. */
static bool is_here(void *page)
{
	unsigned char here = 0;
	return mincore(page, 4096, &here) < 0 || (here & 1) != 0;
}

static const char *inherited_check(void)
{
	void *held = NULL, *got = NULL;
	STATE_EXPECT_INT(queued.count, 0);
	/* who waits for it brings the page, not who hands it on */
	for (unsigned ms = 0; ms < PATIENCE_MS && !is_here(&inherited); ms++)
		usleep(1000);
	hand_on = 1;
	const char *wrong = worker_join(&heir, &held);
	if (!wrong)
		wrong = worker_join(&queued, &got);
	if (wrong)
		return wrong;
	STATE_EXPECT(held == &heir && got == &queued);
	return NULL;
}

/* The C library has a thread that timers of this kind signal, and which starts others. */
static struct worker by_timer;

static void on_timer(union sigval value)
{
	worker_ready(value.sival_ptr);
}

static int timer_setup(void)
{
	const struct itimerspec each = {{0, 3000000}, {0, 3000000}};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_ptr = &by_timer};
	timer_t timer;
	event.sigev_notify_function = on_timer;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
		timer_settime(timer, 0, &each, NULL) < 0)
		return STATE_BROKEN;
	return worker_await(&by_timer);
}

static const char *timer_check(void)
{
	return worker_advances(&by_timer);
}

const struct state_case state_threads_kept[] = {
	{.name = "a thread's alternate stack and mask",
		.setup = named_setup,
		.check_child = altstack_check,
		.check_parent = altstack_check,
		.fault = "threads.make"},
	{.name = "a thread's name",
		.setup = named_setup,
		.check_child = name_check,
		.check_parent = name_check,
		.fault = "threads.name"},
	{.name = "a thread's rseq",
		.setup = cpu_setup,
		.check_child = cpu_check,
		.check_parent = cpu_check,
		.fault = "threads.rseq"},
	{.name = "a thread holds robust mutexes",
		.setup = robust_setup,
		.check_child = robust_check,
		.check_parent = robust_check,
		.fault = "threads.robust"},
	{.name = "a thread loads a library",
		.setup = loading_setup,
		.check_child = loading_check,
		.check_parent = loading_check,
		.fault = "threads.loader",
		.flags = STATE_ALONE},
	{.name = "a thread's id, and locks that know it",
		.setup = owner_setup,
		.check_child = owner_check,
		.check_parent = owner_check,
		.fault = "threads.ids",
		.flags = STATE_ALONE | STATE_PIDS},
	{.name = "a thread waits for a lock that the kernel hands on",
		.setup = inherited_setup,
		.check_child = inherited_check,
		.check_parent = inherited_check,
		.fault = "threads.lock",
		.flags = STATE_ALONE | STATE_PIDS | STATE_FAR},
	{.name = "a thread is told by a timer",
		.setup = timer_setup,
		.check_child = timer_check,
		.check_parent = timer_check,
		.fault = "threads.make"},
	{.name = NULL},
};
