/* Pipe suite: bytes arrive as they were sent, no more than there is room for, and each direction
 * ends where it was shut. */
#include "tests/conformance/pipe_cases.h"
#include "tests/conformance/pipe_pair.h"

#include "base/fault.h"

#define QUARTER (PIPE_RING / 4)

void test_sizes(void)
{
	struct pipes p;
	if (!pipes_open(&p, NULL))
		return;
	for (size_t n = 0; n < 300; n++)
		pipes_carry(&p, n % 2 ? &p.client : &p.server, n % 2 ? &p.server : &p.client, n);
	for (size_t quarters = 1; quarters <= 13; quarters++) {
		for (size_t n = quarters * QUARTER - 1; n <= quarters * QUARTER + 1; n++) {
			pipes_carry(&p, &p.client, &p.server, n);
			pipes_carry(&p, &p.server, &p.client, n);
		}
	}
	pipes_stop(&p);
}

/* one direction of random sizes */
struct flow {
	struct pipe_side *from, *to;
	size_t sent, got, total;
};

static size_t random_size(void)
{
	size_t most = suite_random() % 8 ? 70000 : PIPES_CHUNK_MAX;
	return suite_random() % (suite_random() % 4 ? most : 16);
}

static void flow_step(struct flow *flow)
{
	for (uint64_t n = suite_random() % 4; n > 0; n--) {
		size_t len = random_size();
		len = MIN(len, flow->total - flow->sent);
		flow->sent += pipe_side_send(flow->from, flow->sent, len);
	}
	for (uint64_t n = suite_random() % 4; n > 0; n--)
		flow->got += pipe_side_receive(flow->to, flow->got, random_size());
	CHECK(flow->got <= flow->sent && flow->sent - flow->got <= 2 * PIPE_RING);
}

static void run_flows(const struct transport_options *options, size_t total)
{
	struct pipes p;
	if (!pipes_open(&p, options))
		return;
	struct flow there = {&p.client, &p.server, 0, 0, total};
	struct flow back = {&p.server, &p.client, 0, 0, total + 1};
	uint64_t deadline = pipes_deadline();
	while ((there.got < there.total || back.got < back.total) &&
		(suite_random() % 4 || pipes_turn(&p, deadline))) {
		flow_step(&there);
		flow_step(&back);
	}
	CHECK_INT(there.got, there.total);
	CHECK_INT(back.got, back.total);
	pipes_stop(&p);
}

void test_random_sizes_both_ways(void)
{
	run_flows(NULL, (size_t)30 << 20);
}

/* what cannot be posted is posted later */
void test_random_sizes_with_few_operations(void)
{
	for (unsigned depth = 1; depth <= 5; depth += 2)
		run_flows(&(struct transport_options){.queue_depth = depth}, (size_t)4 << 20);
}

/* what the provider has to do twice, or in parts, is not seen */
void test_random_sizes_over_faults(void)
{
#ifdef RAMET_FAULT_POINTS
	static const char *const names[] = {
		"transport.short_send", "transport.short_receive", "transport.lane_break"};
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		fault_set(names[i], 10, 300);
		run_flows(NULL, (size_t)4 << 20);
		fault_set(names[i], 0, 0);
	}
#else
	suite_skip("built without fault points");
#endif
}

/* what there is, in pieces of any size */
static void receive_up_to(struct pipes *p, struct pipe_side *to, size_t *got, size_t end)
{
	PIPES_UNTIL(p, (*got += pipe_side_receive(to, *got, MIN(end - *got, 9999ul))) == end);
}

void test_reader_who_does_not_read(void)
{
	struct pipes p;
	if (!pipes_open(&p, NULL))
		return;
	size_t sent = 0, got = 0;
	while (sent < PIPE_RING - 100)
		sent += pipe_side_send(&p.client, sent, MIN(9999ul, PIPE_RING - 100 - sent));
	CHECK_INT(pipe_side_send(&p.client, sent, 1000), 100);
	sent += 100;
	CHECK_INT(pipe_side_send(&p.client, sent, 1), 0);
	PIPES_UNTIL(&p, p.server.ready > 0);
	for (unsigned i = 0; i < 5; i++)
		pipes_turn(&p, pipes_deadline());
	unsigned ready = p.client.ready;
	CHECK_INT(pipe_side_send(&p.client, sent, 1), 0);

	/* all of it is there; when some was read, there is room */
	receive_up_to(&p, &p.server, &got, PIPE_RING / 2);
	PIPES_UNTIL(&p, p.client.ready > ready);
	size_t more = pipe_side_send(&p.client, sent, PIPE_RING);
	CHECK(more >= QUARTER && more <= PIPE_RING / 2);
	sent += more;
	receive_up_to(&p, &p.server, &got, sent);
	CHECK_INT(pipe_side_end(&p.server), 0);
	pipes_stop(&p);
}

void test_listening(void)
{
	struct pipes p;
	if (!pipes_open(&p, NULL))
		return;
	PIPES_UNTIL(&p, p.server.ready > 0 && p.client.ready > 0);
	unsigned ready = p.server.ready;
	byte_stream_listen(p.server.stream, false);
	size_t got = 0;
	CHECK_INT(pipe_side_send(&p.client, 0, 1000), 1000);
	receive_up_to(&p, &p.server, &got, 1000);
	CHECK_INT(p.server.ready, ready);
	byte_stream_listen(p.server.stream, true);
	CHECK_INT(p.server.ready, ready);
	CHECK_INT(pipe_side_send(&p.client, 1000, 1000), 1000);
	PIPES_UNTIL(&p, p.server.ready > ready);
	receive_up_to(&p, &p.server, &got, 2000);
	pipes_stop(&p);
}

/* who does not listen is told of room all the same */
void test_room_is_told_without_listening(void)
{
	struct pipes p;
	if (!pipes_open(&p, NULL))
		return;
	size_t got = 0;
	byte_stream_listen(p.client.stream, false);
	CHECK_INT(pipe_side_send(&p.client, 0, PIPE_RING + 1), PIPE_RING);
	unsigned ready = p.client.ready;
	receive_up_to(&p, &p.server, &got, PIPE_RING);
	PIPES_UNTIL(&p, p.client.ready > ready);
	pipes_stop(&p);
}

void test_sent_before_it_is_open(void)
{
	struct pipes p;
	size_t got = 0, back = 0;
	if (!pipes_start(&p, NULL) || !pipes_connect(&p))
		return;
	CHECK(!pipe_is_open(p.client.stream));
	CHECK_INT(pipe_side_send(&p.client, 0, 2 * PIPE_RING), PIPE_RING);
	PIPES_UNTIL(&p, p.server.stream != NULL);
	if (!pipe_is_open(p.server.stream))
		CHECK_INT(pipe_side_send(&p.server, 0, 777), 777);
	else
		pipes_send_all(&p, &p.server, 777);
	receive_up_to(&p, &p.server, &got, PIPE_RING);
	receive_up_to(&p, &p.client, &back, 777);
	CHECK(pipe_is_open(p.client.stream) && pipe_is_open(p.server.stream));
	CHECK(p.client.ready > 0 && p.server.ready > 0);
	CHECK_INT(pipe_error(p.client.stream)->code, 0);
	pipes_stop(&p);
}

/* the end is seen after all bytes, and the other direction goes on for long after it */
static void half_shut(size_t before, bool by_server)
{
	struct pipes p;
	size_t got = 0;
	if (!pipes_open(&p, NULL))
		return;
	struct pipe_side *one = by_server ? &p.server : &p.client;
	struct pipe_side *other = by_server ? &p.client : &p.server;
	const struct iovec byte = {(void *)"x", 1};
	CHECK_INT(pipe_side_send(one, 0, before), before);
	byte_stream_shut(one->stream);
	byte_stream_shut(one->stream);
	CHECK_INT(byte_stream_send(one->stream, &byte, 1), RAMET_ECLOSED);
	receive_up_to(&p, other, &got, before);
	PIPES_UNTIL(&p, pipe_side_end(other) != 0);
	CHECK_INT(pipe_side_end(other), RAMET_ECLOSED);
	pipes_carry(&p, other, one, 5 * PIPE_RING + 12345);
	CHECK_INT(pipe_side_end(one), 0);
	CHECK_INT(pipe_side_end(other), RAMET_ECLOSED);
	CHECK_INT(pipe_error(one->stream)->code, 0);
	CHECK_INT(pipe_error(other->stream)->code, 0);
	byte_stream_shut(other->stream);
	PIPES_UNTIL(&p, pipe_side_end(one) == RAMET_ECLOSED);
	pipes_stop(&p);
}

void test_half_shut(void)
{
	half_shut(0, false);
	half_shut(1, true);
	half_shut(PIPE_RING, false);
	half_shut(PIPE_RING, true);
}

void test_both_shut(void)
{
	struct pipes p;
	size_t there = 0, back = 0;
	if (!pipes_open(&p, NULL))
		return;
	CHECK_INT(pipe_side_send(&p.client, 0, 70000), 70000);
	CHECK_INT(pipe_side_send(&p.server, 0, 80000), 80000);
	byte_stream_shut(p.client.stream);
	byte_stream_shut(p.server.stream);
	receive_up_to(&p, &p.server, &there, 70000);
	receive_up_to(&p, &p.client, &back, 80000);
	PIPES_UNTIL(&p, pipe_side_end(&p.client) != 0 && pipe_side_end(&p.server) != 0);
	CHECK_INT(pipe_side_end(&p.client), RAMET_ECLOSED);
	CHECK_INT(pipe_side_end(&p.server), RAMET_ECLOSED);
	CHECK_INT(pipe_error(p.client.stream)->code, 0);
	pipe_side_close(&p.client); /* who then finds it closed has received all */
	PIPES_UNTIL(&p, pipe_error(p.server.stream)->code != 0);
	CHECK_INT(pipe_side_end(&p.server), RAMET_ECLOSED);
	pipes_stop(&p);
}

void test_shut_before_it_is_open(void)
{
	struct pipes p;
	size_t got = 0;
	if (!pipes_start(&p, NULL) || !pipes_connect(&p))
		return;
	CHECK_INT(pipe_side_send(&p.client, 0, 100), 100);
	byte_stream_shut(p.client.stream);
	PIPES_UNTIL(&p, p.server.stream != NULL);
	receive_up_to(&p, &p.server, &got, 100);
	PIPES_UNTIL(&p, pipe_side_end(&p.server) == RAMET_ECLOSED);
	pipes_carry(&p, &p.server, &p.client, 100);
	pipes_stop(&p);
}

void test_closed_without_shut(void)
{
	struct pipes p;
	size_t got = 0;
	const struct iovec byte = {(void *)"x", 1};
	if (!pipes_open(&p, NULL))
		return;
	CHECK_INT(pipe_side_send(&p.client, 0, 100000), 100000);
	pipe_side_close(&p.client);
	PIPES_UNTIL(&p, pipe_error(p.server.stream)->code != 0);
	receive_up_to(&p, &p.server, &got, 100000);
	CHECK_INT(pipe_side_end(&p.server), RAMET_EPEER);
	CHECK_INT(byte_stream_send(p.server.stream, &byte, 1), RAMET_EPEER);
	byte_stream_shut(p.server.stream);
	CHECK_INT(pipe_side_end(&p.server), RAMET_EPEER);
	CHECK_INT(pipe_error(p.server.stream)->code, RAMET_ECLOSED);
	pipes_stop(&p);
}

/* more of them than are under way at a time */
void test_many_small_pieces_before_close(void)
{
	struct pipes p;
	size_t got = 0;
	if (!pipes_open(&p, NULL))
		return;
	for (size_t i = 0; i < 1000; i++)
		CHECK_INT(pipe_side_send(&p.client, i, 1), 1);
	byte_stream_shut(p.client.stream);
	pipe_side_close(&p.client);
	receive_up_to(&p, &p.server, &got, 1000);
	PIPES_UNTIL(&p, pipe_side_end(&p.server) != 0);
	CHECK_INT(pipe_side_end(&p.server), RAMET_ECLOSED);
	pipes_stop(&p);
}

/* the reader comes to it when the writer has been gone for long */
void test_full_ring_before_close(void)
{
	struct pipes p;
	size_t got = 0;
	if (!pipes_open(&p, &(struct transport_options){.queue_depth = 1}))
		return;
	for (size_t i = 0; i < 100; i++)
		CHECK_INT(pipe_side_send(&p.client, i, 1), 1);
	CHECK_INT(pipe_side_send(&p.client, 100, PIPE_RING), PIPE_RING - 100);
	pipe_side_close(&p.client);
	PIPES_UNTIL(&p, pipe_error(p.server.stream)->code != 0);
	receive_up_to(&p, &p.server, &got, PIPE_RING);
	CHECK_INT(pipe_side_end(&p.server), RAMET_EPEER);
	pipes_stop(&p);
}
