/* Polling instead of sleeping: it lasts as long as somebody asks for it, ends by itself when
 * nothing comes, and answers come as ever. */
#include "base/clock.h"
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include <sched.h>
#include <string.h>

#define ASLEEP_NS (20 * NSEC_PER_MSEC) /* less than heartbeats come in */

static bool spins_here(void)
{
	cpu_set_t cpus;
	if (strcmp(PROVIDER.name, "tcp") == 0) {
		suite_skip("nothing is gained over sockets");
		return false;
	}
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2) {
		suite_skip("there is one processor");
		return false;
	}
	return true;
}

static struct transport_spins spins(const struct client *c)
{
	struct transport_spins now;
	transport_spins(c->transport, &now);
	return now;
}

/* until the loop has stopped polling by itself */
static void turn_out(struct client *c, uint64_t ended)
{
	uint64_t deadline = now_ns() + WAIT_NS;
	while (spins(c).ended < ended && now_ns() < deadline)
		(void)loop_turn(c->loop, WAIT_NS, NULL);
}

void test_spinning_begins_and_ends(void)
{
	struct pair p;
	if (!spins_here() || !pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	CHECK_INT(spins(c).begun, 0);
	CHECK_INT(spins(c).polls, 0);

	uint64_t begin = now_ns();
	transport_spin_begin(c->transport);
	turn_out(c, 1);
	CHECK(now_ns() - begin >= TRANSPORT_SPIN_NS); /* nothing came */
	CHECK(spins(c).polls > 1);
	transport_spin_end(c->transport); /* it is over already */
	CHECK_INT(spins(c).begun, 1);
	CHECK_INT(spins(c).ended, 1);

	transport_spin_begin(c->transport);
	transport_spin_begin(c->transport);
	transport_spin_end(c->transport);
	CHECK_INT(spins(c).begun, 2);
	CHECK_INT(spins(c).ended, 1); /* one of two is still waiting */
	transport_spin_end(c->transport);
	CHECK_INT(spins(c).ended, 2);
	uint64_t polls = spins(c).polls;
	for (int i = 0; i < 3; i++)
		(void)loop_turn(c->loop, 0, NULL);
	CHECK_INT(spins(c).polls, polls);

	transport_spin_begin(c->transport); /* for what takes long */
	turn_out(c, 3);
	transport_spin_begin(c->transport);
	CHECK_INT(spins(c).begun, 4);
	transport_spin_end(c->transport);
	CHECK_INT(spins(c).ended, 4); /* nobody polls for the other one */
	transport_spin_end(c->transport);
	CHECK_INT(spins(c).ended, 4);
	pair_close(&p);
}

static void spend(uint64_t ns)
{
	uint64_t end = now_ns() + ns;
	while (now_ns() < end)
		;
}

/* an answer that takes so long that a moment as long as some of them is none to miss */
static void spin_once(const struct client *c)
{
	transport_spin_begin(c->transport);
	spend(TRANSPORT_SPIN_NS / 5);
	transport_spin_end(c->transport);
}

/* until the loop sleeps: how long that took */
static uint64_t turns_until_asleep(const struct client *c)
{
	uint64_t begin = now_ns();
	uint64_t before;
	do {
		before = now_ns();
		(void)loop_turn(c->loop, ASLEEP_NS, NULL);
	} while (now_ns() - before < ASLEEP_NS / 2 && now_ns() - begin < WAIT_NS);
	return before - begin;
}

void test_staying_awake_for_who_asks_again(void)
{
	struct pair p;
	if (!spins_here() || !pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	spin_once(c); /* nobody knows yet whether there is another */
	CHECK_INT(spins(c).lingers, 0);
	for (unsigned i = 0; i < 100 && spins(c).lingers == 0; i++)
		spin_once(c);
	CHECK(spins(c).lingers > 0);
	CHECK(turns_until_asleep(c) <= WAIT_NS / 2); /* nobody asks */

	for (unsigned i = 0; i < 40; i++) { /* the others come too late */
		spend(2 * TRANSPORT_SPIN_NS);
		spin_once(c);
	}
	uint64_t lingers = spins(c).lingers;
	spend(2 * TRANSPORT_SPIN_NS);
	spin_once(c);
	CHECK_INT(spins(c).lingers, lingers);
	CHECK_INT(spins(c).begun, spins(c).ended);
	pair_close(&p);
}

void test_reads_complete_while_spinning(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	for (unsigned i = 0; i < 50; i++) {
		bool spin = i % 3 != 2; /* the others sleep: what was polled for left no trace */
		memset(c->memory, 0, 4096);
		if (spin)
			transport_spin_begin(c->transport);
		CHECK_INT(transport_read(c->conn, p.server.read_ref, c->local, c->memory, 4096, i),
			0);
		CHECK(client_wait(c, &c->done_count, i + 1));
		if (spin)
			transport_spin_end(c->transport);
		CHECK_INT(c->done[i].status, 0);
		CHECK(pattern_matches(c->memory, 0, 4096));
	}
	CHECK_INT(spins(c).begun, spins(c).ended);
	pair_close(&p);
}
