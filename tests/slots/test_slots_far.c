/* Calls between the slots of two nodes: what goes through the stream, and what becomes of calls
 * when it ends, one way or another; whoever says what cannot be is found out. */
#include "base/clock.h"
#include "runtime/slots/layout.h"
#include "runtime/slots/slots_wire.h"
#include "tests/lib/suite.h"
#include "tests/slots/far_pair.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_NS (60 * NSEC_PER_SEC)

static bool answered(struct far_pair *p, unsigned slot, struct slots_answer *ret)
{
	if (!slots_done(&p->client, slot))
		return false;
	CHECK_INT(slots_answer(&p->client, slot, ret), 0);
	return true;
}

/* turns until the call in a slot has its answer, serving what comes */
static bool until_answered(struct far_pair *p, unsigned slot, struct slots_answer *ret)
{
	uint64_t deadline = now_ns() + PATIENCE_NS;
	while (now_ns() < deadline) {
		CHECK_INT(far_pair_turn(p), 0);
		(void)lease_memory_serve(&p->memory);
		lease_stream_look(p->stream);
		if (answered(p, slot, ret))
			return true;
	}
	return CHECK(!"no answer");
}

static void test_every_size(void)
{
	static const size_t sizes[] = {0, 1, SLOTS_INLINE, SLOTS_INLINE + 1, 8192 - 64, 8192, 65536,
		5u << 20, SLOTS_PAYLOAD_MAX};
	unsigned char *data = malloc(SLOTS_PAYLOAD_MAX);
	struct far_pair p;
	struct slots_answer a;
	REQUIRE(far_pair_open(&p, FAR_BOTH, 4096));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (size_t k = 0; k < sizes[i]; k++)
			data[k] = (unsigned char)(i + k * 7 + (k >> 8));
		int slot = far_pair_submit(&p, data, sizes[i]);
		CHECK_INT(slot, 0);
		if (!until_answered(&p, 0, &a))
			break;
		CHECK_INT(a.status, 0);
		CHECK(a.begun);
		CHECK_INT(a.run_ns, 7);
		CHECK_INT(a.len, sizes[i]);
		size_t step = lease_memory_step(sizes[i]);
		bool same = a.len == sizes[i];
		for (size_t k = 0; same && k < sizes[i]; k++)
			same = ((const unsigned char *)a.data)[k] ==
				(unsigned char)(k % step == 0 ? ~data[k] : data[k]);
		CHECK(same);
		slots_release(&p.client, 0);
	}
	free(data);
	far_pair_close(&p);
}

static void test_all_places(void)
{
	struct far_pair p;
	struct slots_answer a;
	REQUIRE(far_pair_open(&p, FAR_BOTH, 0));
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned char i = 0; i < SLOTS_COUNT; i++)
			CHECK_INT(far_pair_submit(&p, &i, 1), i);
		CHECK_INT(far_pair_submit(&p, "x", 1), RAMET_EAGAIN);
		for (unsigned i = 0; i < SLOTS_COUNT; i++) {
			REQUIRE(until_answered(&p, i, &a));
			CHECK_INT(*(const unsigned char *)a.data, (unsigned char)~i);
			slots_release(&p.client, i);
		}
	}
	far_pair_close(&p);
}

static void test_cancelling(void)
{
	struct far_pair p;
	struct slots_answer a;
	struct slots_call call;
	REQUIRE(far_pair_open(&p, FAR_BOTH, 0));
	CHECK_INT(far_pair_submit(&p, "1", 1), 0);
	CHECK_INT(far_pair_submit(&p, "2", 1), 1);
	CHECK_INT(far_pair_turn(&p), 0);
	CHECK_INT(slots_take(&p.memory.instance, &call), 1);
	CHECK_INT(lease_far_cancel(p.far, 1), 0); /* it waits: it is over at once */
	CHECK_INT(lease_far_cancel(p.far, 0), 0); /* it runs */
	for (unsigned i = 0; i < 100 && p.cancels == 0; i++)
		CHECK_INT(far_pair_turn(&p), 0);
	CHECK(answered(&p, 1, &a) && a.status == RAMET_ECANCELED);
	CHECK_INT(p.cancels, 1);
	CHECK_INT(p.cancelled_slot, 0);
	CHECK(slots_cancelled(&p.memory.instance, 0));
	CHECK(!slots_done(&p.client, 0));
	far_pair_close(&p);
}

static void test_a_lease_that_closes_gives_calls_back(void)
{
	struct far_pair p;
	struct slots_answer a;
	size_t len = 0;
	REQUIRE(far_pair_open(&p, FAR_BOTH, 0));
	slots_set_closing(&p.memory.keeper);
	CHECK_INT(far_pair_submit(&p, "1", 1), 0);
	while (!answered(&p, 0, &a))
		CHECK_INT(far_pair_turn(&p), 0);
	CHECK(!a.begun);
	CHECK(memcmp(slots_input(&p.client, 0, &len), "1", 1) == 0 && len == 1);
	CHECK(slots_closing(&p.client));
	far_pair_close(&p);
}

/* the instance dies with one call running and one waiting; then the lease is over */
static void test_a_dead_instance(void)
{
	struct far_pair p;
	struct slots_answer a;
	struct slots_call call;
	int rc = 0;
	REQUIRE(far_pair_open(&p, FAR_BOTH, 0));
	CHECK_INT(far_pair_submit(&p, "1", 1), 0);
	CHECK_INT(far_pair_submit(&p, "2", 1), 1);
	CHECK_INT(far_pair_turn(&p), 0);
	CHECK_INT(slots_take(&p.memory.instance, &call), 1);
	slots_abandon(&p.memory.keeper, RAMET_ECRASH, "cause", 5);
	far_pair_end(&p, true);
	CHECK_INT(far_pair_submit(&p, "3", 1), 2); /* it crosses the end */
	for (unsigned i = 0; i < 100 && rc == 0; i++)
		rc = far_pair_turn(&p);
	CHECK_INT(rc, RAMET_ECLOSED);
	lease_far_lose(p.far);
	CHECK(answered(&p, 0, &a) && a.status == RAMET_ECRASH && a.len == 5);
	CHECK(answered(&p, 1, &a) && !a.begun);
	CHECK(answered(&p, 2, &a) && !a.begun);
	far_pair_close(&p);
}

/* the node is gone: what it may have heard of is lost, what has not left is not */
static void test_a_stream_that_breaks(void)
{
	static unsigned char data[4u << 20];
	struct far_pair p;
	struct slots_answer a;
	int rc = 0;
	REQUIRE(far_pair_open(&p, FAR_CLIENT, 4096));
	CHECK_INT(far_pair_submit(&p, "1", 1), 0);
	CHECK_INT(far_pair_submit(&p, data, sizeof(data)), 1);
	CHECK_INT(far_pair_submit(&p, "3", 1), 2);
	close_reset(&p.node_fd);
	for (unsigned i = 0; i < 100 && rc == 0; i++)
		rc = far_pair_turn(&p);
	CHECK_INT(rc, RAMET_EPEER);
	lease_far_lose(p.far);
	CHECK(answered(&p, 0, &a) && a.status == RAMET_ELOST && a.begun);
	CHECK(answered(&p, 1, &a) && a.status == RAMET_ELOST && a.begun);
	CHECK(answered(&p, 2, &a) && !a.begun);
	far_pair_close(&p);
}

static void test_a_client_that_goes(void)
{
	struct far_pair p;
	REQUIRE(far_pair_open(&p, FAR_NODE, 0));
	close_reset(&p.client_fd);
	for (unsigned i = 0; i < 100 && p.gone == 0; i++)
		CHECK_INT(far_pair_turn(&p), 0);
	CHECK_INT(p.gone, 1);
	CHECK_INT(p.broken, 0);
	far_pair_close(&p);
}

static void test_an_instance_that_lies(void)
{
	struct far_pair p;
	struct slots_call call;
	REQUIRE(far_pair_open(&p, FAR_BOTH, 0));
	CHECK_INT(far_pair_submit(&p, "1", 1), 0);
	CHECK_INT(far_pair_turn(&p), 0);
	CHECK_INT(slots_take(&p.memory.instance, &call), 1);
	const struct slots_outcome outcome = {.len = (size_t)SLOTS_PAYLOAD_MAX + 1};
	(void)slots_finish(&p.memory.instance, &call, &outcome);
	lease_stream_look(p.stream);
	struct slots_answer a = {0};
	for (unsigned i = 0; i < 100 && p.broken == 0; i++)
		(void)far_pair_turn(&p);
	CHECK_INT(p.broken, 1);
	CHECK(answered(&p, 0, &a) && a.status == RAMET_EPROTO && a.len == 0);
	far_pair_close(&p);
}

/* --- what cannot be --- */

static const struct slots_wire good_call = {
	.type = SLOTS_WIRE_CALL, .slot = 3, .number = 7, .len = 2, .size = 1};

static void say(int fd, const struct slots_wire *wire, const void *data, size_t len)
{
	unsigned char header[SLOTS_WIRE_BYTES];
	slots_wire_pack(wire, header);
	CHECK_INT(send(fd, header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
	if (len > 0)
		CHECK_INT(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void node_finds_out(const struct slots_wire *wire, size_t len)
{
	struct far_pair p;
	REQUIRE(far_pair_open(&p, FAR_NODE, 0));
	say(p.client_fd, &good_call, "ab", 2);
	say(p.client_fd, wire, "xyz", len);
	for (unsigned i = 0; i < 100 && p.gone == 0; i++)
		CHECK_INT(far_pair_turn(&p), 0);
	CHECK_INT(p.gone, 1);
	far_pair_close(&p);
}

static void test_a_hostile_client(void)
{
	struct slots_wire wire = good_call;
	node_finds_out(&wire, 2); /* the slot is taken */
	wire.slot = SLOTS_COUNT;
	node_finds_out(&wire, 2);
	wire.slot = 4;
	wire.len = (uint64_t)SLOTS_PAYLOAD_MAX + 1;
	node_finds_out(&wire, 2);
	wire.type = SLOTS_WIRE_ANSWER;
	wire.len = 1;
	node_finds_out(&wire, 1);
	wire.type = SLOTS_WIRE_CANCEL;
	node_finds_out(&wire, 1); /* a word about a call has no bytes */
}

static void test_bytes_and_an_end_at_once(void)
{
	static const uint64_t lengths[] = {2, 100000}; /* all of a call, and part of one */
	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		struct far_pair p;
		struct slots_wire call = good_call;
		call.len = lengths[i];
		REQUIRE(far_pair_open(&p, FAR_NODE, 0));
		say(p.client_fd, &call, "ab", 2);
		close_reset(&p.client_fd);
		for (unsigned k = 0; k < 100 && p.gone == 0; k++)
			CHECK_INT(far_pair_turn(&p), 0);
		CHECK_INT(p.gone, 1);
		CHECK_INT(p.lost, 0);
		far_pair_close(&p);
	}
}

static void client_finds_out(const struct slots_wire *wire, size_t len)
{
	struct far_pair p;
	int rc = 0;
	REQUIRE(far_pair_open(&p, FAR_CLIENT, 0));
	CHECK_INT(far_pair_submit(&p, "1", 1), 0);
	say(p.node_fd, wire, "xyz", len);
	for (unsigned i = 0; i < 100 && rc == 0; i++)
		rc = far_pair_turn(&p);
	CHECK_INT(rc, RAMET_EPROTO);
	far_pair_close(&p);
}

static void test_a_hostile_node(void)
{
	struct slots_wire wire = {.type = SLOTS_WIRE_ANSWER, .slot = 1, .number = 1};
	client_finds_out(&wire, 0); /* nobody asked */
	wire.slot = 0;
	wire.number = UINT64_MAX;
	client_finds_out(&wire, 0); /* of another call */
	wire.type = SLOTS_WIRE_CALL;
	client_finds_out(&wire, 0);
	wire.type = SLOTS_WIRE_END;
	wire.len = 1;
	client_finds_out(&wire, 1);
}

static void test_headers(void)
{
	unsigned char bytes[SLOTS_WIRE_BYTES];
	struct slots_wire parsed;
	const struct slots_wire wire = {.type = SLOTS_WIRE_ANSWER,
		.slot = 15,
		.number = 1ull << 60,
		.len = SLOTS_PAYLOAD_MAX,
		.binary = true,
		.time_ns = 5,
		.begun = true,
		.status = RAMET_EUSER,
		.servant = 1ull << 63};
	slots_wire_pack(&wire, bytes);
	CHECK_INT(slots_wire_parse(bytes, false, &parsed), 0);
	CHECK(parsed.slot == 15 && parsed.number == wire.number && parsed.len == wire.len &&
		parsed.binary && parsed.begun && parsed.time_ns == 5 &&
		parsed.status == RAMET_EUSER && parsed.servant == wire.servant);
	CHECK_INT(slots_wire_parse(bytes, true, &parsed), RAMET_EPROTO);
	for (unsigned i = 52; i < SLOTS_WIRE_BYTES; i++) { /* what must be zero */
		slots_wire_pack(&wire, bytes);
		bytes[i] = 1;
		CHECK_INT(slots_wire_parse(bytes, false, &parsed), RAMET_EPROTO);
	}
}

SUITE_MAIN("slots_far", TEST(test_headers), TEST(test_every_size), TEST(test_all_places),
	TEST(test_cancelling), TEST(test_a_lease_that_closes_gives_calls_back),
	TEST(test_a_dead_instance), TEST(test_a_stream_that_breaks), TEST(test_a_client_that_goes),
	TEST(test_bytes_and_an_end_at_once), TEST(test_an_instance_that_lies),
	TEST(test_a_hostile_client), TEST(test_a_hostile_node))
