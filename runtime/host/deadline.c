/* POSIX timers by the kernel's own calls: glibc's may start a thread. */
#include "runtime/host/deadline.h"

#include "base/err.h"
#include "runtime/host/clone_state.h"
#include "runtime/host/engines.h"

#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_NS 20000000 /* code may swallow an interrupt: it gets another one */

static struct {
	const struct engines_one *engine; /* of the call that runs */
	bool (*volatile cancelled)(void);
	volatile sig_atomic_t running, armed, end;
	int timer; /* the kernel's number */
} deadline HOST_CLONE_STATE;

/* Whoever may send it, rametd or the application itself: only what is true counts. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
	bool (*cancelled)(void) = deadline.cancelled;
	(void)signal;
	(void)context;
	if (!deadline.running)
		return;
	if (deadline.armed && info->si_code == SI_TIMER)
		deadline.end = DEADLINE_PASSED;
	else if (cancelled && cancelled())
		deadline.end = DEADLINE_CANCELLED;
	else
		return;
	deadline.engine->ops->interrupt(deadline.engine->engine);
}

int deadline_init(struct ramet_err *err)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_SIGINFO};
	if (sigaction(DEADLINE_SIGNAL, &action, NULL) < 0)
		return err_errno(err, RAMET_EIO, "sigaction");
	return 0;
}

static void start_timer(uint64_t deadline_ns)
{
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

void deadline_arm(const struct engines_one *engine, uint64_t deadline_ns, bool (*cancelled)(void))
{
	deadline.engine = engine;
	deadline.armed = 0;
	deadline.end = DEADLINE_KEPT;
	deadline.cancelled = cancelled;
	deadline.running = 1;
	if (deadline_ns != 0)
		start_timer(deadline_ns);
	if (cancelled && cancelled()) /* its signal came too early */
		(void)syscall(SYS_tgkill, getpid(), gettid(), DEADLINE_SIGNAL);
}

bool deadline_interrupted(void)
{
	return deadline.running && deadline.end != DEADLINE_KEPT;
}

enum deadline_end deadline_disarm(void)
{
	deadline.running = 0;
	if (deadline.armed) {
		deadline.armed = 0;
		(void)syscall(SYS_timer_delete, deadline.timer);
	}
	return (enum deadline_end)deadline.end;
}
