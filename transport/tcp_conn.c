/* A `tcp` connection's life: connecting and the greeting, frames, heartbeats, close and death. */
#include "base/clock.h"
#include "transport/addr.h"
#include "transport/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void conn_on_event(struct loop_watch *watch, uint32_t events);

struct tcp_conn *tcp_conn_new(void)
{
	struct tcp_conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	conn->fd = -1;
	list_init(&conn->dirty);
	conn->pulse.since_ns = now_ns();
	return conn;
}

void tcp_conn_free(struct transport_conn *base)
{
	struct tcp_conn *conn = tcp_conn(base);
	loop_watch_remove(&conn->watch);
	close_reset(&conn->fd);
	list_remove(&conn->dirty);
	tcp_tx_fini(&conn->tx);
	tcp_rx_fini(&conn->rx);
	free(conn);
}

static int conn_watch(struct tcp_conn *conn, struct loop *loop, uint32_t events)
{
	if (conn->watch.loop)
		return conn->events == events ? 0
					      : loop_watch_mod(&conn->watch, conn->events = events);
	conn->events = events;
	return loop_watch_add(loop, &conn->watch, conn->fd, events, conn_on_event, NULL);
}

int tcp_conn_start(struct tcp_conn *conn, struct loop *loop, unsigned depth, unsigned timeout_ms)
{
	if (tcp_tx_init(&conn->tx, depth) < 0 || tcp_rx_init(&conn->rx) < 0)
		return RAMET_ENOMEM;
	int rc = conn_watch(conn, loop, EPOLLIN);
	if (rc < 0)
		return rc;
	conn->phase = TCP_FRAMES;
	pulse_agree(&conn->pulse, timeout_ms);
	pulse_open(&conn->pulse, conn->base.transport);
	return transport_conn_opened(&conn->base, depth);
}

void tcp_conn_fail(struct tcp_conn *conn, int code, const char *fmt, ...)
{
	if (conn->phase == TCP_ENDED)
		return;
	conn->phase = TCP_ENDED;
	loop_watch_remove(&conn->watch);
	close_reset(&conn->fd);
	list_remove(&conn->dirty);
	while (conn->tx.done != conn->tx.posted)
		tcp_tx_complete(conn, code);

	va_list ap;
	va_start(ap, fmt);
	transport_conn_failed(&conn->base, code, fmt, ap);
	va_end(ap);
}

/* Connecting */

static int sock_connect(const char *addr, int *ret_fd, int *ret_errno, struct ramet_err *err)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int rc = addr_parse(addr, &sa, &len, err);
	if (rc < 0)
		return rc;
	auto_close int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "socket to connect to %s", addr);
	if (connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		*ret_errno = errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int tcp_connect(struct transport_domain *domain, const char *addr, const void *token,
	size_t token_len, struct transport_conn **ret_conn, struct ramet_err *err)
{
	struct transport *t = domain->transport;
	struct greeting_hello hello;
	greeting_hello_fill(&hello, &t->options, token, token_len);
	struct tcp_conn *conn = tcp_conn_new();
	if (!conn)
		return err_nomem(err);
	int rc = sock_connect(addr, &conn->fd, &conn->connect_errno, err);
	if (rc == 0 && conn->connect_errno == 0)
		rc = loop_watch_add(t->loop, &conn->watch, conn->fd, EPOLLOUT, conn_on_event, err);
	if (rc < 0) {
		tcp_conn_free(&conn->base);
		return rc;
	}
	greeting_hello_encode(&hello, conn->greeting);
	if (conn->connect_errno)
		list_append(&tcp_transport(t)->dirty, &conn->dirty);
	*ret_conn = &conn->base;
	return 0;
}

/* the socket is connected, or is not: say hello */
static void conn_greet(struct tcp_conn *conn)
{
	int error = conn->connect_errno;
	socklen_t len = sizeof(error);
	if (!error)
		getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (!error &&
		(tcp_sock_tune(conn->fd, conn->base.transport->options.peer_timeout_ms) < 0 ||
			send(conn->fd, conn->greeting, GREETING_HELLO_SIZE, MSG_NOSIGNAL) !=
				GREETING_HELLO_SIZE))
		error = errno;
	if (error)
		tcp_conn_fail(conn, RAMET_EPEER, "connect: %s", strerrordesc_np(error));
	else if (conn_watch(conn, conn->base.transport->loop, EPOLLIN) < 0)
		tcp_conn_fail(conn, RAMET_EIO, "connect: epoll");
	else
		conn->phase = TCP_AWAIT_WELCOME;
}

/* the answer to our hello, whole */
static void conn_welcomed(struct tcp_conn *conn)
{
	struct transport *t = conn->base.transport;
	struct greeting_welcome welcome;
	int rc = greeting_welcome_parse(conn->greeting, &welcome);
	if (rc == 0)
		rc = welcome.status;
	if (rc == 0)
		rc = tcp_conn_start(conn, t->loop, MIN(welcome.depth, t->options.queue_depth),
			MIN(welcome.timeout_ms, t->options.peer_timeout_ms));
	if (rc == RAMET_EPERM)
		tcp_conn_fail(conn, rc, "the peer refused our token");
	else if (rc == RAMET_EVERSION)
		tcp_conn_fail(
			conn, rc, "the peer speaks another version than %u", GREETING_VERSION);
	else if (rc < 0)
		tcp_conn_fail(conn, rc, "handshake: %s", err_text(rc));
}

static void conn_receive_welcome(struct tcp_conn *conn)
{
	ssize_t n = recv(conn->fd, conn->greeting + conn->greeting_len,
		GREETING_WELCOME_SIZE - conn->greeting_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		tcp_conn_fail(conn, RAMET_EPEER, "handshake: %s",
			n == 0 ? "the peer hung up" : strerrordesc_np(errno));
		return;
	}
	conn->greeting_len += (uint32_t)n;
	if (conn->greeting_len == GREETING_WELCOME_SIZE)
		conn_welcomed(conn);
}

/* Frames */

void tcp_conn_mark(struct tcp_conn *conn)
{
	if (conn->phase == TCP_ENDED || !list_empty(&conn->dirty))
		return;
	list_append(&tcp_transport(conn->base.transport)->dirty, &conn->dirty);
	transport_kick(conn->base.transport);
}

void tcp_conn_flush(struct tcp_conn *conn)
{
	struct tcp_tx *tx = &conn->tx;
	list_remove(&conn->dirty);
	if (conn->connect_errno) {
		conn_greet(conn);
		return;
	}
	if (conn->phase != TCP_FRAMES)
		return;
	if (conn->base.state == CONN_CLOSING && tx->done == tx->posted && !tx->bye_queued) {
		tx->cursor.bye = true;
		tx->bye_queued = true;
	}
	bool more;
	if (tcp_tx_send(conn, &more) < 0) {
		tcp_conn_fail(conn, RAMET_EPEER, "send: %s", strerrordesc_np(errno));
		return;
	}
	if (tx->bye_queued && !more)
		shutdown(conn->fd, SHUT_WR); /* then wait until the peer has hung up, too */
	if (conn_watch(conn, NULL, more ? EPOLLIN | EPOLLOUT : EPOLLIN) < 0)
		tcp_conn_fail(conn, RAMET_EIO, "epoll");
}

void tcp_conn_receive(struct tcp_conn *conn)
{
	const char *why = "";
	int rc = tcp_rx_receive(conn, &why);
	if (rc < 0)
		tcp_conn_fail(conn, rc, "%s", why);
	else if (conn->tx.cursor.answer != conn->tx.answers_end)
		tcp_conn_flush(conn); /* answers need not wait for the end of the turn */
}

static void conn_on_event(struct loop_watch *watch, uint32_t events)
{
	struct tcp_conn *conn = container_of(watch, struct tcp_conn, watch);
	struct transport *t = conn->base.transport;
	switch (conn->phase) {
	case TCP_CONNECT:
		conn_greet(conn);
		break;
	case TCP_AWAIT_WELCOME:
		conn_receive_welcome(conn);
		break;
	case TCP_FRAMES:
		if (events & ~(uint32_t)EPOLLOUT)
			tcp_conn_receive(conn);
		if ((events & EPOLLOUT) && conn->phase == TCP_FRAMES)
			tcp_conn_flush(conn);
		break;
	case TCP_ENDED:
		break;
	}
	transport_dispatch(t);
}

/* Ends and time */

void tcp_conn_close(struct transport_conn *base)
{
	struct tcp_conn *conn = tcp_conn(base);
	conn->pulse.since_ns = now_ns();
	if (conn->phase == TCP_FRAMES)
		tcp_conn_mark(conn);
	else
		tcp_conn_fail(conn, RAMET_ECLOSED, "closed while connecting");
}

void tcp_conn_abort(struct transport_conn *base)
{
	struct tcp_conn *conn = tcp_conn(base);
	if (conn->phase == TCP_FRAMES && conn->tx.part_sent == 0) {
		/* the peer learns that this is no crash, if the socket takes it */
		unsigned char bye[TCP_HEADER_SIZE];
		tcp_frame_encode(&(struct tcp_frame){.op = TCP_BYE}, bye);
		(void)!send(conn->fd, bye, sizeof(bye), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	tcp_conn_fail(conn, RAMET_ECLOSED, "the transport was closed");
}

void tcp_conn_tick(struct tcp_conn *conn, uint64_t now)
{
	struct ramet_err err = {0};
	pulse_excuse(&conn->pulse, conn->base.transport->stood_ns, now);
	if (conn->phase == TCP_FRAMES && pulse_silent(&conn->pulse, now))
		tcp_conn_receive(conn);
	if (conn->phase == TCP_FRAMES && pulse_silent(&conn->pulse, now))
		pulse_answered(&conn->pulse, tcp_sock_answered_ns(conn->fd, now));
	if (conn->phase == TCP_ENDED)
		return;
	int rc = pulse_check(&conn->pulse, &conn->base, conn->phase == TCP_FRAMES, now, &err);
	if (rc < 0) {
		tcp_conn_fail(conn, rc, "%s", err.msg);
	} else if (conn->phase == TCP_FRAMES && pulse_due(&conn->pulse, now) &&
		!conn->tx.bye_queued) {
		conn->tx.cursor.ping = true;
		tcp_conn_mark(conn);
	}
}
