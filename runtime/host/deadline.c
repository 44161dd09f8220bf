/* POSIX timers by the kernel's own calls: glibc's may start a thread. */
#include "runtime/host/deadline.h"

#include "base/err.h"

#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_NS 20000000 /* code may swallow an interrupt: it gets another one */

static struct {
	const struct engine_ops *ops;
	struct engine *engine;
	volatile sig_atomic_t armed, passed;
	int timer; /* the kernel's number */
} deadline;

static void on_signal(int signal)
{
	(void)signal;
	if (!deadline.armed)
		return;
	deadline.passed = 1;
	deadline.ops->interrupt(deadline.engine);
}

int deadline_init(const struct engine_ops *ops, struct engine *engine, struct ramet_err *err)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	deadline.ops = ops;
	deadline.engine = engine;
	if (sigaction(DEADLINE_SIGNAL, &action, NULL) < 0)
		return err_errno(err, RAMET_EIO, "sigaction");
	return 0;
}

void deadline_arm(uint64_t deadline_ns)
{
	deadline.armed = deadline.passed = 0;
	if (deadline_ns == 0)
		return;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = DEADLINE_SIGNAL,
		._sigev_un._tid = gettid()}; /* the application may have threads by now */
	const struct itimerspec at = {
		.it_value = {(time_t)(deadline_ns / 1000000000u),
			(long)(deadline_ns % 1000000000u)},
		.it_interval = {0, AGAIN_NS},
	};
	if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &deadline.timer) < 0)
		return; /* rametd's own deadline holds */
	deadline.armed = 1;
	(void)syscall(SYS_timer_settime, deadline.timer, TIMER_ABSTIME, &at, NULL);
}

bool deadline_disarm(void)
{
	if (!deadline.armed)
		return false;
	deadline.armed = 0;
	(void)syscall(SYS_timer_delete, deadline.timer);
	return deadline.passed;
}
