/* POSIX timers, as /proc/self/timers lists them, and interval timers. */
#include "rfork/safepoint_timers.h"

#include "rfork/safepoint_account.h"
#include "rfork/safepoint_text.h"
#include "rfork/safepoint_threads.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ull
#define RESTORE_IDS 77 /* PR_TIMER_CREATE_RESTORE_IDS, of Linux 6.15 */
#define MAX_TRIES 200000 /* without it ids come one after the other */

struct timer {
	struct timer *next;
	int id, clock, notify, signal;
	pid_t thread; /* that is told, by its id in the host; 0: the process is */
	uint64_t value;
	struct itimerspec set; /* it_value: absolute, or for CPU time what is left */
};

static struct {
	pid_t self; /* the thread that is captured, in the host */
	struct timer *posix;
	struct itimerval interval[3];
	uint64_t alarm_ns; /* CLOCK_MONOTONIC at which ITIMER_REAL was due */
	bool any_interval;
} timers;

static int refuse(struct ramet_err *err, int sys, const char *what, int id)
{
	err->code = RAMET_EREFUSED;
	err->sys = sys;
	snprintf(err->msg, sizeof(err->msg), "%s %d%s%s", what, id, sys ? ": " : "",
		sys ? strerror(sys) : "");
	return err->code;
}

static uint64_t to_ns(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * NS + (uint64_t)ts->tv_nsec;
}

static struct timespec from_ns(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / NS), (long)(ns % NS)};
}

static uint64_t now_of(int clock)
{
	struct timespec ts = {0};
	(void)clock_gettime(clock, &ts);
	return to_ns(&ts);
}

/* clocks of CPU time start at zero in a clone */
static bool is_cpu_time(int clock)
{
	return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

/* --- saving --- */

/* "notify: signal/tid.17" */
static int take_notify(struct timer *t, const char *text, struct ramet_err *err)
{
	char how[16];
	char whom[8];
	int id;
	if (sscanf(text, " %15[a-z]/%7[a-z].%d", how, whom, &id) != 3)
		return refuse(
			err, 0, "capture refused: the kernel does not tell of POSIX timer", t->id);
	t->notify = strcmp(how, "none") == 0 ? SIGEV_NONE : SIGEV_SIGNAL;
	t->thread = strcmp(whom, "tid") == 0 ? id : 0;
	if (t->thread && t->thread != timers.self && !safepoint_threads_id(t->thread))
		return refuse(err, 0,
			"capture refused: a thread that has ended is told when a timer expires: "
			"POSIX timer",
			t->id);
	return 0;
}

static int take_times(struct timer *t, struct ramet_err *err)
{
	/* of another process or thread, by its id; 0 is whoever asks */
	if (t->clock < 0 && (unsigned)~t->clock >> 3 != 0)
		return refuse(err, 0,
			"capture refused: a timer of somebody's CPU time, by pid: POSIX timer",
			t->id);
	if (syscall(SYS_timer_gettime, t->id, &t->set) < 0)
		return refuse(err, errno, "capture refused: POSIX timer", t->id);
	if (to_ns(&t->set.it_value) && !is_cpu_time(t->clock))
		t->set.it_value = from_ns(to_ns(&t->set.it_value) + now_of(t->clock));
	return 0;
}

static int save_posix(struct ramet_err *err)
{
	struct text text;
	char line[256];
	struct timer *t = NULL;
	uint64_t number;
	int rc = 0;
	if (!text_open(&text, "/proc/self/timers"))
		return 0; /* CONFIG_CHECKPOINT_RESTORE, without which there is no capture at all */
	while (rc == 0 && text_line(&text, line, sizeof(line))) {
		if (text_number(line, "ID:", 10, &number)) {
			t = account_alloc(sizeof(*t));
			if (!t) {
				rc = refuse(err, ENOMEM, "capture: POSIX timer", (int)number);
				break;
			}
			*t = (struct timer){.next = timers.posix, .id = (int)number};
			timers.posix = t;
		} else if (t && text_number(line, "signal:", 10, &number)) {
			t->signal = (int)number;
			const char *slash = strchr(line, '/');
			t->value = slash ? strtoull(slash + 1, NULL, 16) : 0;
		} else if (t && strncmp(line, "notify:", 7) == 0) {
			rc = take_notify(t, line + 7, err);
		} else if (t && text_number(line, "ClockID:", 10, &number)) {
			t->clock = (int)number;
			rc = take_times(t, err);
		}
	}
	text_close(&text);
	return rc;
}

static void save_interval(void)
{
	timers.any_interval = false;
	for (int which = 0; which < 3; which++) {
		struct itimerval *it = &timers.interval[which];
		if (getitimer((__itimer_which_t)which, it) < 0)
			*it = (struct itimerval){0};
		timers.any_interval |= it->it_value.tv_sec || it->it_value.tv_usec;
	}
	const struct timeval *left = &timers.interval[ITIMER_REAL].it_value;
	if (timers.any_interval)
		timers.alarm_ns = now_of(CLOCK_MONOTONIC) + (uint64_t)left->tv_sec * NS +
			(uint64_t)left->tv_usec * 1000;
}

int timers_save(bool *ret_any, struct ramet_err *err)
{
	timers.posix = NULL;
	timers.self = gettid();
	save_interval();
	int rc = save_posix(err);
	*ret_any = timers.any_interval || timers.posix;
	return rc;
}

/* --- restoring --- */

static int create(const struct timer *t, int *id)
{
	struct sigevent event = {.sigev_value.sival_ptr = (void *)(uintptr_t)t->value,
		.sigev_signo = t->signal,
		.sigev_notify = t->thread ? SIGEV_THREAD_ID : t->notify};
	if (t->thread)
		event._sigev_un._tid =
			t->thread == timers.self ? gettid() : safepoint_threads_id(t->thread);
	return (int)syscall(SYS_timer_create, t->clock, &event, id);
}

/* Programs know their timers by the kernel's number. */
static int create_same(const struct timer *t, bool by_wish, struct ramet_err *err)
{
	for (int tries = 0; tries < MAX_TRIES; tries++) {
		int id = t->id;
		if (create(t, &id) < 0)
			return refuse(err, errno, "a clone's POSIX timer", t->id);
		if (id == t->id)
			return 0;
		(void)syscall(SYS_timer_delete, id);
		if (by_wish || id > t->id)
			break;
	}
	return refuse(err, 0, "a clone cannot have POSIX timer", t->id);
}

static int restore_posix(struct ramet_err *err)
{
	bool by_wish = prctl(RESTORE_IDS, 1, 0, 0, 0) == 0;
	int rc = 0;
	/* without that: ascending, as the kernel gives them */
	for (int done = -1; rc == 0;) {
		const struct timer *t = NULL;
		for (const struct timer *other = timers.posix; other; other = other->next)
			if (other->id > done && (!t || other->id < t->id))
				t = other;
		if (!t)
			break;
		done = t->id;
		rc = create_same(t, by_wish, err);
	}
	if (by_wish)
		(void)prctl(RESTORE_IDS, 0, 0, 0, 0);
	for (const struct timer *t = timers.posix; rc == 0 && t; t = t->next)
		if (syscall(SYS_timer_settime, t->id, is_cpu_time(t->clock) ? 0 : TIMER_ABSTIME,
			    &t->set, NULL) < 0)
			rc = refuse(err, errno, "set a clone's POSIX timer", t->id);
	return rc;
}

/* what was due since the capture is due now */
static struct timeval alarm_left(void)
{
	uint64_t now = now_of(CLOCK_MONOTONIC);
	uint64_t us = timers.alarm_ns > now ? (timers.alarm_ns - now) / 1000 : 0;
	us = us ? us : 1;
	return (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
}

static int restore_interval(struct ramet_err *err)
{
	for (int which = 0; which < 3; which++) {
		struct itimerval it = timers.interval[which];
		if (!it.it_value.tv_sec && !it.it_value.tv_usec)
			continue;
		if (which == ITIMER_REAL)
			it.it_value = alarm_left();
		if (setitimer((__itimer_which_t)which, &it, NULL) < 0)
			return refuse(err, errno, "set a clone's interval timer", which);
	}
	return 0;
}

int timers_restore(struct ramet_err *err)
{
	int rc = timers.posix ? restore_posix(err) : 0;
	return rc == 0 && timers.any_interval ? restore_interval(err) : rc;
}
