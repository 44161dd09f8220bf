/* Byte streams of any kind, and those over sockets. */
#include "transport/byte_stream.h"

#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct socket_stream {
	struct byte_stream base;
	int fd;
	struct loop_watch watch;
	bool deaf; /* not told of what comes */
	bool full; /* told of room */
	bool shut;
	bool lost; /* what the socket tells once only */
};

ssize_t byte_stream_receive(struct byte_stream *stream, void *to, size_t cap)
{
	return cap > 0 ? stream->ops->receive(stream, to, cap) : 0;
}

ssize_t byte_stream_send(struct byte_stream *stream, const struct iovec *iov, unsigned count)
{
	return stream->ops->send(stream, iov, count);
}

void byte_stream_shut(struct byte_stream *stream)
{
	stream->ops->shut(stream);
}

void byte_stream_listen(struct byte_stream *stream, bool listen)
{
	stream->ops->listen(stream, listen);
}

void byte_stream_close(struct byte_stream *stream)
{
	if (stream)
		stream->ops->close(stream);
}

/* --- over a socket --- */

static struct socket_stream *of(struct byte_stream *base)
{
	return container_of(base, struct socket_stream, base);
}

/* A hang-up is told of in any case: to who does not listen, once. */
static void watch(struct socket_stream *s)
{
	uint32_t in = s->deaf ? 0 : EPOLLIN;
	uint32_t out = s->full ? EPOLLOUT : 0;
	uint32_t events = in | out;
	/* it is there: that does not fail */
	(void)loop_watch_mod(&s->watch, events ? events : (uint32_t)EPOLLET);
}

static ssize_t socket_receive(struct byte_stream *base, void *to, size_t cap)
{
	struct socket_stream *s = of(base);
	ssize_t n;
	do
		n = recv(s->fd, to, cap, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0 && errno == EAGAIN && !s->lost)
		return 0;
	s->lost |= n < 0;
	return s->lost ? RAMET_EPEER : RAMET_ECLOSED;
}

static size_t bytes_of(const struct iovec *iov, unsigned count)
{
	size_t n = 0;
	for (unsigned i = 0; i < count; i++)
		n += iov[i].iov_len;
	return n;
}

static ssize_t socket_send(struct byte_stream *base, const struct iovec *iov, unsigned count)
{
	struct socket_stream *s = of(base);
	const struct msghdr msg = {
		.msg_iov = (struct iovec *)iov, .msg_iovlen = MIN(count, (unsigned)IOV_MAX)};
	ssize_t n;
	if (s->shut || s->lost)
		return s->shut ? RAMET_ECLOSED : RAMET_EPEER;
	do
		n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN) {
		s->lost = errno != EPIPE; /* else what it has sent may be received */
		return RAMET_EPEER;
	}
	n = MAX(n, (ssize_t)0);
	if ((size_t)n < bytes_of(iov, count) && !s->full) {
		s->full = true;
		watch(s);
	}
	return n;
}

static void socket_shut(struct byte_stream *base)
{
	of(base)->shut = true;
	(void)shutdown(of(base)->fd, SHUT_WR); /* or the peer has gone */
}

static void socket_listen(struct byte_stream *base, bool listen)
{
	struct socket_stream *s = of(base);
	if (s->deaf != listen)
		return;
	s->deaf = !listen;
	watch(s);
}

static void socket_close(struct byte_stream *base)
{
	struct socket_stream *s = of(base);
	loop_watch_remove(&s->watch);
	close_reset(&s->fd);
	free(s);
}

static const struct byte_stream_ops socket_ops = {
	.receive = socket_receive,
	.send = socket_send,
	.shut = socket_shut,
	.listen = socket_listen,
	.close = socket_close,
};

static void on_event(struct loop_watch *loop_watch, uint32_t events)
{
	struct socket_stream *s = container_of(loop_watch, struct socket_stream, watch);
	if (s->full && events & EPOLLOUT) { /* until a send falls short again */
		s->full = false;
		watch(s);
	}
	s->base.on_ready(s->base.user);
}

int byte_stream_of_socket(struct loop *loop, int fd, byte_stream_ready *on_ready, void *user,
	struct byte_stream **ret_stream, struct ramet_err *err)
{
	struct socket_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(err);
	s->base = (struct byte_stream){&socket_ops, on_ready, user};
	int rc = loop_watch_add(loop, &s->watch, fd, EPOLLIN, on_event, err);
	if (rc < 0) {
		free(s);
		return rc;
	}
	s->fd = fd;
	*ret_stream = &s->base;
	return 0;
}
