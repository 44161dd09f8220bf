/* Transport suite: the device drops what is in flight, for no fault of anybody's (a fault point
 * moves a queue pair to its error state). Nothing is lost, and nothing happens twice. Providers
 * without queue pairs pass undisturbed. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include <string.h>

#define BREAK "transport.lane_break"
#define ROUNDS 40
#define EACH 12 /* operations of each kind in a round */

static void post_round(struct pair *p, unsigned round)
{
	struct client *c = &p->client;
	for (unsigned i = 0; i < EACH; i++) {
		unsigned n = round * EACH + i;
		size_t at = (size_t)(n % 100) * 8192;
		CHECK_INT(transport_read(c->conn, ref_at(p->server.read_ref, (6 << 20) + n),
				  c->local, c->memory + (4 << 20) + at, 8192, n),
			0);
		memcpy(c->memory + at, pattern(n), 4096);
		CHECK_INT(transport_write(c->conn, ref_at(p->server.write_ref, (1 << 20) + at),
				  c->local, c->memory + at, 4096, n),
			0);
		CHECK_INT(transport_send(c->conn, &n, sizeof(n), n), 0);
		CHECK_INT(
			transport_write_imm(c->conn, (struct segment_ref){0}, NULL, NULL, 0, n, n),
			0);
	}
}

/* what arrives, in the server's process: each message once, in order */
static unsigned expected, wrong;

static void next_message(struct server *s, const void *data, size_t len)
{
	unsigned n;
	if (len != sizeof(n) || (memcpy(&n, data, sizeof(n)), n != expected))
		wrong++;
	expected++;
}

static void server_count_messages(struct server *s)
{
	expected = wrong = 0;
	s->also_message = next_message;
}

static SHARED unsigned arrived, arrived_wrong;

static void server_tell_messages(struct server *s)
{
	(void)s;
	arrived = expected;
	arrived_wrong = wrong;
}

void test_broken_lanes_lose_and_repeat_nothing(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	server_call(&p.server, server_count_messages);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pair_fault(BREAK, round % 3, 1);
		post_round(&p, round);
		if (round % 4 == 3)
			CHECK(client_wait(c, &c->done_count, round * 4 * EACH));
	}
	CHECK(client_wait(c, &c->done_count, ROUNDS * 4 * EACH));
	CHECK(pair_wait(&p, &p.server.messages, ROUNDS * EACH));
	CHECK(pair_wait(&p, &p.server.doorbells, ROUNDS * EACH));
	pair_fault(BREAK, 0, 0);
	/* a message too many would come before this one */
	CHECK_INT(transport_send(c->conn, &(unsigned){ROUNDS * EACH}, sizeof(unsigned), 0), 0);
	CHECK(client_wait(c, &c->done_count, ROUNDS * 4 * EACH + 1));
	CHECK(pair_wait(&p, &p.server.messages, ROUNDS * EACH + 1));
	server_call(&p.server, server_tell_messages);
	CHECK_INT(arrived, ROUNDS * EACH + 1);
	CHECK_INT(arrived_wrong, 0);
	CHECK_INT(counter_get(&p.server.doorbells), ROUNDS * EACH);
	for (unsigned i = 0; i < c->done_count; i++)
		CHECK_INT(c->done[i].status, 0);
	for (unsigned n = ROUNDS * EACH - 50; n < ROUNDS * EACH; n++) {
		size_t at = (size_t)(n % 100) * 8192;
		CHECK(pattern_matches(c->memory + (4 << 20) + at, (6 << 20) + n, 8192));
		CHECK(pattern_matches(server_memory(&p.server, (1 << 20) + at, 4096), n, 4096));
	}
	CHECK_INT(c->closed, 0);
	pair_close(&p);
}

/* access errors among good operations: only they fail */
void test_guilty_and_innocent(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	for (unsigned i = 0; i < 300; i++) {
		uint64_t offset = i % 50 == 25 ? SERVER_BYTES - 100 : (uint64_t)i * 4096;
		CHECK_INT(transport_read(c->conn, ref_at(p.server.read_ref, offset), c->local,
				  c->memory + (size_t)i * 4096, 4096, i),
			0);
	}
	CHECK_INT(transport_send(c->conn, "after", 5, 1000), 0);
	CHECK(client_wait(c, &c->done_count, 301));
	for (unsigned i = 0; i < 300; i++) {
		unsigned n = (unsigned)c->done[i].cookie;
		CHECK_INT(c->done[i].status, n % 50 == 25 ? RAMET_EACCESS : 0);
		if (n % 50 != 25)
			CHECK(pattern_matches(
				c->memory + (size_t)n * 4096, (size_t)n * 4096, 4096));
	}
	CHECK(pair_wait(&p, &p.server.messages, 1));
	CHECK_INT(c->closed, 0);
	pair_close(&p);
}
