/* Cases: threads that do not stop, for which captures are refused; they and the others go on. */
#include "tests/rfork/state.h"
#include "tests/rfork/state_workers.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct worker deaf, other;

static void *run_on(void *arg)
{
	for (;; sched_yield())
		worker_ready(arg);
	return NULL;
}

static int other_setup(void)
{
	return worker_start(&other, run_on, &other) < 0 ? STATE_BROKEN : worker_await(&other);
}

static const char *other_check(void)
{
	return worker_advances(&other);
}

/* deaf to what the C library, which leaves this signal open, does not know of */

static void *block_all(void *arg)
{
	const uint64_t all = ~0ull;
	struct worker *self = arg;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	pthread_setname_np(pthread_self(), "deaf-one");
	for (;; sched_yield())
		worker_ready(self);
	return NULL;
}

static int deaf_setup(void)
{
	if (other_setup() != STATE_OK || worker_start(&deaf, block_all, &deaf) < 0)
		return STATE_BROKEN;
	return worker_await(&deaf);
}

static const char *deaf_check(void)
{
	const char *wrong = other_check();
	return wrong ? wrong : worker_advances(&deaf);
}

/* a thread that waits in vfork() until its child ends */
static struct worker parent;
static int hold[2];

static int hold_parent(void *arg)
{
	char byte;
	(void)arg;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody waits for it when the host is killed */
	_exit(read(hold[0], &byte, 1) == 1 ? 0 : 1);
}

static void *wait_in_vfork(void *arg)
{
	static unsigned char stack[16384] __attribute__((aligned(16)));
	(void)arg;
	pthread_setname_np(pthread_self(), "vforking");
	worker_ready(&parent);
	clone(hold_parent, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	return NULL;
}

static int vfork_setup(void)
{
	if (pipe(hold) < 0 || other_setup() != STATE_OK ||
		worker_start(&parent, wait_in_vfork, NULL) < 0)
		return STATE_BROKEN;
	return worker_await(&parent);
}

const struct state_case state_threads_refused[] = {
	{.name = "a thread blocks signals without the C library",
		.setup = deaf_setup,
		.check_parent = deaf_check,
		.refused = "(deaf-one) did not stop within 1000 ms: it blocks signal 33"},
	{.name = "a thread waits in vfork()",
		.setup = vfork_setup,
		.check_parent = other_check,
		.refused = "(vforking) did not stop within 1000 ms: it is in a system call that "
			   "cannot be interrupted"},
	{.name = NULL},
};
