/* A relay between a client's socket and a pipe (cluster/lease_relay.h), as far as it is not the
 * same as a socket alone (test_slots_far.c runs over both). */
#include "base/clock.h"
#include "runtime/slots/slots_wire.h"
#include "tests/lib/suite.h"
#include "tests/slots/far_pair.h"
#include "transport/mem.h"

#include <errno.h>
#include <sys/socket.h>

#define PATIENCE_NS (60 * NSEC_PER_SEC)

/* how many of the two transports are polled */
static unsigned polling(const struct far_pair *p)
{
	const struct transport *const both[] = {p->segments.transport, p->node_transport};
	unsigned polled = 0;
	for (unsigned i = 0; i < 2; i++) {
		struct transport_spins spins;
		transport_spins(both[i], &spins);
		polled += spins.begun != spins.ended;
	}
	return polled;
}

static void send_header(int fd, uint64_t len)
{
	const struct slots_wire call = {
		.type = SLOTS_WIRE_CALL, .slot = 3, .number = 7, .len = len, .size = 1};
	unsigned char header[SLOTS_WIRE_BYTES];
	slots_wire_pack(&call, header);
	CHECK_INT(send(fd, header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
}

static bool hangs_up(int fd)
{
	char nothing[64];
	ssize_t n = recv(fd, nothing, sizeof(nothing), MSG_DONTWAIT);
	while (n > 0)
		n = recv(fd, nothing, sizeof(nothing), MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* whoever has the client's end of the relay may do with it what it wants */
static void test_a_relay_whose_node_goes(void)
{
	struct far_pair p;
	REQUIRE(far_pair_open(&p, FAR_NODE, 0));
	send_header(p.client_fd, 0);
	(void)far_pair_turn(&p);
	far_pair_end(&p, false); /* in order, though the call has no answer */
	for (unsigned i = 0; i < 100 && !hangs_up(p.client_fd); i++)
		(void)far_pair_turn(&p);
	CHECK(hangs_up(p.client_fd));
	CHECK_INT(p.lost, 0);
	for (unsigned i = 0; i < 100; i++) { /* it talks to nobody, for nothing */
		(void)send(p.client_fd, "x", 1, MSG_NOSIGNAL);
		(void)far_pair_turn(&p);
	}
	CHECK_INT(polling(&p), 0);
	far_pair_close(&p);
}

static void test_a_relay_that_breaks(void)
{
	struct far_pair p;
	REQUIRE(far_pair_open(&p, FAR_NODE, 0));
	send_header(p.client_fd, 0);
	(void)far_pair_turn(&p);
	transport_mem_stop(p.node_transport);
	uint64_t deadline = now_ns() + PATIENCE_NS;
	while (p.lost == 0 && now_ns() < deadline)
		(void)far_pair_turn(&p);
	CHECK_INT(p.lost, 1);
	CHECK(hangs_up(p.client_fd));
	CHECK_INT(polling(&p), 0);
	far_pair_close(&p);
}

/* answers that nobody reads fill the relay and the ring, and no more */
static void test_a_relay_that_is_not_read(void)
{
	static unsigned char data[8u << 20];
	struct far_pair p;
	REQUIRE(far_pair_open(&p, FAR_NODE, 0));
	int fd = p.client_fd;
	send_header(fd, sizeof(data));
	uint64_t deadline = now_ns() + PATIENCE_NS;
	for (size_t sent = 0; sent < sizeof(data) && now_ns() < deadline;) {
		ssize_t n = send(fd, data + sent, sizeof(data) - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		CHECK_INT(far_pair_turn(&p), 0);
	}
	for (unsigned i = 0; i < 100; i++) {
		(void)lease_memory_serve(&p.memory);
		lease_stream_look(p.stream);
		CHECK_INT(far_pair_turn(&p), 0);
	}
	CHECK_INT(p.gone, 0);
	CHECK_INT(shutdown(fd, SHUT_WR), 0); /* it has nothing to say, either: that is its end */
	for (unsigned i = 0; i < 100 && p.gone == 0; i++)
		CHECK_INT(far_pair_turn(&p), 0);
	CHECK_INT(p.gone, 1);
	CHECK_INT(polling(&p), 0);
	far_pair_close(&p);
}

SUITE_MAIN("lease_relay", TEST(test_a_relay_whose_node_goes), TEST(test_a_relay_that_breaks),
	TEST(test_a_relay_that_is_not_read))
