#include "tests/slots/far_pair.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEER_TIMEOUT_MS 300
#define HOPS 8 /* turns in which what is said over a pipe gets to the other side */

static void on_gone(void *user)
{
	((struct far_pair *)user)->gone++;
}

static void on_broken(void *user)
{
	((struct far_pair *)user)->broken++;
}

static void on_cancel(void *user, unsigned slot, uint32_t generation)
{
	struct far_pair *p = user;
	p->cancels++;
	p->cancelled_slot = slot;
	(void)slots_cancel(&p->memory.keeper, slot, generation);
}

static const struct lease_stream_handler handler = {
	.on_gone = on_gone, .on_broken = on_broken, .on_cancel = on_cancel};

static int open_client(struct far_pair *p, struct ramet_err *err)
{
	p->epoll_fds[0] = epoll_create1(EPOLL_CLOEXEC);
	p->epoll_fds[1] = epoll_create1(EPOLL_CLOEXEC);
	int rc = slots_create(false, &p->client.slots, err);
	if (rc == 0)
		rc = lease_far_open(&p->client.slots, p->client_fd, &p->far, err);
	if (rc == 0) {
		p->client_fd = -1;
		rc = lease_far_watch(p->far, p->epoll_fds);
	}
	return rc;
}

static int open_node(struct far_pair *p, struct ramet_err *err)
{
	uint8_t token[SEGMENTS_TOKEN_BYTES];
	const int fds[] = {p->memory.keeper.fd, p->wake_fd, p->event_fd};
	int rc = lease_stream_create(&p->segments, p->loop, fds, p->segments.transport != NULL,
		&handler, p, token, &p->stream, err);
	if (rc == 0 && !p->segments.transport)
		p->segments.on_stream(p->segments.user, steal_fd(&p->node_fd), "test");
	return rc;
}

/* --- a pipe between the two --- */

static int on_accept(void *user, const void *token, size_t token_len, const char *peer,
	struct transport_accept *ret)
{
	const struct far_pair *p = user;
	(void)token;
	(void)token_len;
	(void)peer;
	return p->segments.on_pipe(p->segments.user, p->node_transport, ret);
}

static void on_relayed(void *user, int fd, const struct ramet_err *err)
{
	struct far_pair *p = user;
	if (fd < 0)
		printf("  no relay: %s\n", err->msg);
	p->client_fd = fd;
}

static void on_lost(void *user, const struct ramet_err *err)
{
	struct far_pair *p = user;
	(void)err;
	p->lost++;
}

static const struct lease_relay_handler relay_handler = {
	.on_opened = on_relayed, .on_lost = on_lost};

/* as on two nodes */
static int open_transports(struct far_pair *p, struct ramet_err *err)
{
	const struct transport_options options = {.peer_timeout_ms = PEER_TIMEOUT_MS};
	int rc = transport_open("mem", p->loop, &options, &p->segments.transport, err);
	if (rc == 0)
		rc = transport_open("mem", p->loop, &options, &p->node_transport, err);
	if (rc == 0)
		rc = transport_listen(
			p->node_transport, "mem:far", on_accept, p, &p->listener, err);
	return rc;
}

/* the client's socket is the relay's */
static int open_relay(struct far_pair *p, struct ramet_err *err)
{
	static const uint8_t token[SEGMENTS_TOKEN_BYTES];
	int rc = lease_relay_open(&p->segments, p->loop, "mem", "mem:far", token, sizeof(token),
		&relay_handler, p, &p->relay, err);
	p->client_fd = -1;
	for (unsigned i = 0; rc == 0 && p->client_fd < 0 && i < 1000; i++)
		rc = loop_turn(p->loop, 0, err);
	return rc == 0 && p->client_fd < 0 ? err_set(err, RAMET_ETIMEOUT, "no relay") : rc;
}

static int open_sockets(struct far_pair *p, int buffer)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return RAMET_EIO;
	p->client_fd = fds[0];
	p->node_fd = fds[1];
	for (unsigned i = 0; i < 2 && buffer > 0; i++)
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	return 0;
}

bool far_pair_open(struct far_pair *p, enum far_sides sides, int buffer)
{
	struct ramet_err err = {0};
	bool pipe = FAR_PIPE && sides & FAR_NODE;
	memset(p, 0, sizeof(*p));
	p->client_fd = p->node_fd = -1;
	p->wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->epoll_fds[0] = p->epoll_fds[1] = -1;
	int rc = lease_memory_open(&p->memory) ? 0 : RAMET_EIO;
	if (rc == 0)
		rc = loop_create(&p->loop, &err);
	p->segments.loop = p->loop;
	if (rc == 0)
		rc = pipe ? open_transports(p, &err) : open_sockets(p, buffer);
	if (rc == 0 && sides & FAR_NODE)
		rc = open_node(p, &err);
	if (rc == 0 && pipe)
		rc = open_relay(p, &err);
	if (rc == 0 && sides & FAR_CLIENT)
		rc = open_client(p, &err);
	if (rc < 0)
		printf("  no pair: %s\n", err.msg);
	return rc == 0;
}

void far_pair_end(struct far_pair *p, bool linger)
{
	lease_stream_end(steal_ptr(&p->stream), linger);
}

void far_pair_close(struct far_pair *p)
{
	far_pair_end(p, false);
	lease_relay_end(p->relay);
	(void)loop_turn(p->loop, 0, NULL);
	lease_far_close(p->far);
	slots_close(&p->client.slots);
	lease_memory_close(&p->memory);
	transport_listener_close(p->listener);
	transport_close(p->node_transport);
	transport_close(p->segments.transport);
	loop_destroy(p->loop);
	close_reset(&p->client_fd);
	close_reset(&p->node_fd);
	close_reset(&p->wake_fd);
	close_reset(&p->event_fd);
	close_reset(&p->epoll_fds[0]);
	close_reset(&p->epoll_fds[1]);
}

static int turn(struct far_pair *p)
{
	if (loop_turn(p->loop, 0, NULL) < 0)
		return RAMET_EIO;
	return p->far ? lease_far_receive(p->far) : 0;
}

int far_pair_turn(struct far_pair *p)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < (FAR_PIPE ? HOPS : 1); i++)
		rc = turn(p);
	return rc;
}

int far_pair_submit(struct far_pair *p, const void *data, size_t len)
{
	const struct slots_request request = {
		.data = data, .len = len, .size = 1, .number = ++p->number};
	unsigned slot = 0;
	bool wake = false;
	int rc = slots_submit(&p->client, &request, &slot, &wake);
	if (rc < 0)
		return rc;
	if (wake)
		lease_far_send(p->far);
	return (int)slot;
}
