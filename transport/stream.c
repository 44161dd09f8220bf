/* Opening bare connections: connect, hello, welcome; see stream.h. */
#include "transport/stream.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "transport/addr.h"
#include "transport/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPEN_MS 2000

struct stream_opening {
	int fd;
	struct loop_watch watch;
	struct loop_timer timer;
	bool greeted;
	unsigned silence_ms;
	unsigned char hello[GREETING_HELLO_SIZE];
	unsigned char welcome[GREETING_WELCOME_SIZE];
	size_t got;
	stream_open_fn *fn;
	void *user;
};

void stream_open_cancel(struct stream_opening *o)
{
	if (!o)
		return;
	loop_timer_cancel(&o->timer);
	loop_watch_remove(&o->watch);
	close_reset(&o->fd);
	free(o);
}

static void fail(struct stream_opening *o, int code, const char *why)
{
	struct ramet_err err;
	err_set(&err, code, "%s", why);
	o->fn(o->user, -1, &err);
	stream_open_cancel(o);
}

static void on_late(struct loop_timer *timer)
{
	fail(container_of(timer, struct stream_opening, timer), RAMET_ETIMEOUT,
		"the peer did not answer in time");
}

static void greet(struct stream_opening *o)
{
	int error = 0;
	socklen_t len = sizeof(error);
	getsockopt(o->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error == 0 &&
		(tcp_sock_tune(o->fd, o->silence_ms) < 0 ||
			send(o->fd, o->hello, sizeof(o->hello), MSG_NOSIGNAL) != sizeof(o->hello)))
		error = errno;
	o->greeted = true;
	if (error != 0)
		fail(o, RAMET_EPEER, strerrordesc_np(error));
	else if (loop_watch_mod(&o->watch, EPOLLIN) < 0)
		fail(o, RAMET_EIO, "epoll");
}

static void welcomed(struct stream_opening *o)
{
	struct greeting_welcome welcome;
	int rc = greeting_welcome_parse(o->welcome, &welcome);
	if (rc == 0)
		rc = welcome.status;
	if (rc == 0 && tcp_sock_patient(o->fd) < 0)
		rc = RAMET_EIO;
	if (rc < 0) {
		fail(o, rc, "the peer refused the connection");
		return;
	}
	loop_watch_remove(&o->watch);
	o->fn(o->user, steal_fd(&o->fd), NULL);
	stream_open_cancel(o);
}

static void on_event(struct loop_watch *watch, uint32_t events)
{
	struct stream_opening *o = container_of(watch, struct stream_opening, watch);
	(void)events;
	if (!o->greeted) {
		greet(o);
		return;
	}
	/* not a byte more: what follows is not for us */
	ssize_t n = recv(o->fd, o->welcome + o->got, sizeof(o->welcome) - o->got, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(o, RAMET_EPEER, "the peer hung up");
		return;
	}
	o->got += (size_t)n;
	if (o->got == sizeof(o->welcome))
		welcomed(o);
}

static int begin(
	struct stream_opening *o, struct loop *loop, const char *addr, struct ramet_err *err)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int rc = addr_parse(addr, &sa, &len, err);
	if (rc < 0)
		return rc;
	o->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (o->fd < 0 ||
		(connect(o->fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS))
		return err_errno(err, RAMET_EPEER, "connect to %s", addr);
	rc = loop_watch_add(loop, &o->watch, o->fd, EPOLLOUT, on_event, err);
	if (rc == 0 &&
		loop_timer_set(loop, &o->timer, now_ns() + OPEN_MS * NSEC_PER_MSEC, on_late) < 0)
		rc = err_nomem(err);
	return rc;
}

int stream_open(struct loop *loop, const char *addr, const void *token, size_t token_len,
	unsigned silence_ms, stream_open_fn *fn, void *user, struct stream_opening **ret_opening,
	struct ramet_err *err)
{
	const struct transport_options options = {
		.queue_depth = TRANSPORT_DEPTH_DEFAULT, .peer_timeout_ms = silence_ms};
	struct greeting_hello hello;
	struct stream_opening *o = calloc(1, sizeof(*o));
	if (!o)
		return err_nomem(err);
	o->fd = -1;
	o->silence_ms = silence_ms;
	o->fn = fn;
	o->user = user;
	greeting_hello_fill(&hello, &options, token, token_len);
	greeting_hello_encode(&hello, o->hello);
	int rc = begin(o, loop, addr, err);
	if (rc < 0) {
		stream_open_cancel(o);
		return rc;
	}
	*ret_opening = o;
	return 0;
}
