/* Cases: POSIX timers and interval timers, and pending signals. */
#include "tests/rfork/state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS (5000 * (long)state_patience())

static bool near(long long a, long long b)
{
	const long long bound = 1000 * (long long)state_patience();
	return a - b < bound && b - a < bound;
}

static long long ms_of(const struct timespec *ts)
{
	return (long long)ts->tv_sec * 1000 + ts->tv_nsec / 1000000;
}

static long long ms_until(clockid_t clock, const struct timespec *at)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return ms_of(at) - ms_of(&now);
}

/* --- POSIX timers --- */

static int far_id, idle_id, short_id, cpu_id;
static struct timespec far_at;
static volatile sig_atomic_t short_count, short_value;

static void on_short(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	short_value = info->si_value.sival_int;
	short_count++;
}

static int make_timer(clockid_t clock, int notify, int value)
{
	struct sigevent event = {.sigev_notify = notify,
		.sigev_signo = SIGRTMIN + 7,
		.sigev_value.sival_int = value};
	int id = -1;
	if (notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = gettid();
	return syscall(SYS_timer_create, clock, &event, &id) < 0 ? -1 : id;
}

static int posix_setup(void)
{
	struct sigaction action = {.sa_sigaction = on_short, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerspec at = {.it_interval = {5, 0}};
	int gone = make_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0); /* ids have gaps */
	far_id = make_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0);
	idle_id = make_timer(CLOCK_REALTIME, SIGEV_SIGNAL, 0);
	short_id = make_timer(CLOCK_MONOTONIC, SIGEV_THREAD_ID, 99);
	cpu_id = make_timer(CLOCK_PROCESS_CPUTIME_ID, SIGEV_NONE, 0);
	if (gone < 0 || far_id < 0 || idle_id < 0 || short_id < 0 || cpu_id < 0 ||
		syscall(SYS_timer_delete, gone) < 0 || sigaction(SIGRTMIN + 7, &action, NULL) < 0)
		return STATE_BROKEN;
	clock_gettime(CLOCK_MONOTONIC, &far_at);
	far_at.tv_sec += 300 * state_patience();
	at.it_value = far_at;
	if (syscall(SYS_timer_settime, far_id, TIMER_ABSTIME, &at, NULL) < 0)
		return STATE_BROKEN;
	at = (struct itimerspec){{0, 0}, {50 * state_patience(), 0}};
	if (syscall(SYS_timer_settime, cpu_id, 0, &at, NULL) < 0)
		return STATE_BROKEN;
	at = (struct itimerspec){{0, 20000000}, {0, 20000000}};
	return syscall(SYS_timer_settime, short_id, 0, &at, NULL) == 0 ? STATE_OK : STATE_BROKEN;
}

/* the handler has run again since */
static const char *wait_for(const volatile sig_atomic_t *count)
{
	sig_atomic_t before = *count;
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += WAIT_MS / 1000;
	while (*count == before && ms_until(CLOCK_MONOTONIC, &end) > 0)
		poll(NULL, 0, 1);
	STATE_EXPECT(*count != before);
	return NULL;
}

static const char *posix_check(void)
{
	struct itimerspec left;
	STATE_EXPECT_INT(syscall(SYS_timer_gettime, far_id, &left), 0);
	STATE_EXPECT(near(ms_of(&left.it_value), ms_until(CLOCK_MONOTONIC, &far_at)));
	STATE_EXPECT_INT(left.it_interval.tv_sec, 5);
	STATE_EXPECT_INT(syscall(SYS_timer_gettime, idle_id, &left), 0);
	STATE_EXPECT_INT(ms_of(&left.it_value), 0);
	STATE_EXPECT_INT(syscall(SYS_timer_gettime, cpu_id, &left), 0);
	STATE_EXPECT(ms_of(&left.it_value) > 40000 &&
		ms_of(&left.it_value) <= 50000 * (long long)state_patience());
	const char *wrong = wait_for(&short_count);
	if (wrong)
		return wrong;
	STATE_EXPECT_INT(short_value, 99);
	return NULL;
}

/* --- interval timers --- */

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}

static int interval_setup(void)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	const struct itimerval often = {{0, 20000}, {0, 20000}}, later = {{0, 0}, {70, 0}};
	return sigaction(SIGALRM, &action, NULL) == 0 &&
			setitimer(ITIMER_REAL, &often, NULL) == 0 &&
			setitimer(ITIMER_PROF, &later, NULL) == 0
		? STATE_OK
		: STATE_BROKEN;
}

static const char *interval_check(void)
{
	struct itimerval it;
	STATE_EXPECT_INT(getitimer(ITIMER_PROF, &it), 0);
	STATE_EXPECT(it.it_value.tv_sec > 60 && it.it_value.tv_sec <= 70);
	STATE_EXPECT_INT(getitimer(ITIMER_REAL, &it), 0);
	STATE_EXPECT_INT(it.it_interval.tv_usec, 20000);
	return wait_for(&alarms);
}

/* an alarm that is far away: by the clock, which may have moved an hour */
static struct timespec alarm_at;

static int alarm_setup(void)
{
	clock_gettime(CLOCK_MONOTONIC, &alarm_at);
	alarm_at.tv_sec += 500;
	alarm(500);
	return STATE_OK;
}

static const char *alarm_check(void)
{
	struct itimerval it;
	STATE_EXPECT_INT(getitimer(ITIMER_REAL, &it), 0);
	STATE_EXPECT(near((long long)it.it_value.tv_sec * 1000 + it.it_value.tv_usec / 1000,
		ms_until(CLOCK_MONOTONIC, &alarm_at)));
	return NULL;
}

/* --- pending signals --- */

static int pending_setup(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN + 11);
	const union sigval one = {.sival_int = 1}, two = {.sival_int = 2};
	return sigprocmask(SIG_BLOCK, &set, NULL) == 0 &&
			sigqueue(getpid(), SIGRTMIN + 11, one) == 0 &&
			sigqueue(getpid(), SIGRTMIN + 11, two) == 0 && raise(SIGUSR2) == 0
		? STATE_OK
		: STATE_BROKEN;
}

static const char *pending_check(void)
{
	static const struct timespec none;
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 11);
	for (int value = 1; value <= 2; value++) {
		STATE_EXPECT_INT(sigtimedwait(&set, &info, &none), SIGRTMIN + 11);
		STATE_EXPECT_INT(info.si_code, SI_QUEUE);
		STATE_EXPECT_INT(info.si_value.sival_int, value);
	}
	STATE_EXPECT_INT(sigtimedwait(&set, &info, &none), -1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	STATE_EXPECT_INT(sigtimedwait(&set, &info, &none), SIGUSR2);
	STATE_EXPECT_INT(info.si_code, SI_USER); /* as the C library shows what tgkill() sent */
	STATE_EXPECT_INT(sigprocmask(SIG_BLOCK, NULL, &set), 0);
	STATE_EXPECT(sigismember(&set, SIGUSR2) == 1 && sigismember(&set, SIGUSR1) == 0);
	return NULL;
}

const struct state_case state_timers[] = {
	{.name = "POSIX timers",
		.setup = posix_setup,
		.check_child = posix_check,
		.check_parent = posix_check,
		.fault = "safepoint.timers"},
	{.name = "interval timers",
		.setup = interval_setup,
		.check_child = interval_check,
		.check_parent = interval_check,
		.fault = "safepoint.timers",
		.flags = STATE_ALONE},
	{.name = "alarm",
		.setup = alarm_setup,
		.check_child = alarm_check,
		.check_parent = alarm_check,
		.fault = "safepoint.timers"},
	{.name = "pending signals",
		.setup = pending_setup,
		.check_child = pending_check,
		.check_parent = pending_check,
		.fault = "safepoint.signals",
		.flags = STATE_ALONE}, /* other cases have threads that do not block them */
	{.name = NULL},
};
