/* Descriptors that only count, wait or keep time: eventfd, signalfd, timerfd, epoll. The kernel
 * tells their state in /proc/self/fdinfo. */
#include "rfork/safepoint_fds.h"

#include "rfork/safepoint_fault.h"
#include "rfork/safepoint_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ull

/* --- eventfd --- */

struct counter {
	uint64_t count;
	bool semaphore;
};

/* Kernels before 6.5 do not say which kind it is; reading one does, and is undone. */
static bool probe_semaphore(const struct account_fd *f, uint64_t count)
{
	uint64_t got = 0;
	const uint64_t add = count < 2 ? 2 - count : 0;
	(void)fcntl(f->fd, F_SETFL, f->flags | O_NONBLOCK);
	bool semaphore = (add == 0 || write(f->fd, &add, sizeof(add)) == sizeof(add)) &&
		read(f->fd, &got, sizeof(got)) == sizeof(got) && got == 1;
	for (uint64_t left = semaphore ? count + add - 1 : 0; left > 0 && add > 0; left--)
		if (read(f->fd, &got, sizeof(got)) < 0)
			break;
	const uint64_t put_back = semaphore && add == 0 ? 1 : count;
	if (put_back > 0)
		(void)!write(f->fd, &put_back, sizeof(put_back));
	(void)fcntl(f->fd, F_SETFL, f->flags);
	return semaphore;
}

static int eventfd_save(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	(void)fds;
	uint64_t count, semaphore;
	struct counter *c = account_alloc(sizeof(*c));
	if (!c)
		return fds_no_memory(err);
	if (!fds_info_number(f->fd, "eventfd-count:", 16, &count)) {
		fds_refuse(f, "an eventfd that does not tell its count");
		return 0;
	}
	if (!fds_info_number(f->fd, "eventfd-semaphore:", 10, &semaphore))
		semaphore = probe_semaphore(f, count);
	*c = (struct counter){count, semaphore != 0};
	f->object = c;
	return 0;
}

static int eventfd_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	const struct counter *c = f->object;
	int fd = fds_raise(
		fds, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (c->semaphore ? EFD_SEMAPHORE : 0)));
	if (fd < 0 ||
		(c->count && !safepoint_fault_hit("safepoint.eventfd") &&
			write(fd, &c->count, sizeof(c->count)) < 0))
		return fds_fail(f, "make its eventfd", err);
	return fd;
}

/* --- signalfd --- */

static int signalfd_save(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	(void)fds;
	uint64_t *mask = account_alloc(sizeof(*mask));
	if (!mask)
		return fds_no_memory(err);
	if (!fds_info_number(f->fd, "sigmask:", 16, mask))
		fds_refuse(f, "a signalfd that does not tell its signals");
	f->object = mask;
	return 0;
}

static int signalfd_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	static const uint64_t none;
	const void *mask = safepoint_fault_hit("safepoint.signalfd") ? &none : f->object;
	int fd = fds_raise(fds, (int)syscall(SYS_signalfd4, -1, mask, 8, O_CLOEXEC));
	return fd < 0 ? fds_fail(f, "make its signalfd", err) : fd;
}

/* --- timerfd --- */

struct timer {
	int clock, flags;
	struct itimerspec set; /* it_value: absolute; zeros: not armed */
};

static uint64_t to_ns(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * NS + (uint64_t)ts->tv_nsec;
}

static struct timespec from_ns(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / NS), (long)(ns % NS)};
}

/* "(1, 999994840)" */
static bool info_time(int fd, const char *key, struct timespec *ret)
{
	char value[64];
	long long sec = 0, ns = 0;
	if (!fds_info(fd, key, value, sizeof(value)) ||
		sscanf(value, " (%lld, %lld)", &sec, &ns) != 2)
		return false;
	*ret = (struct timespec){sec, ns};
	return true;
}

static bool timerfd_read(const struct account_fd *f, struct timer *t)
{
	uint64_t clock, ticks, flags;
	struct timespec left, interval, now;
	struct itimerspec brought_up_to_date;
	(void)timerfd_gettime(
		f->fd, &brought_up_to_date); /* else a timer that repeats is at zero */
	if (!fds_info_number(f->fd, "clockid:", 10, &clock) ||
		!fds_info_number(f->fd, "ticks:", 10, &ticks) ||
		!fds_info_number(f->fd, "settime flags:", 8, &flags) ||
		!info_time(f->fd, "it_value:", &left) ||
		!info_time(f->fd, "it_interval:", &interval) ||
		clock_gettime((clockid_t)clock, &now) < 0)
		return false;
	*t = (struct timer){.clock = (int)clock,
		.flags = TFD_TIMER_ABSTIME | ((int)flags & TFD_TIMER_CANCEL_ON_SET),
		.set.it_interval = interval};
	/* Expirations that nobody has read yet are told by a deadline so far back: the kernel
	 * counts how often the interval has passed since. */
	uint64_t every = to_ns(&interval), at = to_ns(&now) + to_ns(&left);
	if (every && at > ticks * every)
		t->set.it_value = from_ns(at - ticks * every);
	else if (to_ns(&left))
		t->set.it_value = from_ns(at);
	else if (ticks)
		t->set.it_value = from_ns(1);
	return true;
}

static int timerfd_save(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	(void)fds;
	struct timer *t = account_alloc(sizeof(*t));
	if (!t)
		return fds_no_memory(err);
	if (!timerfd_read(f, t))
		fds_refuse(f, "a timerfd that does not tell its state");
	f->object = t;
	return 0;
}

static int timerfd_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	const struct timer *t = f->object;
	int fd = fds_raise(fds, timerfd_create(t->clock, TFD_CLOEXEC));
	if (fd >= 0 && safepoint_fault_hit("safepoint.timerfd"))
		return fd;
	if (fd < 0 || timerfd_settime(fd, t->flags, &t->set, NULL) < 0)
		return fds_fail(f, "make its timerfd", err);
	return fd;
}

/* --- epoll --- */

struct interest {
	struct interest *next;
	int fd;
	struct epoll_event event;
};

/* "tfd:        5 events:       19 data:         badc0de  pos:0 ino:61af sdev:7" */
static bool parse_interest(const char *line, struct interest *in, uint64_t *ino, uint64_t *dev)
{
	unsigned events;
	unsigned long long data, number = 0;
	unsigned device = 0;
	if (sscanf(line, "tfd: %d events: %x data: %llx", &in->fd, &events, &data) != 3)
		return false;
	const char *at = strstr(line, "ino:");
	if (!at || sscanf(at, "ino:%llx sdev:%x", &number, &device) != 2)
		return false;
	in->event.events = events;
	in->event.data.u64 = data;
	*ino = number;
	*dev = makedev(device >> 20, device & 0xfffff);
	return true;
}

/* the entry is of what has that number now; a number may have been used anew since */
static bool is_still_there(const struct interest *in, uint64_t ino, uint64_t dev)
{
	struct stat st;
	return fstat(in->fd, &st) == 0 && st.st_ino == ino && st.st_dev == dev;
}

static int epoll_save(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	struct text text;
	char line[256];
	struct interest **list = (struct interest **)(void *)&f->object;
	int rc = 0;
	(void)fds;
	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", f->fd);
	if (!text_open(&text, line)) {
		fds_refuse(f, "an epoll that does not tell what it watches");
		return 0;
	}
	while (rc == 0 && f->kind == ACCOUNT_EPOLL && text_line(&text, line, sizeof(line))) {
		uint64_t ino, dev;
		if (strncmp(line, "tfd:", 4) != 0)
			continue;
		struct interest *in = account_alloc(sizeof(*in));
		if (!in)
			rc = fds_no_memory(err);
		else if (!parse_interest(line, in, &ino, &dev) || !is_still_there(in, ino, dev))
			fds_refuse(f, "an epoll that watches a file whose descriptor was closed");
		else
			*list = in, list = &in->next;
	}
	text_close(&text);
	return rc;
}

static int epoll_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	int fd = fds_raise(fds, epoll_create1(EPOLL_CLOEXEC));
	return fd < 0 ? fds_fail(f, "make its epoll", err) : fd;
}

static bool is_disarmed(const struct interest *in)
{
	return in->event.events & EPOLLONESHOT &&
		!(in->event.events &
			(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP));
}

/* One-shot entries that had their event. A new one cannot be without EPOLLERR and EPOLLHUP, so it
 * is made to have its event again where something is ready; before the others, whose events stay.
 */
static int add_disarmed(const struct account_fd *f, const struct interest *in)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | in->event.events, .data = in->event.data};
	if (epoll_ctl(f->fd, EPOLL_CTL_ADD, in->fd, &event) < 0)
		return -1;
	if (epoll_wait(f->fd, &event, 1, 0) == 1)
		return 0;
	event = in->event;
	return epoll_ctl(f->fd, EPOLL_CTL_MOD, in->fd, &event);
}

static bool is_closed(const struct fds *fds, int fd)
{
	const struct account_fd *watched = fds_number(fds, fd);
	return watched && watched->kind == ACCOUNT_CLOSED;
}

/* with everything that may be watched in its place */
static int epoll_finish(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	for (int disarmed = 1; disarmed >= 0; disarmed--)
		for (const struct interest *in = f->object; in; in = in->next) {
			struct epoll_event event = in->event;
			if (is_disarmed(in) != disarmed || is_closed(fds, in->fd) ||
				safepoint_fault_hit("safepoint.epoll"))
				continue;
			int rc = disarmed ? add_disarmed(f, in)
					  : epoll_ctl(f->fd, EPOLL_CTL_ADD, in->fd, &event);
			if (rc < 0)
				return fds_fail(f, "have its epoll watch what it watched", err);
		}
	return 0;
}

const struct fd_kind fd_kind_eventfd = {eventfd_save, eventfd_restore, NULL};
const struct fd_kind fd_kind_signalfd = {signalfd_save, signalfd_restore, NULL};
const struct fd_kind fd_kind_timerfd = {timerfd_save, timerfd_restore, NULL};
const struct fd_kind fd_kind_epoll = {epoll_save, epoll_restore, epoll_finish};
