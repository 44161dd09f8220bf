/* struct ramet's life, its lock, and waiting: one thread polls for all. */
#include "libramet/handle.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

uint64_t handle_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? DEADLINE_NONE : now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
}

static void handle_free(struct ramet *ramet)
{
	if (ramet->channel)
		ramet->channel->ops->destroy(ramet->channel);
	conn_close(ramet->conn);
	close_reset(&ramet->poll_fd);
	close_reset(&ramet->done_fd);
	pthread_cond_destroy(&ramet->changed);
	pthread_mutex_destroy(&ramet->lock);
	free(ramet);
}

void handle_get(struct ramet *ramet)
{
	ramet->refs++;
}

void handle_put(struct ramet *ramet)
{
	pthread_mutex_lock(&ramet->lock);
	bool last = --ramet->refs == 0;
	pthread_mutex_unlock(&ramet->lock);
	if (last)
		handle_free(ramet);
}

static int watch(struct ramet *ramet, int fd, struct ramet_err *err)
{
	struct epoll_event ev = {.events = EPOLLIN};
	if (fd >= 0 && epoll_ctl(ramet->poll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_errno(err, RAMET_EIO, "epoll_ctl");
	return 0;
}

static int open_fds(struct ramet *ramet, struct ramet_err *err)
{
	ramet->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ramet->done_fd < 0)
		return err_errno(err, RAMET_EIO, "eventfd");
	ramet->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ramet->poll_fd < 0)
		return err_errno(err, RAMET_EIO, "epoll_create1");
	int rc = watch(ramet, conn_fd(ramet->conn), err);
	if (rc == 0)
		rc = watch(ramet, ramet->channel->ops->fd(ramet->channel), err);
	if (rc == 0)
		rc = watch(ramet, ramet->done_fd, err);
	return rc;
}

static void init_lock(struct ramet *ramet)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&ramet->lock, NULL);
	pthread_cond_init(&ramet->changed, &attr);
	pthread_condattr_destroy(&attr);
}

int handle_create(const char *path, struct ramet **ret_ramet, struct ramet_err *err)
{
	struct ramet *ramet = calloc(1, sizeof(*ramet));
	if (!ramet)
		return err_nomem(err);
	init_lock(ramet);
	list_init(&ramet->done);
	ramet->refs = 1;
	ramet->done_fd = ramet->poll_fd = -1;
	int rc = conn_open(path, &ramet->conn, err);
	if (rc == 0)
		rc = channel_socket_create(ramet->conn, &ramet->channel, err);
	if (rc == 0)
		rc = open_fds(ramet, err);
	if (rc < 0) {
		handle_free(ramet);
		return rc;
	}
	*ret_ramet = ramet;
	return 0;
}

int handle_check_open(const struct ramet *ramet, struct ramet_err *err)
{
	return ramet->closed ? err_set(err, RAMET_ECLOSED, "the handle was closed") : 0;
}

static int dispatch(struct ramet *ramet, struct ramet_err *err)
{
	if (ramet->closed)
		return 0;
	int rc = conn_dispatch(ramet->conn, err);
	if (rc == 0)
		rc = ramet->channel->ops->dispatch(ramet->channel, err);
	pthread_cond_broadcast(&ramet->changed);
	return rc;
}

/* polls on behalf of all, with the lock released; rounds up, so that the deadline has passed
 * afterwards */
static int poll_for_all(struct ramet *ramet, uint64_t deadline_ns, struct ramet_err *err)
{
	struct pollfd fds[2] = {
		{.fd = conn_fd(ramet->conn), .events = POLLIN},
		{.fd = ramet->channel->ops->fd(ramet->channel), .events = POLLIN},
	};
	struct timespec left = {0};
	uint64_t now = now_ns();
	if (deadline_ns != DEADLINE_NONE && deadline_ns > now) {
		left.tv_sec = (time_t)((deadline_ns - now) / NSEC_PER_SEC);
		left.tv_nsec = (long)((deadline_ns - now) % NSEC_PER_SEC);
	}
	ramet->polling = true;
	pthread_mutex_unlock(&ramet->lock);
	int n = ppoll(fds, 2, deadline_ns == DEADLINE_NONE ? NULL : &left, NULL);
	int saved = errno;
	pthread_mutex_lock(&ramet->lock);
	ramet->polling = false;
	if (n < 0 && saved != EINTR) {
		errno = saved;
		pthread_cond_broadcast(&ramet->changed);
		return err_errno(err, RAMET_EIO, "poll");
	}
	return dispatch(ramet, err);
}

static void wait_for_poller(struct ramet *ramet, uint64_t deadline_ns)
{
	if (deadline_ns == DEADLINE_NONE) {
		pthread_cond_wait(&ramet->changed, &ramet->lock);
		return;
	}
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(deadline_ns % NSEC_PER_SEC),
	};
	pthread_cond_timedwait(&ramet->changed, &ramet->lock, &until);
}

int handle_wait(struct ramet *ramet, bool (*ready)(void *arg), void *arg, uint64_t deadline_ns,
	struct ramet_err *err)
{
	while (!ready(arg)) {
		int rc = handle_check_open(ramet, err);
		if (rc < 0)
			return rc;
		if (deadline_ns != DEADLINE_NONE && now_ns() >= deadline_ns) {
			rc = dispatch(ramet, err); /* what has arrived counts */
			if (rc < 0)
				return rc;
			return ready(arg) ? 0 : RAMET_ETIMEOUT;
		}
		if (ramet->polling)
			wait_for_poller(ramet, deadline_ns);
		else
			rc = poll_for_all(ramet, deadline_ns, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

struct room {
	struct ramet *ramet;
	size_t len;
};

static bool has_room(void *arg)
{
	const struct room *room = arg;
	return room->ramet->closed || conn_has_room(room->ramet->conn, room->len);
}

int handle_send(struct ramet *ramet, struct buf *b, struct ramet_err *err)
{
	struct room room = {ramet, b->len};
	for (;;) {
		int rc = handle_check_open(ramet, err);
		if (rc == 0)
			rc = conn_send(ramet->conn, b, err);
		if (rc != RAMET_EAGAIN)
			return rc;
		rc = handle_wait(ramet, has_room, &room, DEADLINE_NONE, err);
		if (rc < 0)
			return rc;
	}
}
