/* Pipe suite: streams that are closed, lost or never come about, in every state: who is told, and
 * that nothing is left. */
#include "tests/conformance/pipe_cases.h"
#include "tests/conformance/pipe_pair.h"

#include "base/clock.h"
#include "base/fault.h"
#include "transport/mem.h"

#include <string.h>

#define TURNS 12

static void turn(struct pipes *p, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		pipes_turn(p, pipes_deadline());
}

/* a ring full in each direction, as soon as there is somebody */
static void fill(struct pipes *p)
{
	if (p->client.stream)
		(void)pipe_side_send(&p->client, 0, PIPE_RING + 1);
	if (p->server.stream && pipe_error(p->server.stream)->code == 0)
		(void)pipe_side_send(&p->server, 0, PIPE_RING + 1);
}

static void close_after(unsigned turns, bool client, bool server, bool data)
{
	struct pipes p;
	if (!pipes_start(&p, NULL) || !pipes_connect(&p))
		return;
	for (unsigned i = 0; i < turns; i++) {
		if (data)
			fill(&p);
		pipes_turn(&p, pipes_deadline());
	}
	if (client)
		pipe_side_close(&p.client);
	if (server) {
		p.accept_and_close = true;
		pipe_side_close(&p.server);
	}
	if (client && !server) {
		PIPES_UNTIL(&p, p.server.stream || pipe_side_is_empty(&p.client));
		if (p.server.stream)
			pipe_side_close_ended(&p, &p.server);
	} else if (server && !client) {
		pipe_side_close_ended(&p, &p.client);
	}
	pipes_stop(&p);
}

void test_close_after_any_number_of_turns(void)
{
	for (unsigned turns = 0; turns <= TURNS; turns++) {
		for (unsigned data = 0; data < 2; data++) {
			close_after(turns, true, false, data);
			close_after(turns, false, true, data);
			close_after(turns, true, true, data);
		}
	}
}

/* receives, and closes itself when it has got so much */
static void receive_and_close(struct pipe_side *side)
{
	side->got += pipe_side_receive(side, side->got, 30000);
	if (side->got >= side->limit)
		pipe_side_close(side);
}

static void close_on_ready(size_t client, size_t server)
{
	struct pipes p;
	size_t there = 0, back = 0;
	if (!pipes_start(&p, NULL) || !pipes_connect(&p))
		return;
	p.client.also = p.server.also = receive_and_close;
	p.client.limit = client;
	p.server.limit = server;
	uint64_t deadline = pipes_deadline();
	while ((p.client.stream || !p.server.closed) && pipes_turn(&p, deadline)) {
		bool told = (p.client.stream && pipe_error(p.client.stream)->code != 0) ||
			(p.server.stream && pipe_error(p.server.stream)->code != 0);
		if (told)
			break;
		if (p.client.stream)
			there += pipe_side_send(&p.client, there, 50000);
		if (p.server.stream)
			back += pipe_side_send(&p.server, back, 50000);
	}
	CHECK(p.client.closed || p.server.closed);
	pipes_stop(&p);
}

void test_close_from_on_ready(void)
{
	close_on_ready(0, SIZE_MAX);
	close_on_ready(SIZE_MAX, 0);
	close_on_ready(0, 0);
	close_on_ready(1, SIZE_MAX);
	close_on_ready(SIZE_MAX, 1);
	close_on_ready(100000, 100000);
}

void test_close_within_accept(void)
{
	struct pipes p;
	if (!pipes_start(&p, NULL) || !pipes_connect(&p))
		return;
	p.accept_and_close = true;
	pipe_side_close_ended(&p, &p.client);
	CHECK_INT(p.server.ready, 0);
	pipes_stop(&p);
}

static void end_transport(struct pipe_side *side)
{
	transport_close(side->transport);
	side->transport = NULL;
}

/* it goes on after its handle has ended, until the peer has gone or its transport ends */
static void close_with_pieces_left(unsigned turns, bool transport, bool answered)
{
	struct pipes p;
	if (!pipes_open(&p, NULL))
		return;
	for (size_t i = 0; i < 200; i++)
		CHECK_INT(pipe_side_send(&p.client, i, 1), 1);
	if (answered)
		CHECK_INT(pipe_side_send(&p.server, 0, PIPE_RING), PIPE_RING);
	pipe_side_close(&p.client);
	turn(&p, turns);
	if (transport) {
		end_transport(&p.client);
		pipe_side_close_ended(&p, &p.server);
	}
	pipes_stop(&p);
}

void test_close_with_pieces_left(void)
{
	for (unsigned turns = 0; turns < 4; turns++) {
		close_with_pieces_left(turns, false, false);
		close_with_pieces_left(turns, true, false);
		close_with_pieces_left(turns, false, true);
		close_with_pieces_left(turns, true, true);
	}
}

/* the streams outlive their transport, or do not */
static void transport_close_after(unsigned turns, bool server, bool stream_first)
{
	struct pipes p;
	if (!pipes_start(&p, NULL) || !pipes_connect(&p))
		return;
	turn(&p, turns);
	fill(&p);
	struct pipe_side *side = server ? &p.server : &p.client;
	struct pipe_side *other = server ? &p.client : &p.server;
	if (stream_first)
		pipe_side_close(side);
	end_transport(side);
	if (side->stream) {
		CHECK(side->ready > 0);
		int code = pipe_error(side->stream)->code;
		CHECK(code == RAMET_ECLOSED || code == RAMET_EPEER); /* or the other side did */
		CHECK_INT(pipe_side_end(side) < 0 ? RAMET_EPEER : 0,
			pipe_side_receive(side, 0, 1) ? 0 : RAMET_EPEER);
	}
	pipe_side_close(side);
	PIPES_UNTIL(&p,
		server ? pipe_error(p.client.stream)->code != 0
		       : !other->stream || pipe_error(other->stream)->code != 0);
	pipes_stop(&p);
}

void test_transport_close(void)
{
	for (unsigned turns = 0; turns <= TURNS; turns++) {
		transport_close_after(turns, false, true);
		transport_close_after(turns, true, true);
	}
}

void test_transport_close_before_the_stream(void)
{
	for (unsigned turns = 0; turns <= TURNS; turns++) {
		transport_close_after(turns, false, false);
		transport_close_after(turns, true, false);
	}
}

/* it has told once, and says why */
static void check_not_opened(struct pipes *p, int code)
{
	const struct iovec byte = {(void *)"x", 1};
	PIPES_UNTIL(p, p->client.ready > 0);
	turn(p, 5);
	CHECK_INT(p->client.ready, 1);
	CHECK(!pipe_is_open(p->client.stream));
	CHECK_INT(pipe_error(p->client.stream)->code, code);
	CHECK(pipe_error(p->client.stream)->msg[0] != '\0');
	CHECK_INT(pipe_side_end(&p->client), RAMET_EPEER);
	CHECK_INT(byte_stream_send(p->client.stream, &byte, 1), RAMET_EPEER);
}

void test_nobody_listens(void)
{
	struct pipes p;
	struct ramet_err err = {0};
	if (!pipes_start(&p, NULL))
		return;
	REQUIRE_OK(pipes_connect_to(&p, PROVIDER.nobody, NULL, 0, &err), &err);
	CHECK_INT(pipe_side_send(&p.client, 0, 100), 100);
	check_not_opened(&p, RAMET_EPEER);
	pipes_stop(&p);
}

void test_token_is_refused(void)
{
	struct pipes p;
	struct ramet_err err = {0};
	if (!pipes_start(&p, NULL))
		return;
	const char *addr = transport_listener_addr(p.listener);
	REQUIRE_OK(pipes_connect_to(&p, addr, "let me out", 10, &err), &err);
	check_not_opened(&p, RAMET_EPERM);
	CHECK(!p.server.stream);
	pipes_stop(&p);
}

void test_address_is_none(void)
{
	static const char token[TRANSPORT_TOKEN_MAX + 1];
	char addr[2 * TRANSPORT_ADDR_MAX];
	struct pipes p;
	struct ramet_err err = {0};
	if (!pipes_start(&p, NULL))
		return;
	memset(addr, 'x', sizeof(addr) - 1);
	addr[sizeof(addr) - 1] = '\0';
	CHECK_INT(pipes_connect_to(&p, addr, NULL, 0, &err), RAMET_EINVAL);
	CHECK_INT(pipes_connect_to(&p, PROVIDER.nobody, token, sizeof(token), &err), RAMET_EINVAL);
	CHECK(!p.client.stream);
	PIPES_UNTIL(&p, pipe_side_is_empty(&p.client));
	pipes_connect_to(&p, addr, NULL, 0, &err); /* and with its end still under way: */
	CHECK_INT(p.client.ready, 0);
	pipes_stop(&p);
}

/* it was let in, and becomes no connection */
static void accept_fails(bool closed)
{
	struct pipes p;
	if (!pipes_start(&p, NULL) || !pipes_connect(&p))
		return;
	p.accept_and_close = closed;
	fault_set("transport.admit", 0, 1);
	PIPES_UNTIL(&p, closed ? p.server.closed : p.server.ready > 0);
	if (!closed) {
		CHECK(!pipe_is_open(p.server.stream));
		CHECK_INT(pipe_error(p.server.stream)->code, RAMET_EPEER);
		CHECK_INT(pipe_side_end(&p.server), RAMET_EPEER);
	}
	pipe_side_close_ended(&p, &p.client);
	turn(&p, 5);
	CHECK_INT(p.server.ready, !closed);
	fault_set("transport.admit", 0, 0);
	pipes_stop(&p);
}

void test_accept_fails(void)
{
#ifdef RAMET_FAULT_POINTS
	accept_fails(false);
	accept_fails(true);
#else
	suite_skip("built without fault points");
	(void)accept_fails;
#endif
}

/* by a listener whose transport is another than its domain's */
void test_accept_astray(void)
{
	struct pipes p;
	if (!pipes_start(&p, NULL) || !pipes_connect(&p))
		return;
	p.accept_astray = true;
	PIPES_UNTIL(&p, p.server.ready > 0);
	CHECK_INT(pipe_error(p.server.stream)->code, RAMET_EPEER);
	check_not_opened(&p, RAMET_EPERM);
	CHECK_INT(p.server.ready, 1);
	pipes_stop(&p);
}

/* The server falls silent: mem is told to, elsewhere its loop does not turn any more. What had come
 * from it is received. */
void test_death(void)
{
	struct pipes p;
	size_t got = 0;
	if (!pipes_open(&p, &(struct transport_options){.peer_timeout_ms = 700}))
		return;
	CHECK_INT(pipe_side_send(&p.server, 0, 5000), 5000);
	unsigned ready = p.client.ready;
	PIPES_UNTIL(&p, p.client.ready > ready);
	if (!PROVIDER.processes)
		transport_mem_stop(p.server.transport);
	(void)pipe_side_send(&p.client, 0, PIPE_RING);
	byte_stream_shut(p.client.stream);
	uint64_t deadline = pipes_deadline();
	while (pipe_error(p.client.stream)->code == 0 && now_ns() < deadline)
		(void)loop_turn(p.client.loop, NSEC_PER_SEC / 10, NULL);
	CHECK_INT(pipe_error(p.client.stream)->code, RAMET_EPEER);
	while (got < 5000 && now_ns() < deadline)
		got += pipe_side_receive(&p.client, got, 1000);
	CHECK_INT(pipe_side_end(&p.client), RAMET_EPEER);
	pipes_stop(&p);
}
