/* Listening, and strangers: connections that have not shown their token yet. They cost one small
 * struct each, are bounded in number and time, and whoever is not welcome is dropped with one line
 * in the log. */
#include "base/clock.h"
#include "base/fault.h"
#include "transport/addr.h"
#include "transport/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_EVENT 16
#define PAUSE_NS (100 * NSEC_PER_MSEC)
#define DROPS_LOGGED 20 /* lines per DROPS_PERIOD_NS and listener */
#define DROPS_PERIOD_NS (10 * NSEC_PER_SEC)

struct tcp_guest {
	struct tcp_listener *listener;
	struct list link;
	int fd;
	struct loop_watch watch;
	uint64_t since_ns;
	uint32_t got;
	unsigned char hello[GREETING_HELLO_SIZE];
	char peer[TRANSPORT_ADDR_MAX];
};

static void guest_free(struct tcp_guest *guest)
{
	loop_watch_remove(&guest->watch);
	close_reset(&guest->fd);
	list_remove(&guest->link);
	guest->listener->transport->base.strangers--;
	free(guest);
}

static void guest_drop(struct tcp_guest *guest, const char *why)
{
	if (log_limit(&guest->listener->drops, DROPS_LOGGED, DROPS_PERIOD_NS))
		log_warn("transport.dropped", "peer=%s listener=%s reason=\"%s\"", guest->peer,
			guest->listener->base.addr, why);
	guest_free(guest);
}

static int guest_reply(const struct tcp_guest *guest, int status)
{
	const struct transport_options *options = &guest->listener->transport->base.options;
	const struct greeting_welcome welcome = {
		.status = status,
		.depth = status == 0 ? options->queue_depth : 0,
		.timeout_ms = status == 0 ? options->peer_timeout_ms : 0,
	};
	unsigned char bytes[GREETING_WELCOME_SIZE];
	greeting_welcome_encode(&welcome, bytes);
	ssize_t n = send(guest->fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
	return n == sizeof(bytes) ? 0 : -1; /* the first bytes on a fresh socket: they fit */
}

/* what follows is for another */
static void guest_give_away(struct tcp_guest *guest, const struct transport_accept *accept)
{
	if (tcp_sock_patient(guest->fd) < 0 || guest_reply(guest, 0) < 0) {
		transport_accept_failed(&guest->listener->transport->base, accept);
		guest_drop(guest, "hung up before the welcome");
		return;
	}
	loop_watch_remove(&guest->watch);
	accept->on_stream(accept->user, steal_fd(&guest->fd), guest->peer);
	guest_free(guest);
}

/* a welcome guest becomes a connection; H */
static void guest_admit(struct tcp_guest *guest, const struct greeting_hello *hello,
	const struct transport_accept *accept)
{
	struct transport *t = &guest->listener->transport->base;
	struct tcp_conn *conn = fault_hit("transport.admit") ? NULL : tcp_conn_new();
	if (!conn) {
		transport_accept_failed(t, accept);
		guest_reply(guest, RAMET_ENOMEM);
		guest_drop(guest, "out of memory");
		return;
	}
	if (guest_reply(guest, 0) < 0) {
		transport_accept_failed(t, accept);
		tcp_conn_free(&conn->base);
		guest_drop(guest, "hung up before the welcome");
		return;
	}
	transport_conn_init(&conn->base, accept, guest->peer);
	loop_watch_remove(&guest->watch);
	conn->fd = steal_fd(&guest->fd);
	guest_free(guest);
	int rc = tcp_conn_start(conn, t->loop, MIN(hello->depth, t->options.queue_depth),
		MIN(hello->timeout_ms, t->options.peer_timeout_ms));
	if (rc < 0)
		tcp_conn_fail(conn, rc, "accept: %s", err_text(rc));
}

/* the whole hello is there; H */
static void guest_decide(struct tcp_guest *guest)
{
	struct greeting_hello hello;
	if (greeting_hello_parse(guest->hello, &hello) < 0) {
		guest_drop(guest, "a malformed hello");
		return;
	}
	struct transport_accept accept;
	if (transport_ask(&guest->listener->base, hello.token, hello.token_len, guest->peer,
		    &accept) < 0) {
		guest_reply(guest, RAMET_EPERM);
		guest_drop(guest, "its token was refused");
		return;
	}
	if (accept.on_stream)
		guest_give_away(guest, &accept);
	else
		guest_admit(guest, &hello, &accept);
}

static void guest_on_event(struct loop_watch *watch, uint32_t events)
{
	struct tcp_guest *guest = container_of(watch, struct tcp_guest, watch);
	struct transport *t = &guest->listener->transport->base;
	ssize_t n =
		recv(guest->fd, guest->hello + guest->got, sizeof(guest->hello) - guest->got, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		guest_drop(guest, "hung up before its hello");
		return;
	}
	guest->got += (uint32_t)n;
	int rc = greeting_hello_glance(guest->hello, guest->got);
	if (rc == RAMET_EVERSION) {
		guest_reply(guest, RAMET_EVERSION);
		guest_drop(guest, "it speaks another version");
	} else if (rc < 0) {
		guest_drop(guest, "it does not speak this protocol");
	} else if (guest->got == sizeof(guest->hello)) {
		guest_decide(guest);
		transport_dispatch(t);
	}
}

static void listener_admit(
	struct tcp_listener *listener, int fd, const struct sockaddr_storage *sa, socklen_t len)
{
	struct tcp_transport *tt = listener->transport;
	if (tt->base.strangers >= TCP_STRANGERS_MAX)
		guest_drop(list_entry(list_pop(&tt->guests), struct tcp_guest, link),
			"too many strangers");

	struct tcp_guest *guest = calloc(1, sizeof(*guest));
	if (!guest) {
		close(fd);
		return;
	}
	guest->listener = listener;
	guest->fd = fd;
	guest->since_ns = now_ns();
	addr_format(sa, len, guest->peer);
	list_append(&tt->guests, &guest->link);
	tt->base.strangers++;
	transport_tick_faster(&tt->base, tt->base.tick_ns);
	if (tcp_sock_tune(fd, tt->base.options.peer_timeout_ms) < 0 ||
		loop_watch_add(tt->base.loop, &guest->watch, fd, EPOLLIN, guest_on_event, NULL) < 0)
		guest_drop(guest, "no room for it");
}

static void listener_on_resume(struct loop_timer *timer)
{
	struct tcp_listener *listener = container_of(timer, struct tcp_listener, pause);
	loop_watch_mod(&listener->watch, EPOLLIN);
}

/* out of descriptors or memory: the listening socket stays readable, so look away for a while */
static void listener_pause(struct tcp_listener *listener)
{
	if (log_limit(&listener->drops, DROPS_LOGGED, DROPS_PERIOD_NS))
		log_warn("transport.accept", "listener=%s error=\"%s\"", listener->base.addr,
			strerrordesc_np(errno));
	loop_watch_mod(&listener->watch, 0);
	loop_timer_set(
		listener->watch.loop, &listener->pause, now_ns() + PAUSE_NS, listener_on_resume);
}

static void listener_on_event(struct loop_watch *watch, uint32_t events)
{
	struct tcp_listener *listener = container_of(watch, struct tcp_listener, watch);
	for (unsigned i = 0; i < ACCEPTS_PER_EVENT; i++) {
		struct sockaddr_storage sa = {0};
		socklen_t len = sizeof(sa);
		int fd = -1;
		errno = EMFILE;
		if (!fault_hit("transport.accept"))
			fd = accept4(listener->fd, (struct sockaddr *)&sa, &len,
				SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			listener_admit(listener, fd, &sa, len);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			listener_pause(listener);
		return; /* none left, or one that vanished */
	}
}

static int sock_listen(
	const char *addr, int *ret_fd, char bound[TRANSPORT_ADDR_MAX], struct ramet_err *err)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int rc = addr_parse(addr, &sa, &len, err);
	if (rc < 0)
		return rc;
	const int one = 1;
	auto_close int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, SOMAXCONN) < 0)
		return err_errno(
			err, errno == EADDRINUSE ? RAMET_EEXIST : RAMET_EIO, "listen on %s", addr);
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return err_errno(err, RAMET_EIO, "address bound for %s", addr);
	addr_format(&sa, len, bound);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int tcp_listen(struct transport *t, const char *addr, struct transport_listener **ret_listener,
	struct ramet_err *err)
{
	struct tcp_listener *listener = calloc(1, sizeof(*listener));
	if (!listener)
		return err_nomem(err);
	listener->transport = tcp_transport(t);
	listener->base.streams = true;
	listener->fd = -1;
	int rc = sock_listen(addr, &listener->fd, listener->base.addr, err);
	if (rc == 0)
		rc = loop_watch_add(
			t->loop, &listener->watch, listener->fd, EPOLLIN, listener_on_event, err);
	if (rc < 0) {
		close_reset(&listener->fd);
		free(listener);
		return rc;
	}
	*ret_listener = &listener->base;
	return 0;
}

void tcp_listener_close(struct transport_listener *base)
{
	struct tcp_listener *listener = container_of(base, struct tcp_listener, base);
	list_for_each_safe (guest, &listener->transport->guests, struct tcp_guest, link) {
		if (guest->listener == listener)
			guest_free(guest);
	}
	loop_timer_cancel(&listener->pause);
	loop_watch_remove(&listener->watch);
	close_reset(&listener->fd);
	free(listener);
}

void tcp_guests_tick(struct tcp_transport *tt, uint64_t now)
{
	uint64_t handshake_ns = tt->base.options.handshake_ms * NSEC_PER_MSEC;
	list_for_each_safe (guest, &tt->guests, struct tcp_guest, link) {
		if (now >= guest->since_ns + handshake_ns)
			guest_drop(guest, "no hello in time");
	}
}
