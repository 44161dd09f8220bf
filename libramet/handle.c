/* struct ramet's life, its lock, and waiting: one thread polls for all. */
#include "libramet/handle.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS 16 /* told at once */
#define DOZE_NS (10 * NSEC_PER_MSEC) /* for which the connection need not be heard */

uint64_t handle_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? DEADLINE_NONE : now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
}

static void handle_free(struct ramet *ramet)
{
	if (ramet->channel)
		ramet->channel->ops->destroy(ramet->channel);
	conn_close(ramet->conn);
	close_reset(&ramet->sleep_fd);
	close_reset(&ramet->rouse_fd);
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

void handle_unlock_put(struct ramet *ramet)
{
	bool last = --ramet->refs == 0;
	handle_unlock(ramet);
	if (last)
		handle_free(ramet);
}

void handle_put(struct ramet *ramet)
{
	handle_lock(ramet);
	handle_unlock_put(ramet);
}

static int watch(int epoll_fd, int fd, uint32_t events, struct ramet_err *err)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};
	if (fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_errno(err, RAMET_EIO, "epoll_ctl");
	return 0;
}

static int open_fds(struct ramet *ramet, struct ramet_err *err)
{
	ramet->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ramet->rouse_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ramet->done_fd < 0 || ramet->rouse_fd < 0)
		return err_errno(err, RAMET_EIO, "eventfd");
	ramet->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	ramet->sleep_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ramet->poll_fd < 0 || ramet->sleep_fd < 0)
		return err_errno(err, RAMET_EIO, "epoll_create1");
	int channel_fd = ramet->channel->ops->fd(ramet->channel);
	int rc = watch(ramet->poll_fd, conn_fd(ramet->conn), EPOLLIN, err);
	if (rc == 0)
		rc = watch(ramet->poll_fd, channel_fd, EPOLLIN, err);
	if (rc == 0)
		rc = watch(ramet->poll_fd, ramet->done_fd, EPOLLIN, err);
	/* without reading it: one system call for each sleep */
	if (rc == 0)
		rc = watch(ramet->sleep_fd, conn_fd(ramet->conn), EPOLLIN, err);
	if (rc == 0)
		rc = watch(ramet->sleep_fd, channel_fd, EPOLLIN | EPOLLET, err);
	if (rc == 0)
		rc = watch(ramet->sleep_fd, ramet->rouse_fd, EPOLLIN | EPOLLET, err);
	const int epoll_fds[] = {ramet->poll_fd, ramet->sleep_fd};
	if (rc == 0 && ramet->channel->ops->watch)
		ramet->channel->ops->watch(ramet->channel, epoll_fds);
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

static int create_channel(struct ramet *ramet, struct ramet_err *err)
{
	int rc = channel_socket_create(ramet->conn, &ramet->channel, err);
	if (rc == 0)
		rc = channel_slots_create(ramet->conn, ramet->channel, &ramet->channel, err);
	return rc;
}

int handle_create(const char *path, struct ramet **ret_ramet, struct ramet_err *err)
{
	struct ramet *ramet = calloc(1, sizeof(*ramet));
	if (!ramet)
		return err_nomem(err);
	init_lock(ramet);
	list_init(&ramet->done);
	ramet->refs = 1;
	ramet->done_fd = ramet->poll_fd = ramet->sleep_fd = ramet->rouse_fd = -1;
	int rc = conn_open(path, &ramet->conn, err);
	if (rc == 0)
		rc = create_channel(ramet, err);
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

static int dispatch(struct ramet *ramet, bool conn, struct ramet_err *err)
{
	int rc = 0;
	if (ramet->closed)
		return 0;
	if (conn) {
		ramet->listened_ns = now_ns();
		rc = conn_dispatch(ramet->conn, err);
	}
	struct channel *channel = ramet->channel;
	if (rc == 0)
		rc = channel->ops->dispatch(channel, err);
	if (ramet->waiters > 0)
		pthread_cond_broadcast(&ramet->changed);
	return rc;
}

/* looks without sleeping, where answers come that quickly; whether it did */
static bool spin_for_all(struct ramet *ramet)
{
	struct channel *channel = ramet->channel;
	if (!channel->ops->spin_begin || !channel->ops->spin_begin(channel))
		return false;
	handle_unlock(ramet);
	channel->ops->spin(channel);
	handle_lock(ramet);
	channel->ops->spin_end(channel);
	return true;
}

void handle_rouse(struct ramet *ramet)
{
	if (ramet->dozing)
		ramet->channel->ops->rouse(ramet->channel);
	else if (ramet->polling)
		eventfd_write(ramet->rouse_fd, 1);
}

/* A wait's first sleep, until there is an answer, where nobody waits for anything else: quicker
 * than to wait for all that may come. *until: when that is over, 0 at first; *ret_conn: or it is
 * time to hear the connection. Whether there is something to look at now. */
static bool doze_alone(struct ramet *ramet, uint64_t deadline_ns, uint64_t *until, bool *ret_conn)
{
	struct channel *channel = ramet->channel;
	if (!channel->ops->doze_begin || ramet->waiters > 0 || ramet->listening > 0 ||
		ramet->polled)
		return false;
	uint64_t now = now_ns();
	if (*until == 0)
		*until = MIN(deadline_ns, now + DOZE_NS);
	if (now >= *until || !channel->ops->doze_begin(channel, ramet->under_way))
		return false;
	*ret_conn = now > ramet->listened_ns + DOZE_NS;
	if (!*ret_conn) {
		ramet->dozing = true;
		handle_unlock(ramet);
		channel->ops->doze(channel, *until - now);
		handle_lock(ramet);
		ramet->dozing = false;
	}
	channel->ops->doze_end(channel);
	return true;
}

/* milliseconds for epoll_wait(), rounded up; -1: without end */
static int left_ms(uint64_t deadline_ns)
{
	if (deadline_ns == DEADLINE_NONE)
		return -1;
	uint64_t now = now_ns();
	uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
	return (int)MIN((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, (uint64_t)INT_MAX);
}

static int sleep_for_all(
	struct ramet *ramet, uint64_t deadline_ns, bool *ret_conn, struct ramet_err *err)
{
	struct epoll_event events[EVENTS];
	const struct channel_ops *ops = ramet->channel->ops;
	int conn = conn_fd(ramet->conn);
	int ms = left_ms(deadline_ns);
	int patience = ops->patience ? ops->patience(ramet->channel) : -1;
	if (patience >= 0 && (ms < 0 || ms > patience))
		ms = patience;
	handle_unlock(ramet);
	int n = epoll_wait(ramet->sleep_fd, events, EVENTS, ms);
	int saved = errno;
	handle_lock(ramet);
	ramet->listened_ns = now_ns();
	*ret_conn = false;
	for (int i = 0; i < n; i++)
		*ret_conn = *ret_conn || events[i].data.fd == conn;
	errno = saved;
	return n < 0 && saved != EINTR ? err_errno(err, RAMET_EIO, "epoll_wait") : 0;
}

/* waits on behalf of all, with the lock released; rounds up, so that the deadline has passed
 * afterwards */
static int poll_for_all(struct ramet *ramet, uint64_t deadline_ns, uint64_t *doze_until,
	bool (*ready)(void *arg), void *arg, struct ramet_err *err)
{
	const struct channel_ops *ops = ramet->channel->ops;
	bool conn = false;
	int rc = 0;
	ramet->polling = true;
	if (spin_for_all(ramet)) {
		rc = dispatch(ramet, false, err);
		if (rc < 0 || ramet->closed || ready(arg)) {
			ramet->polling = false;
			return rc;
		}
	}
	if (doze_alone(ramet, deadline_ns, doze_until, &conn)) {
		ramet->polling = false;
		return dispatch(ramet, conn, err);
	}
	if (!ops->sleeps || ops->sleeps(ramet->channel))
		rc = sleep_for_all(ramet, deadline_ns, &conn, err);
	if (ops->wakes && !ramet->closed)
		ops->wakes(ramet->channel);
	ramet->polling = false;
	if (rc < 0) {
		pthread_cond_broadcast(&ramet->changed);
		return rc;
	}
	return dispatch(ramet, conn, err);
}

static void wait_for_poller(struct ramet *ramet, uint64_t deadline_ns)
{
	ramet->waiters++;
	if (ramet->dozing)
		handle_rouse(ramet);
	if (deadline_ns == DEADLINE_NONE) {
		ramet->locked = false; /* who polls is another thread, so it is held */
		pthread_cond_wait(&ramet->changed, &ramet->lock);
		ramet->locked = true;
		ramet->waiters--;
		return;
	}
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(deadline_ns % NSEC_PER_SEC),
	};
	ramet->locked = false;
	pthread_cond_timedwait(&ramet->changed, &ramet->lock, &until);
	ramet->locked = true;
	ramet->waiters--;
}

int handle_wait(struct ramet *ramet, bool (*ready)(void *arg), void *arg, uint64_t deadline_ns,
	struct ramet_err *err)
{
	uint64_t doze_until = 0;
	while (!ready(arg)) {
		int rc = handle_check_open(ramet, err);
		if (rc < 0)
			return rc;
		if (deadline_ns != DEADLINE_NONE && now_ns() >= deadline_ns) {
			rc = handle_look(ramet, err); /* what has arrived counts */
			if (rc < 0)
				return rc;
			return ready(arg) ? 0 : RAMET_ETIMEOUT;
		}
		if (ramet->polling)
			wait_for_poller(ramet, deadline_ns);
		else
			rc = poll_for_all(ramet, deadline_ns, &doze_until, ready, arg, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What is taken here may be what the thread that polls has been woken for, and would then not find.
 */
int handle_look(struct ramet *ramet, struct ramet_err *err)
{
	int rc = dispatch(ramet, true, err);
	handle_rouse(ramet);
	return rc;
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
		ramet->listening++;
		rc = handle_wait(ramet, has_room, &room, DEADLINE_NONE, err);
		ramet->listening--;
		if (rc < 0)
			return rc;
	}
}
