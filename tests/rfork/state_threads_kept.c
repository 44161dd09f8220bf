/* Cases: what the kernel keeps for each thread, and the locks that know a thread by its id. */
#include "tests/rfork/state.h"
#include "tests/rfork/state_workers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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
	{.name = NULL},
};
