/* Cases: threads that wait for descriptors, which clones have anew. */
#include "tests/rfork/state.h"
#include "tests/rfork/state_workers.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Each waits once, for ever, and keeps what it got. */
struct fd_waiter {
	long (*wait)(struct fd_waiter *self);
	uint64_t value;
	long result;
	struct worker worker;
	int fd, wake; /* what it waits for, and where writing wakes it */
	int epoll;
	int error;
};

static long wait_read(struct fd_waiter *w)
{
	return read(w->fd, &w->value, sizeof(w->value));
}

static long wait_poll(struct fd_waiter *w)
{
	struct pollfd pfd = {.fd = w->fd, .events = POLLIN};
	long rc = poll(&pfd, 1, -1);
	return rc == 1 ? wait_read(w) : rc;
}

static long wait_select(struct fd_waiter *w)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(w->fd, &set);
	long rc = select(w->fd + 1, &set, NULL, NULL, NULL);
	return rc == 1 ? wait_read(w) : rc;
}

static long wait_epoll(struct fd_waiter *w)
{
	struct epoll_event event;
	long rc = epoll_wait(w->epoll, &event, 1, -1);
	return rc == 1 && event.data.fd == w->fd ? wait_read(w) : rc;
}

static struct fd_waiter waiters[] = {
	{.wait = wait_read}, {.wait = wait_poll}, {.wait = wait_select}, {.wait = wait_epoll}};
static struct fd_waiter event_waiter = {.wait = wait_epoll};
#define WAITERS (sizeof(waiters) / sizeof(waiters[0]))

static void *wait_once(void *arg)
{
	struct fd_waiter *w = arg;
	worker_ready(&w->worker);
	w->result = w->wait(w);
	w->error = errno;
	return NULL;
}

static int start(struct fd_waiter *w)
{
	if (w->wait == wait_epoll) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = w->fd};
		w->epoll = epoll_create1(EPOLL_CLOEXEC);
		if (w->epoll < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->fd, &event) < 0)
			return STATE_BROKEN;
	}
	return worker_start(&w->worker, wait_once, w) < 0 ? STATE_BROKEN : worker_await(&w->worker);
}

static int fds_setup(void)
{
	for (unsigned i = 0; i < WAITERS; i++) {
		int ends[2];
		if (pipe(ends) < 0)
			return STATE_BROKEN;
		waiters[i].fd = ends[0];
		waiters[i].wake = ends[1];
		if (start(&waiters[i]) != STATE_OK)
			return STATE_BROKEN;
	}
	event_waiter.fd = event_waiter.wake = eventfd(0, EFD_CLOEXEC);
	if (event_waiter.fd < 0 || start(&event_waiter) != STATE_OK)
		return STATE_BROKEN;
	return workers_sleep();
}

static const char *wake(struct fd_waiter *w, uint64_t value)
{
	STATE_EXPECT_INT(write(w->wake, &value, sizeof(value)), sizeof(value));
	const char *wrong = worker_join(&w->worker, NULL);
	if (wrong)
		return wrong;
	if (w->result < 0)
		return state_wrong("the wait ended: %s", strerror(w->error));
	STATE_EXPECT_INT(w->result, sizeof(value));
	STATE_EXPECT_INT(w->value, value);
	return NULL;
}

static const char *fds_check(void)
{
	const char *wrong = NULL;
	STATE_EXPECT_INT(workers_sleep(), STATE_OK);
	for (unsigned i = 0; !wrong && i < WAITERS; i++)
		wrong = wake(&waiters[i], 1000 + i);
	return wrong ? wrong : wake(&event_waiter, 7);
}

/* a timer that goes on */
static struct worker ticker;

static void *count_ticks(void *arg)
{
	const struct itimerspec each = {{0, 2000000}, {0, 2000000}};
	uint64_t ticks;
	(void)arg;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(fd, 0, &each, NULL);
	while (read(fd, &ticks, sizeof(ticks)) == (ssize_t)sizeof(ticks))
		worker_ready(&ticker);
	return NULL;
}

static int ticker_setup(void)
{
	return worker_start(&ticker, count_ticks, NULL) < 0 ? STATE_BROKEN : worker_await(&ticker);
}

static const char *ticker_check(void)
{
	return worker_advances(&ticker);
}

const struct state_case state_threads_fds[] = {
	{.name = "threads wait for pipes and an eventfd",
		.setup = fds_setup,
		.check_child = fds_check,
		.check_parent = fds_check,
		.fault = "threads.restart",
		.flags = STATE_ALONE},
	{.name = "a thread waits for a timerfd",
		.setup = ticker_setup,
		.check_child = ticker_check,
		.check_parent = ticker_check,
		.fault = "threads.make"},
	{.name = NULL},
};
