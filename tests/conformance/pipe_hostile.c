/* Pipe suite: peers that say what no pipe says. Their own stream ends, and nothing else is harmed.
 */
#include "tests/conformance/pipe_cases.h"
#include "tests/conformance/pipe_pair.h"
#include "tests/conformance/pipe_raw.h"

#include <stdio.h>
#include <string.h>

#define PLACES (2 * (uint32_t)PIPE_RING)
#define STEP_SHIFT 19u /* of an immediate: what was read is told above it */

static void receive_all(struct pipe_side *side)
{
	size_t n;
	while ((n = pipe_side_receive(side, side->got, PIPES_CHUNK_MAX)) > 0)
		side->got += n;
}

static void end_by_protocol(struct raw_pipe *raw, bool ended)
{
	struct pipe_side *victim = &raw->victim;
	PIPES_UNTIL(raw->pipes, pipe_error(victim->stream)->code != 0);
	CHECK_INT(pipe_error(victim->stream)->code, RAMET_EPROTO);
	CHECK(victim->ready > 0);
	CHECK_INT(pipe_side_end(victim), ended ? RAMET_ECLOSED : RAMET_EPROTO);
}

static void rings_before_hello(struct raw_pipe *raw)
{
	raw_pipe_ring(raw, 0);
}

static void writes_before_hello(struct raw_pipe *raw)
{
	raw_pipe_write(raw, 0, 10, 10);
	raw_pipe_hello(raw);
}

static void ends_before_hello(struct raw_pipe *raw)
{
	raw_pipe_end(raw, 0);
	raw_pipe_hello(raw);
}

static void says_hello_twice(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_hello(raw);
}

static void ends_too_early(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_piece(raw, 100);
	raw_pipe_end(raw, 99);
}

static void ends_too_late(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_piece(raw, 100);
	raw_pipe_end(raw, 101);
}

static void ends_far_off(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_end(raw, UINT64_MAX);
}

static void ends_twice(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_piece(raw, 100);
	raw_pipe_end(raw, 100);
	receive_all(&raw->victim);
	raw_pipe_end(raw, 100);
}

static void writes_after_end(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_end(raw, 0);
	raw_pipe_write(raw, 0, 10, 10);
}

static void claims_more_than_a_ring(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_ring(raw, (uint32_t)PIPE_RING + 1);
}

static void goes_back(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_piece(raw, 100);
	raw_pipe_ring(raw, 99);
}

static void claims_more_than_is_free(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_piece(raw, PIPE_RING); /* nobody reads */
	raw_pipe_write(raw, 0, 1, (uint32_t)PIPE_RING + 1);
}

static void acknowledges_what_was_not_sent(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_ring(raw, 1u << STEP_SHIFT);
}

static void acknowledges_backwards(struct raw_pipe *raw)
{
	raw_pipe_hello(raw);
	raw_pipe_ring(raw, UINT32_MAX << STEP_SHIFT);
}

void test_hostile_peers(void)
{
	static const struct {
		const char *name;
		void (*fn)(struct raw_pipe *raw);
		bool ended; /* where it should, before */
	} hostiles[] = {
		{"rings before hello", rings_before_hello, false},
		{"writes before hello", writes_before_hello, false},
		{"ends before hello", ends_before_hello, false},
		{"says hello twice", says_hello_twice, false},
		{"ends too early", ends_too_early, false},
		{"ends too late", ends_too_late, false},
		{"ends far off", ends_far_off, false},
		{"ends twice", ends_twice, true},
		{"writes after end", writes_after_end, true},
		{"claims more than a ring", claims_more_than_a_ring, false},
		{"goes back", goes_back, false},
		{"claims more than is free", claims_more_than_is_free, false},
		{"acknowledges what was not sent", acknowledges_what_was_not_sent, false},
		{"acknowledges backwards", acknowledges_backwards, false},
	};
	struct pipes p;
	if (!pipes_open(&p, NULL))
		return;
	for (unsigned i = 0; i < ARRAY_LEN(hostiles); i++) {
		struct raw_pipe raw;
		unsigned failed = suite_failed_checks();
		if (!raw_pipe_open(&raw, &p))
			return;
		hostiles[i].fn(&raw);
		PIPES_UNTIL(&p, pipe_error(raw.victim.stream)->code != 0);
		receive_all(&raw.victim); /* what came before was right */
		end_by_protocol(&raw, hostiles[i].ended);
		raw_pipe_close(&raw);
		if (suite_failed_checks() != failed)
			printf("  by: %s\n", hostiles[i].name);
	}
	pipes_stop(&p);
}

static void send_malformed(struct pipes *p, const void *bytes, size_t len)
{
	struct raw_pipe raw;
	if (!raw_pipe_open(&raw, p))
		return;
	raw_pipe_say(&raw, bytes, len);
	end_by_protocol(&raw, false);
	raw_pipe_close(&raw);
}

void test_malformed_messages(void)
{
	unsigned char bytes[TRANSPORT_SEND_MAX] = {0};
	const struct pipe_message hello = {.kind = PIPE_HELLO, .ring = {1, 2, 0}};
	struct pipes p;
	if (!pipes_open(&p, NULL))
		return;
	pipe_message_pack(&hello, bytes);
	for (size_t len = 1; len <= sizeof(bytes); len += len < 40 ? 1 : 507) {
		if (len != PIPE_MESSAGE_BYTES)
			send_malformed(&p, bytes, len);
	}
	for (size_t at = 0; at < 8; at++) { /* all that is not the ring's name */
		bytes[at] ^= 0x80;
		send_malformed(&p, bytes, PIPE_MESSAGE_BYTES);
		bytes[at] ^= 0x80;
	}
	pipes_stop(&p);
}

/* what the victim sends goes nowhere */
static void say_ring(struct pipes *p, struct segment_ref ring)
{
	struct raw_pipe raw;
	if (!raw_pipe_open(&raw, p))
		return;
	const struct pipe_message hello = {.kind = PIPE_HELLO, .ring = ring};
	raw_pipe_message(&raw, &hello);
	CHECK_INT(pipe_side_send(&raw.victim, 0, 100000), 100000);
	end_by_protocol(&raw, false);
	raw_pipe_close(&raw);
}

void test_wrong_rings(void)
{
	static unsigned char memory[PIPE_RING];
	struct pipes p;
	struct transport_domain *domain;
	struct transport_segment *other;
	struct ramet_err err = {0};
	if (!pipes_open(&p, NULL))
		return;
	REQUIRE_OK(transport_domain_create(p.client.transport, &domain, &err), &err);
	REQUIRE_OK(transport_segment_add(
			   domain, memory, sizeof(memory), TRANSPORT_SEGMENT_WRITE, &other, &err),
		&err);
	struct segment_ref ref = transport_segment_ref(other, 0);
	say_ring(&p, ref); /* of another domain */
	ref.key ^= 1;
	say_ring(&p, ref);
	say_ring(&p, (struct segment_ref){0});
	say_ring(&p, (struct segment_ref){UINT64_MAX, UINT64_MAX, 0});
	transport_segment_remove(other, NULL, NULL);
	transport_domain_destroy(domain);
	pipes_stop(&p);
}

void test_ring_is_revoked(void)
{
	struct pipes p;
	struct raw_pipe raw;
	if (!pipes_open(&p, NULL) || !raw_pipe_open(&raw, &p))
		return;
	raw_pipe_hello(&raw);
	CHECK_INT(pipe_side_send(&raw.victim, 0, 1000), 1000);
	PIPES_UNTIL(&p, raw.doorbells > 0);
	transport_segment_remove(raw.ring, NULL, NULL);
	raw.ring = NULL;
	CHECK_INT(pipe_side_send(&raw.victim, 1000, 1000), 1000);
	end_by_protocol(&raw, false);
	raw_pipe_close(&raw);
	pipes_stop(&p);
}

void test_writes_beyond_the_ring(void)
{
	struct pipes p;
	struct raw_pipe raw;
	if (!pipes_open(&p, NULL) || !raw_pipe_open(&raw, &p))
		return;
	raw_pipe_hello(&raw);
	raw_pipe_write(&raw, PIPE_RING - 10, 11, 1);
	raw_pipe_write(&raw, PIPE_RING, 1, 1);
	PIPES_UNTIL(&p, raw.done >= 3);
	CHECK_INT(raw.status, RAMET_EACCESS);
	raw_pipe_piece(&raw, 1000); /* what is right goes on */
	PIPES_UNTIL(&p,
		(raw.victim.got += pipe_side_receive(&raw.victim, raw.victim.got, 1000)) == 1000);
	CHECK_INT(pipe_error(raw.victim.stream)->code, 0);
	raw_pipe_close(&raw);
	pipes_stop(&p);
}

/* --- at random --- */

struct random_peer {
	struct raw_pipe raw;
	size_t to_it; /* bytes that the victim sends */
	bool greeted, ended;
	bool wrong; /* it has said what no pipe says, at: */
	uint64_t wrong_at;
};

static void is_wrong(struct random_peer *peer, bool wrong)
{
	if (!wrong || peer->wrong)
		return;
	peer->wrong = true;
	peer->wrong_at = peer->raw.at.posted;
}

/* one that no pipe has said here, as far as the victim's positions are known */
static bool random_wrong_imm(const struct random_peer *peer, uint32_t *imm)
{
	struct pipe_positions victim = {
		.posted = peer->to_it,
		.acked = peer->raw.at.told,
		.came = peer->raw.at.posted,
		.read = peer->raw.at.posted,
	};
	*imm = (uint32_t)suite_random();
	if (suite_random() % 2) /* near what is right */
		*imm = pipe_imm(&(struct pipe_positions){
			       peer->raw.at.posted, 0, 0, peer->raw.at.told, peer->raw.at.told}) +
			(uint32_t)(suite_random() % 3 - 1) * (uint32_t)(PIPE_RING + 1);
	return !peer->greeted || pipe_take_imm(&victim, *imm) < 0;
}

static void random_message(struct random_peer *peer)
{
	unsigned char bytes[PIPE_MESSAGE_BYTES];
	const struct pipe_message end = {.kind = PIPE_END, .position = peer->raw.at.posted};
	struct pipe_message parsed;
	pipe_message_pack(&end, bytes);
	bytes[suite_random() % sizeof(bytes)] ^= (unsigned char)(1 << suite_random() % 8);
	bool same = pipe_message_parse(bytes, sizeof(bytes), &parsed) == 0 &&
		parsed.kind == PIPE_END && parsed.position == end.position;
	is_wrong(peer, !same || peer->ended);
	raw_pipe_say(&peer->raw, bytes, sizeof(bytes));
}

static void random_say(struct random_peer *peer)
{
	struct raw_pipe *raw = &peer->raw;
	uint32_t imm;
	switch (suite_random() % 40) {
	case 0:
		is_wrong(peer, peer->greeted);
		peer->greeted = true;
		raw_pipe_hello(raw);
		return;
	case 1:
		is_wrong(peer, !peer->greeted || peer->ended);
		peer->ended = true;
		raw_pipe_end(raw, raw->at.posted);
		return;
	case 2:
		random_message(peer);
		return;
	case 3:
		if (!random_wrong_imm(peer, &imm))
			return;
		is_wrong(peer, true);
		raw_pipe_ring(raw, imm);
		return;
	default:
		break;
	}
	if (peer->ended || suite_random() % 4 == 0) {
		is_wrong(peer, !peer->greeted);
		raw_pipe_ring(raw, pipe_imm(&raw->at));
		return;
	}
	is_wrong(peer, !peer->greeted);
	raw_pipe_piece(raw, 1 + suite_random() % (suite_random() % 4 ? 3000 : PIPE_RING));
}

static void random_peer(struct pipes *p)
{
	struct random_peer peer = {.to_it = suite_random() % PIPE_RING};
	struct raw_pipe *raw = &peer.raw;
	struct pipe_side *victim = &raw->victim;
	if (!raw_pipe_open(raw, p))
		return;
	victim->also = receive_all;
	CHECK_INT(pipe_side_send(victim, 0, peer.to_it), peer.to_it);
	if (suite_random() % 16) {
		peer.greeted = true;
		raw_pipe_hello(raw);
	}
	for (unsigned more = 0; raw->conn && more < 3; more += peer.wrong) {
		random_say(&peer);
		if (suite_random() % 4 == 0)
			pipes_turn(p, pipes_deadline());
		if (suite_random() % 100 == 0)
			break;
	}
	if (raw->conn)
		transport_conn_close(raw->conn);
	PIPES_UNTIL(p, pipe_error(victim->stream)->code != 0);
	receive_all(victim);
	CHECK_INT(pipe_error(victim->stream)->code, peer.wrong ? RAMET_EPROTO : RAMET_ECLOSED);
	CHECK_INT(victim->got, peer.wrong ? peer.wrong_at : raw->at.posted);
	if (!peer.wrong)
		CHECK_INT(pipe_side_end(victim), peer.ended ? RAMET_ECLOSED : RAMET_EPEER);
	raw_pipe_close(raw);
}

void test_random_peers(void)
{
	struct pipes p;
	if (!pipes_open(&p, NULL))
		return;
	for (unsigned i = 0; i < (PROVIDER.device_serves ? 200 : 2000); i++)
		random_peer(&p);
	pipes_stop(&p);
}
