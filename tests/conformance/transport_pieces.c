/* Transport suite: streams that come and go in pieces, and what happens when a segment is removed
 * between two of them. Sockets are made to take and give little by fault points; providers without
 * streams pass undisturbed. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include <limits.h>
#include <string.h>

static void pieces(unsigned skip, unsigned count)
{
	pair_fault("transport.short_send", skip, count);
	pair_fault("transport.short_receive", skip, count);
}

static void post_everything(struct pair *p, unsigned i)
{
	struct client *c = &p->client;
	size_t len = 1 + (size_t)i * 977, at = (size_t)i * 65536;
	memcpy(c->memory + at, pattern(at), len);
	CHECK_INT(transport_write(c->conn, ref_at(p->server.write_ref, at), c->local,
			  c->memory + at, len, i),
		0);
	CHECK_INT(transport_read(c->conn, ref_at(p->server.read_ref, at), c->local,
			  c->memory + (4 << 20) + at, len, i),
		0);
	CHECK_INT(transport_send(c->conn, pattern(i), 1 + i * 60, i), 0);
	CHECK_INT(transport_write_imm(c->conn, (struct segment_ref){0}, NULL, NULL, 0, i, i), 0);
	CHECK_INT(
		transport_read(c->conn, (struct segment_ref){0}, c->local, c->memory, 1, 1000), 0);
}

/* all kinds of operations, cut at every place */
void test_streams_in_pieces(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	for (unsigned round = 0; round < 3; round++) {
		pieces(round * 7, UINT_MAX);
		for (unsigned i = 0; i < 60; i++)
			post_everything(&p, i);
		CHECK(client_wait(c, &c->done_count, (round + 1) * 300));
		CHECK(counter_wait(&p.server.messages, (round + 1) * 60));
		CHECK(counter_wait(&p.server.doorbells, (round + 1) * 60));
		pieces(0, 0);
		CHECK_INT(p.server.message_len, 1 + 59 * 60);
		CHECK(pattern_matches(p.server.message, 59, p.server.message_len));
		for (unsigned i = 0; i < 60; i++)
			CHECK(pattern_matches(
				c->memory + (4 << 20) + i * 65536, i * 65536, 1 + i * 977));
		memset(c->memory + (4 << 20), GUARD, 4 << 20);
	}
	for (unsigned i = 0; i < c->done_count; i++)
		CHECK_INT(c->done[i].status, c->done[i].cookie == 1000 ? RAMET_EACCESS : 0);
	pair_close(&p);
}

static void server_on_drained(void *user)
{
	struct server *s = user;
	memset(s->memory, 0xee, SERVER_BYTES); /* must not reach anybody */
	counter_add(&s->drained);
}

static void server_revoke(struct server *s)
{
	transport_segment_remove(s->readable, server_on_drained, s);
	transport_segment_remove(s->writable, NULL, NULL);
}

/* whatever part of an answer or a write is on its way: reads end with the old bytes or as REVOKED
 */
void test_segment_removed_between_pieces(void)
{
	for (unsigned round = 0; round < 5; round++) {
		struct pair p;
		if (!pair_open(&p, NULL))
			return;
		struct client *c = &p.client;
		pieces(0, UINT_MAX);
		for (unsigned i = 0; i < 8; i++) {
			CHECK_INT(transport_read(c->conn, ref_at(p.server.read_ref, i * 1000),
					  c->local, c->memory + i * 300000, 300000, i),
				0);
			CHECK_INT(transport_write(c->conn, ref_at(p.server.write_ref, 8 << 20),
					  c->local, c->memory + (8 << 20), 100000, 100 + i),
				0);
		}
		CHECK(client_wait(c, &c->done_count, 1 + 2 * round));
		server_call(&p.server, server_revoke);
		CHECK(pair_wait(&p, &p.server.drained, 1));
		CHECK(client_wait(c, &c->done_count, 16));
		pieces(0, 0);
		for (unsigned i = 0; i < 16; i++) {
			unsigned n = (unsigned)c->done[i].cookie;
			if (c->done[i].status != 0)
				CHECK_INT(c->done[i].status, RAMET_EREVOKED);
			else if (n < 100)
				CHECK(pattern_matches(c->memory + n * 300000, n * 1000, 300000));
		}
		CHECK_INT(client_read(c, p.server.read_ref, 0, 1), RAMET_EREVOKED);
		CHECK_INT(c->closed, 0);
		pair_close(&p);
	}
}

/* The socket takes no more in the middle of an answer: the memory is free all the same, and what
 * the reader gets of that answer is from before. */
void test_segment_removed_within_an_answer(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	pair_fault("transport.short_send", 0, UINT_MAX);
	for (unsigned i = 0; i < 16; i++)
		CHECK_INT(
			transport_read(c->conn, p.server.read_ref, c->local, c->memory, 8 << 20, i),
			0);
	CHECK(client_wait(c, &c->done_count, 1));
	server_call(&p.server, server_revoke); /* nearly always a frame is partly out now */
	CHECK(pair_wait(&p, &p.server.drained, 1));
	pair_fault("transport.short_send", 0, 0);
	unsigned revoked = 0;
	for (unsigned at = 1; at < 16; at++) {
		REQUIRE(client_wait(c, &c->done_count, at + 1));
		revoked += c->done[at].status == RAMET_EREVOKED;
		CHECK(c->done[at].status == 0 || c->done[at].status == RAMET_EREVOKED);
	}
	CHECK(revoked > 0 || !PROVIDER.processes); /* no socket holds 120 MiB */
	/* all of them read the same: no byte is from after the end */
	CHECK(pattern_matches(c->memory, 0, 8 << 20));
	CHECK_INT(c->closed, 0);
	pair_close(&p);
}

/* closing in the middle of pieces still drains, and still says goodbye */
void test_close_between_pieces(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	pieces(0, UINT_MAX);
	for (unsigned i = 0; i < 20; i++)
		CHECK_INT(transport_read(c->conn, p.server.read_ref, c->local, c->memory, 5000, i),
			0);
	transport_conn_close(c->conn);
	CHECK(client_wait(c, &c->closed, 1));
	pieces(0, 0);
	CHECK_INT(c->done_count, 20);
	for (unsigned i = 0; i < 20; i++)
		CHECK_INT(c->done[i].status, 0);
	CHECK(counter_wait(&p.server.closed, 1));
	CHECK_INT(p.server.closed_code, RAMET_ECLOSED);
	pair_close(&p);
}
