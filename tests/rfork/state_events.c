/* Cases: eventfd, signalfd, timerfd, epoll. */
#include "tests/rfork/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* --- eventfd --- */

static int counter, semaphore;

static int eventfd_setup(void)
{
	counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	return counter >= 0 && semaphore >= 0 && eventfd_write(counter, 1ull << 40) == 0
		? STATE_OK
		: STATE_BROKEN;
}

static const char *eventfd_check(void)
{
	eventfd_t value = 0;
	STATE_EXPECT_INT(fcntl(counter, F_GETFD), FD_CLOEXEC);
	STATE_EXPECT_INT(eventfd_read(counter, &value), 0);
	STATE_EXPECT_INT(value, 1ll << 40);
	STATE_EXPECT_INT(eventfd_read(counter, &value), -1);
	for (int i = 0; i < 3; i++) {
		STATE_EXPECT_INT(eventfd_read(semaphore, &value), 0);
		STATE_EXPECT_INT(value, 1);
	}
	STATE_EXPECT_INT(eventfd_read(semaphore, &value), -1);
	STATE_EXPECT_INT(errno, EAGAIN);
	return NULL;
}

/* --- signalfd --- */

static int signals_fd;

static int signalfd_setup(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 9);
	signals_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return signals_fd >= 0 && sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? STATE_OK : STATE_BROKEN;
}

static const char *signalfd_check(void)
{
	struct signalfd_siginfo info;
	const union sigval value = {.sival_int = 77};
	STATE_EXPECT_INT(sigqueue(getpid(), SIGRTMIN + 9, value), 0);
	STATE_EXPECT_INT(read(signals_fd, &info, sizeof(info)), sizeof(info));
	STATE_EXPECT_INT(info.ssi_signo, SIGRTMIN + 9);
	STATE_EXPECT_INT(info.ssi_int, 77);
	STATE_EXPECT_INT(read(signals_fd, &info, sizeof(info)), -1);
	return NULL;
}

/* --- timerfd --- */

static int far_fd, expired_fd, every_fd, idle_fd, wall_fd;
static struct timespec far_at, wall_at;

static int timerfd_setup(void)
{
	struct itimerspec at = {.it_value = {0, 1}};
	const struct itimerspec every = {{3600, 0}, {0, 1}};
	far_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	expired_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
	every_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	idle_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	wall_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	clock_gettime(CLOCK_MONOTONIC, &far_at);
	clock_gettime(CLOCK_REALTIME, &wall_at);
	far_at.tv_sec += 1000;
	wall_at.tv_sec += 200;
	if (timerfd_settime(expired_fd, 0, &at, NULL) < 0 ||
		timerfd_settime(every_fd, 0, &every, NULL) < 0)
		return STATE_BROKEN;
	at.it_value = far_at;
	if (timerfd_settime(far_fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		return STATE_BROKEN;
	at.it_value = wall_at;
	if (timerfd_settime(wall_fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		return STATE_BROKEN;
	/* the two short ones have expired once this has passed */
	const struct timespec moment = {0, 1000000};
	clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
	return STATE_OK;
}

static long long us_left(int fd)
{
	struct itimerspec left = {0};
	timerfd_gettime(fd, &left);
	return (long long)left.it_value.tv_sec * 1000000 + left.it_value.tv_nsec / 1000;
}

static long long us_until(clockid_t clock, const struct timespec *at)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (long long)(at->tv_sec - now.tv_sec) * 1000000 + (at->tv_nsec - now.tv_nsec) / 1000;
}

static bool near(long long a, long long b)
{
	return a - b < 1000000 && b - a < 1000000;
}

static const char *every_check(void)
{
	struct itimerspec every;
	uint64_t ticks = 0;
	STATE_EXPECT_INT(read(every_fd, &ticks, sizeof(ticks)), sizeof(ticks));
	STATE_EXPECT_INT(ticks, 1);
	STATE_EXPECT_INT(timerfd_gettime(every_fd, &every), 0);
	STATE_EXPECT_INT(every.it_interval.tv_sec, 3600);
	STATE_EXPECT(every.it_value.tv_sec > 3000);
	return NULL;
}

static const char *timerfd_check(void)
{
	uint64_t ticks = 0;
	STATE_EXPECT_INT(read(far_fd, &ticks, sizeof(ticks)), -1);
	STATE_EXPECT_INT(errno, EAGAIN);
	STATE_EXPECT(near(us_left(far_fd), us_until(CLOCK_MONOTONIC, &far_at)));
	STATE_EXPECT(near(us_left(wall_fd), us_until(CLOCK_REALTIME, &wall_at)));
	STATE_EXPECT_INT(read(expired_fd, &ticks, sizeof(ticks)), sizeof(ticks));
	STATE_EXPECT_INT(ticks, 1);
	STATE_EXPECT_INT(read(idle_fd, &ticks, sizeof(ticks)), -1);
	STATE_EXPECT_INT(us_left(idle_fd), 0);
	return every_check();
}

/* --- epoll --- */

static int epoll, outer, level, once, fired, edge, edge_writer;

static int watch(int on, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};
	return epoll_ctl(on, EPOLL_CTL_ADD, fd, &event);
}

static int epoll_setup(void)
{
	struct epoll_event event;
	int pipe_fds[2];
	epoll = epoll_create1(EPOLL_CLOEXEC);
	outer = epoll_create1(0);
	fired = eventfd(1, EFD_NONBLOCK);
	if (watch(epoll, fired, EPOLLIN | EPOLLONESHOT, 1) < 0 ||
		epoll_wait(epoll, &event, 1, 0) != 1)
		return STATE_BROKEN;
	level = eventfd(1, EFD_NONBLOCK);
	once = eventfd(0, EFD_NONBLOCK);
	if (pipe2(pipe_fds, O_NONBLOCK) < 0)
		return STATE_BROKEN;
	edge = pipe_fds[0];
	edge_writer = pipe_fds[1];
	return watch(epoll, level, EPOLLIN, 0x1122334455667788) == 0 &&
			watch(epoll, once, EPOLLIN | EPOLLONESHOT, 3) == 0 &&
			watch(epoll, edge, EPOLLIN | EPOLLET, 4) == 0 &&
			watch(outer, epoll, EPOLLIN, 5) == 0
		? STATE_OK
		: STATE_BROKEN;
}

static const char *edge_check(void)
{
	struct epoll_event events[8];
	STATE_EXPECT_INT(epoll_wait(epoll, events, 8, 0), 0); /* `once` was to be told once */
	STATE_EXPECT_INT(write(edge_writer, "x", 1), 1);
	STATE_EXPECT_INT(epoll_wait(epoll, events, 8, 0), 1);
	STATE_EXPECT_INT(events[0].data.u64, 4);
	STATE_EXPECT_INT(epoll_wait(epoll, events, 8, 0), 0); /* no new edge */
	return NULL;
}

static const char *epoll_check(void)
{
	struct epoll_event events[8];
	eventfd_t value;
	STATE_EXPECT_INT(epoll_wait(outer, events, 8, 0), 1);
	STATE_EXPECT_INT(events[0].data.u64, 5);
	STATE_EXPECT_INT(epoll_wait(epoll, events, 8, 0), 1);
	STATE_EXPECT_INT(events[0].events, EPOLLIN);
	STATE_EXPECT_INT(events[0].data.u64, 0x1122334455667788);
	STATE_EXPECT_INT(eventfd_read(level, &value), 0);
	STATE_EXPECT_INT(eventfd_write(once, 1), 0);
	STATE_EXPECT_INT(epoll_wait(epoll, events, 8, 0), 1);
	STATE_EXPECT_INT(events[0].data.u64, 3);
	return edge_check();
}

/* --- what is refused --- */

static int refused_fd;

static const char *refused_check(void)
{
	STATE_EXPECT(fcntl(refused_fd, F_GETFD) >= 0);
	return NULL;
}

static int inotify_setup(void)
{
	refused_fd = inotify_init1(IN_CLOEXEC);
	return refused_fd >= 0 ? STATE_OK : STATE_BROKEN;
}

static int pidfd_setup(void)
{
	refused_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	return refused_fd >= 0 ? STATE_OK : STATE_NOT_HERE;
}

/* what it watches is open under another number only */
static int closed_watch_setup(void)
{
	int fd = eventfd(0, 0);
	refused_fd = epoll_create1(0);
	if (watch(refused_fd, fd, EPOLLIN, 1) < 0 || dup(fd) < 0)
		return STATE_BROKEN;
	close(fd);
	return STATE_OK;
}

const struct state_case state_events[] = {
	{.name = "eventfd",
		.setup = eventfd_setup,
		.check_child = eventfd_check,
		.check_parent = eventfd_check,
		.fault = "safepoint.eventfd"},
	{.name = "signalfd",
		.setup = signalfd_setup,
		.check_child = signalfd_check,
		.check_parent = signalfd_check,
		.fault = "safepoint.signalfd"},
	{.name = "timerfd",
		.setup = timerfd_setup,
		.check_child = timerfd_check,
		.check_parent = timerfd_check,
		.fault = "safepoint.timerfd"},
	{.name = "epoll",
		.setup = epoll_setup,
		.check_child = epoll_check,
		.check_parent = epoll_check,
		.fault = "safepoint.epoll"},
	{.name = "inotify",
		.setup = inotify_setup,
		.check_parent = refused_check,
		.refused = "an inotify watch"},
	{.name = "pidfd",
		.setup = pidfd_setup,
		.check_parent = refused_check,
		.refused = "a pidfd"},
	{.name = "epoll of a closed number",
		.setup = closed_watch_setup,
		.check_parent = refused_check,
		.refused = "an epoll that watches a file whose descriptor was closed"},
	{.name = NULL},
};
