/* Transport suite: bytes arrive whole, in order, and nowhere else. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include "base/clock.h"

#include <string.h>

static const size_t sizes[] = {1, 2, 3, 7, 8, 63, 64, 65, 511, 4095, 4096, 4097, 16384, 65495,
	65496, 65535, 65536, 65537, 262143, 262144, 262145, 1048579, 8388608};
static const size_t offsets[] = {0, 1, 2, 7, 8, 31, 32, 33, 63};

/* the bytes before and after the destination are as they were */
static int guards_hold(const unsigned char *dst, size_t len)
{
	for (size_t i = 1; i <= 64; i++) {
		if (dst[-(ptrdiff_t)i] != GUARD || dst[len + i - 1] != GUARD)
			return 0;
	}
	return 1;
}

void test_reads_of_every_size_and_alignment(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (size_t o = 0; o < ARRAY_LEN(offsets); o++) {
			size_t len = sizes[s], from = offsets[o], to = 64 + (from * 5) % 64;
			if (len > 1u << 20 && o % 4)
				continue;
			CHECK_INT(client_read(c, ref_at(p.server.read_ref, from), to, len), 0);
			CHECK(pattern_matches(c->memory + to, from, len));
			CHECK(guards_hold(c->memory + to, len));
			memset(c->memory + to, GUARD, len);
		}
	}
	pair_close(&p);
}

static void server_wipe(struct server *s)
{
	memset(s->memory, GUARD, SERVER_BYTES);
}

void test_writes_of_every_size_and_alignment(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	memcpy(c->memory, pattern(0), CLIENT_BYTES);
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (size_t o = 0; o < ARRAY_LEN(offsets); o += 2) {
			size_t len = sizes[s], from = offsets[o], to = 64 + (from * 3) % 64;
			if (len > 1u << 20 && o % 4)
				continue;
			server_call(&p.server, server_wipe);
			CHECK_INT(client_write(c, ref_at(p.server.write_ref, to), from, len), 0);
			const unsigned char *seen =
				server_memory(&p.server, to - 64, len + 128) + 64;
			CHECK(pattern_matches(seen, from, len));
			CHECK(guards_hold(seen, len));
		}
	}
	pair_close(&p);
}

void test_a_thousand_reads_in_flight(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	for (size_t i = 0; i < 1000; i++) {
		struct segment_ref ref = ref_at(p.server.read_ref, (999 - i) * 4096 + i % 64);
		CHECK_INT(transport_read(c->conn, ref, c->local, c->memory + i * 4096, 4096, i), 0);
	}
	CHECK_INT(transport_conn_inflight(c->conn), 1000);
	CHECK(client_wait(c, &c->done_count, 1000));
	static unsigned char seen[1000];
	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < 1000; i++) {
		const struct transport_completion *done = &c->done[i];
		CHECK_INT(done->status, 0);
		CHECK_INT(done->len, 4096);
		CHECK_INT(done->op, TRANSPORT_READ);
		CHECK_INT(seen[done->cookie]++, 0);
		CHECK(pattern_matches(c->memory + done->cookie * 4096,
			(999 - done->cookie) * 4096 + done->cookie % 64, 4096));
	}
	CHECK_INT(c->done_count, 1000);
	CHECK_INT(transport_conn_inflight(c->conn), 0);
	pair_close(&p);
}

/* a read is complete for one who only spins, and never sleeps in the loop */
void test_poll_right_after_post(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	for (size_t i = 0; i < 100; i++) {
		CHECK_INT(transport_read(c->conn, ref_at(p.server.read_ref, i), c->local, c->memory,
				  4096, i),
			0);
		CHECK_INT(c->done_count, i); /* never from within the post */
		uint64_t deadline = now_ns() + WAIT_NS;
		while (c->done_count == i && now_ns() < deadline)
			transport_poll(c->transport);
		CHECK_INT(c->done[i].status, 0);
		CHECK(pattern_matches(c->memory, i, 4096));
	}
	pair_close(&p);
}

static void chain_next(struct client *c, const struct transport_completion *completion)
{
	transport_poll(c->transport); /* does nothing from within a handler */
	if (completion->cookie + 1 < 3000)
		CHECK_INT(transport_read(c->conn, *(struct segment_ref *)c->memory, c->local,
				  c->memory + 4096, 64, completion->cookie + 1),
			0);
}

void test_handlers_may_post_again(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	memcpy(c->memory, &p.server.read_ref, sizeof(p.server.read_ref));
	c->also = chain_next;
	CHECK_INT(transport_read(c->conn, p.server.read_ref, c->local, c->memory + 4096, 64, 0), 0);
	CHECK(client_wait(c, &c->done_count, 3000));
	CHECK_INT(c->done_count, 3000);
	pair_close(&p);
}

void test_a_doorbell_rings_after_its_data(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	for (uint32_t i = 0; i < 500; i++) {
		uint32_t number = i * 2654435761u;
		/* a large plain write in front: also that must be there when the bell rings */
		memcpy(c->memory, &number, sizeof(number));
		memcpy(c->memory + 16, &number, sizeof(number));
		struct segment_ref far = ref_at(p.server.write_ref, 1 << 20);
		CHECK_INT(transport_write(
				  c->conn, far, c->local, c->memory, i % 5 ? 4096 : 600000, i),
			0);
		CHECK_INT(transport_write_imm(c->conn, p.server.write_ref, c->local, c->memory,
				  4096, number, i),
			0);
		CHECK(client_wait(c, &c->done_count, 2 * i + 2));
		CHECK_INT(c->done[(2 * i + 1) % COMPLETIONS_MAX].status, 0);
		CHECK(counter_wait(&p.server.doorbells, i + 1));
	}
	CHECK_INT(p.server.doorbell_bad, 0);

	/* bells without bytes, many at once, come in order: the word in memory stays the last
	 * number */
	uint32_t last = p.server.last_imm;
	for (unsigned i = 0; i < 100; i++)
		CHECK_INT(transport_write_imm(
				  c->conn, (struct segment_ref){0}, NULL, NULL, 0, last, 0),
			0);
	CHECK(client_wait(c, &c->done_count, 1100));
	CHECK(counter_wait(&p.server.doorbells, 600));
	CHECK_INT(p.server.doorbell_bad, 0);
	pair_close(&p);
}

void test_small_messages(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	static const size_t lens[] = {1, 2, 100, 4055, 4056, 4057, 4095, 4096};
	unsigned char data[TRANSPORT_SEND_MAX + 64];
	memcpy(data, pattern(0), sizeof(data));
	unsigned sent = 0;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		CHECK_INT(transport_send(c->conn, data + i, lens[i], 0), 0);
		CHECK(client_wait(c, &c->done_count, ++sent));
		CHECK(counter_wait(&p.server.messages, sent));
		CHECK_INT(p.server.message_len, lens[i]);
		CHECK(pattern_matches(p.server.message, i, p.server.message_len));
	}
	CHECK_INT(transport_send(c->conn, data, 4096, 0), 0);
	CHECK_INT(transport_send(c->conn, data, 0, 0), RAMET_EINVAL);
	CHECK_INT(transport_send(c->conn, data, TRANSPORT_SEND_MAX + 1, 0), RAMET_EINVAL);
	/* copied at the post: the caller's buffer is free at once */
	for (unsigned i = 0; i < 900; i++)
		CHECK_INT(transport_send(c->conn, data, 1 + i * 4, i), 0);
	memset(data, 0, sizeof(data));
	CHECK(client_wait(c, &c->done_count, sent + 901));
	CHECK(counter_wait(&p.server.messages, sent + 901));
	CHECK(pattern_matches(p.server.message, 0, 1 + 899 * 4));
	pair_close(&p);
}

static SHARED struct segment_ref client_ref; /* of the client, for the server to reach */
static SHARED struct transport_segment *server_local; /* known to the server's process */

static void server_work_back(struct server *s)
{
	struct ramet_err err = {0};
	if (!server_local)
		REQUIRE_OK(transport_segment_add(s->domain, s->memory, SERVER_BYTES,
				   TRANSPORT_SEGMENT_LOCAL, &server_local, &err),
			&err);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_INT(transport_read(s->conn, ref_at(client_ref, 1 << 20), server_local,
				  s->memory + (1 << 20), 2 << 20, i),
			0);
		CHECK_INT(transport_write_imm(
				  s->conn, client_ref, server_local, s->memory, 1 << 20, i, i),
			0);
		CHECK_INT(transport_send(s->conn, s->memory, 100, i), 0);
	}
}

/* large reads and writes both ways at once on one connection: nobody waits for the other */
void test_both_directions_at_once(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct ramet_err err = {0};
	struct transport_segment *exposed;
	REQUIRE_OK(transport_segment_add(
			   c->domain, c->memory, 4 << 20, TRANSPORT_SEGMENT_WRITE, &exposed, &err),
		&err);
	client_ref = transport_segment_ref(exposed, 0);
	server_local = NULL;
	for (unsigned round = 0; round < 3; round++) {
		server_call(&p.server, server_work_back);
		for (unsigned i = 0; i < 4; i++) {
			CHECK_INT(transport_read(c->conn, ref_at(p.server.read_ref, 4 << 20),
					  c->local, c->memory + (4 << 20), 2 << 20, i),
				0);
			CHECK_INT(transport_write(c->conn, ref_at(p.server.write_ref, 7 << 20),
					  c->local, c->memory + (7 << 20), 1 << 20, i),
				0);
		}
		CHECK(client_wait(c, &c->done_count, (round + 1) * 8));
		CHECK(client_wait(c, &c->messages, (round + 1) * 4));
		CHECK(client_wait(c, &c->doorbells, (round + 1) * 4));
		CHECK(pair_wait(&p, &p.server.completed, (round + 1) * 12));
	}
	CHECK(pattern_matches(c->memory + (4 << 20), 4 << 20, 2 << 20));
	CHECK(pattern_matches(c->memory, 0, 1 << 20));
	CHECK_INT(counter_get(&p.server.completed), 36);
	for (unsigned i = 0; i < c->done_count; i++)
		CHECK_INT(c->done[i].status, 0);
	pair_close(&p);
}
