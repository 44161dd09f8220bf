/* See pipe_pair.h. */
#include "tests/conformance/pipe_pair.h"

#include "base/clock.h"
#include "transport/provider.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD 1000003u /* prime: no ring is a multiple of it */
#define IDLE_MS 5

static void on_ready(void *user)
{
	struct pipe_side *side = user;
	CHECK(!side->closed);
	side->ready++;
	if (side->also)
		side->also(side);
}

static int on_accept(void *user, const void *token, size_t token_len, const char *peer,
	struct transport_accept *ret)
{
	struct pipes *p = user;
	struct ramet_err err = {0};
	struct pipe_side *side = p->accepting ? p->accepting : &p->server;
	struct transport *at = p->accept_astray ? p->client.transport : p->server.transport;
	(void)peer;
	if (token_len != strlen(PIPES_TOKEN) || memcmp(token, PIPES_TOKEN, token_len) != 0)
		return RAMET_EPERM;
	int rc = pipe_accept(at, on_ready, side, ret, &side->stream, &err);
	if (rc == 0 && p->accept_and_close)
		pipe_side_close(side);
	return rc;
}

static bool side_start(struct pipe_side *side, const struct transport_options *options)
{
	struct ramet_err err = {0};
	int rc = loop_create(&side->loop, &err);
	if (rc == 0)
		rc = transport_open(PROVIDER.name, side->loop, options, &side->transport, &err);
	return suite_check_ok(rc, &err, "side_start", __FILE__, __LINE__) &&
		CHECK(loop_fd(side->loop) >= 0);
}

bool pipes_start(struct pipes *p, const struct transport_options *options)
{
	struct ramet_err err = {0};
	unsigned fds = suite_count_fds();
	const struct transport_options filled = provider_options(options);
	memset(p, 0, sizeof(*p));
	p->fds = fds;
	if (!side_start(&p->client, &filled) || !side_start(&p->server, &filled))
		return false;
	int rc = transport_listen(
		p->server.transport, PROVIDER.addr, on_accept, p, &p->listener, &err);
	return suite_check_ok(rc, &err, "listen", __FILE__, __LINE__);
}

void pipes_stop(struct pipes *p)
{
	pipe_side_close(&p->client);
	pipe_side_close(&p->server);
	p->accept_and_close = true; /* those that are under way */
	PIPES_UNTIL(p, pipe_side_is_empty(&p->client) && pipe_side_is_empty(&p->server));
	transport_close(p->client.transport);
	transport_close(p->server.transport);
	loop_destroy(p->client.loop);
	loop_destroy(p->server.loop);
	CHECK_INT(suite_count_fds(), p->fds);
}

int pipes_connect_to(
	struct pipes *p, const char *addr, const void *token, size_t len, struct ramet_err *err)
{
	return pipe_connect(p->client.transport, addr, token, len, on_ready, &p->client,
		&p->client.stream, err);
}

bool pipes_connect(struct pipes *p)
{
	struct ramet_err err = {0};
	int rc = pipes_connect_to(
		p, transport_listener_addr(p->listener), PIPES_TOKEN, strlen(PIPES_TOKEN), &err);
	return suite_check_ok(rc, &err, "pipe_connect", __FILE__, __LINE__);
}

static bool both_open(const struct pipes *p)
{
	return p->client.stream && p->server.stream && pipe_is_open(p->client.stream) &&
		pipe_is_open(p->server.stream);
}

bool pipes_open(struct pipes *p, const struct transport_options *options)
{
	if (!pipes_start(p, options) || !pipes_connect(p))
		return false;
	PIPES_UNTIL(p, both_open(p));
	return both_open(p);
}

void pipe_side_close(struct pipe_side *side)
{
	if (!side->stream)
		return;
	byte_stream_close(side->stream);
	side->stream = NULL;
	side->closed = true;
}

bool pipe_side_is_empty(const struct pipe_side *side)
{
	const struct transport *t = side->transport;
	return !t || (list_empty(&t->conns) && list_empty(&t->segments) && list_empty(&t->domains));
}

void pipe_side_close_ended(struct pipes *p, struct pipe_side *side)
{
	PIPES_UNTIL(p, pipe_error(side->stream)->code != 0);
	pipe_side_close(side);
}

uint64_t pipes_deadline(void)
{
	return now_ns() + suite_patience(WAIT_NS);
}

bool pipes_turn(struct pipes *p, uint64_t deadline_ns)
{
	struct ramet_err err = {0};
	struct pollfd due[] = {{.fd = loop_fd(p->client.loop), .events = POLLIN},
		{.fd = loop_fd(p->server.loop), .events = POLLIN}};
	(void)poll(due, 2, IDLE_MS);
	if (!suite_check_ok(loop_turn(p->client.loop, 0, &err), &err, "turn", __FILE__, __LINE__) ||
		!suite_check_ok(
			loop_turn(p->server.loop, 0, &err), &err, "turn", __FILE__, __LINE__))
		return false;
	return now_ns() < deadline_ns;
}

const unsigned char *pipes_bytes(size_t position, size_t len)
{
	static unsigned char bytes[PERIOD + PIPES_CHUNK_MAX];
	static bool filled;
	for (size_t i = 0; !filled && i < sizeof(bytes); i++)
		bytes[i] = i < PERIOD ? (unsigned char)(suite_random() >> 32) : bytes[i - PERIOD];
	filled = true;
	CHECK(len <= PIPES_CHUNK_MAX);
	return bytes + position % PERIOD;
}

size_t pipe_side_send(struct pipe_side *side, size_t position, size_t len)
{
	/* in three pieces, of which the middle one may be empty */
	unsigned char *bytes = (unsigned char *)(uintptr_t)pipes_bytes(position, len);
	size_t a = len / 3, b = len > 100 ? len / 2 : a;
	const struct iovec iov[] = {{bytes, a}, {bytes + a, b - a}, {bytes + b, len - b}};
	ssize_t n = byte_stream_send(side->stream, iov, 3);
	CHECK(n >= 0 && (size_t)n <= len);
	return n < 0 ? 0 : (size_t)n;
}

size_t pipe_side_receive(struct pipe_side *side, size_t position, size_t len)
{
	static unsigned char to[PIPES_CHUNK_MAX];
	ssize_t n = byte_stream_receive(side->stream, to, MIN(len, sizeof(to)));
	if (n <= 0)
		return 0;
	CHECK(memcmp(to, pipes_bytes(position, (size_t)n), (size_t)n) == 0);
	return (size_t)n;
}

int pipe_side_end(struct pipe_side *side)
{
	unsigned char byte;
	return (int)byte_stream_receive(side->stream, &byte, 1);
}

void pipes_send_all(struct pipes *p, struct pipe_side *from, size_t len)
{
	size_t sent = 0;
	PIPES_UNTIL(
		p, (sent += pipe_side_send(from, sent, MIN(len - sent, PIPES_CHUNK_MAX))) == len);
}

void pipes_carry(struct pipes *p, struct pipe_side *from, struct pipe_side *to, size_t len)
{
	size_t sent = 0, got = 0;
	uint64_t deadline = pipes_deadline();
	do {
		if (sent < len)
			sent += pipe_side_send(from, sent, MIN(len - sent, PIPES_CHUNK_MAX));
		got += pipe_side_receive(to, got, PIPES_CHUNK_MAX);
	} while (got < len && pipes_turn(p, deadline));
	CHECK_INT(got, len);
}
