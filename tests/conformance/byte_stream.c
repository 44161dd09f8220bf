/* Byte streams over sockets: a pair in one process, on one loop that the test turns. */
#include "transport/byte_stream.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/lib/suite.h"

#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_NS (20 * NSEC_PER_SEC)
#define MUCH (8u << 20) /* more than any socket takes */

struct side {
	struct byte_stream *stream;
	unsigned ready;
	bool closes; /* from on_ready */
};
struct streams {
	struct loop *loop;
	struct side a, b;
	unsigned fds;
};

static unsigned char bytes[MUCH], received[MUCH];

static void on_ready(void *user)
{
	struct side *side = user;
	CHECK(side->stream != NULL);
	side->ready++;
	if (side->closes) {
		byte_stream_close(side->stream);
		side->stream = NULL;
	}
}

static int side_open(struct streams *s, struct side *side, int fd)
{
	struct ramet_err err = {0};
	int rc = byte_stream_of_socket(s->loop, fd, on_ready, side, &side->stream, &err);
	return suite_check_ok(rc, &err, "byte_stream_of_socket", __FILE__, __LINE__);
}

static bool streams_open_on(struct streams *s, const int fds[2])
{
	for (size_t i = 0; i < MUCH; i++)
		bytes[i] = (unsigned char)(i * 7 + (i >> 8) * 13 + (i >> 16));
	return CHECK_INT(loop_create(&s->loop, NULL), 0) && side_open(s, &s->a, fds[0]) &&
		side_open(s, &s->b, fds[1]);
}

static bool streams_open(struct streams *s)
{
	int fds[2];
	*s = (struct streams){.fds = suite_count_fds()};
	return CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
		       0) &&
		streams_open_on(s, fds);
}

static void streams_close(struct streams *s)
{
	byte_stream_close(s->a.stream);
	byte_stream_close(s->b.stream);
	byte_stream_close(NULL);
	loop_destroy(s->loop);
	CHECK_INT(suite_count_fds(), s->fds);
}

static void turn(struct streams *s)
{
	CHECK_INT(loop_turn(s->loop, 0, NULL), 0);
}

static void wait_ready(struct streams *s, const struct side *side, unsigned ready)
{
	uint64_t deadline = now_ns() + suite_patience(WAIT_NS);
	while (side->ready < ready && now_ns() < deadline)
		(void)loop_turn(s->loop, NSEC_PER_SEC / 10, NULL);
	CHECK(side->ready >= ready);
}

static ssize_t send_bytes(struct side *side, size_t at, size_t len)
{
	const struct iovec iov[] = {{bytes + at, len / 2}, {bytes + at + len / 2, len - len / 2}};
	return byte_stream_send(side->stream, iov, 2);
}

/* all that there is, from position `at`; where it ends */
static size_t receive_bytes(struct side *side, size_t at)
{
	ssize_t n;
	while ((n = byte_stream_receive(side->stream, received, 77777)) > 0) {
		CHECK(memcmp(received, bytes + at, (size_t)n) == 0);
		at += (size_t)n;
	}
	CHECK_INT(n, 0);
	return at;
}

static void test_sends_that_fall_short_go_on(void)
{
	struct streams s;
	if (!streams_open(&s))
		return;
	size_t sent = 0, got = 0;
	CHECK_INT(send_bytes(&s.a, 0, 0), 0);
	while (sent < MUCH) {
		ssize_t n = send_bytes(&s.a, sent, MUCH - sent);
		REQUIRE(n >= 0);
		sent += (size_t)n;
		unsigned ready = s.a.ready;
		if (sent < MUCH) { /* no room: it is not told of any */
			turn(&s);
			CHECK_INT(s.a.ready, ready);
		}
		wait_ready(&s, &s.b, 1);
		got = receive_bytes(&s.b, got);
		CHECK_INT(got, sent);
		if (sent < MUCH)
			wait_ready(&s, &s.a, ready + 1);
	}
	CHECK(s.a.ready > 1);
	unsigned ready = s.a.ready;
	turn(&s);
	turn(&s);
	CHECK_INT(s.a.ready, ready);
	streams_close(&s);
}

static void test_more_pieces_than_a_call_takes(void)
{
	struct streams s;
	static struct iovec iov[2 * IOV_MAX];
	if (!streams_open(&s))
		return;
	for (size_t i = 0; i < ARRAY_LEN(iov); i++)
		iov[i] = (struct iovec){bytes + i, 1};
	ssize_t n = byte_stream_send(s.a.stream, iov, ARRAY_LEN(iov));
	CHECK(n > 0);
	if (n < (ssize_t)ARRAY_LEN(iov)) {
		wait_ready(&s, &s.a, 1);
		n += byte_stream_send(s.a.stream, iov + n, (unsigned)(ARRAY_LEN(iov) - (size_t)n));
	}
	CHECK_INT(n, ARRAY_LEN(iov));
	CHECK_INT(receive_bytes(&s.b, 0), ARRAY_LEN(iov));
	streams_close(&s);
}

static void test_listening(void)
{
	struct streams s;
	if (!streams_open(&s))
		return;
	byte_stream_listen(s.b.stream, false);
	CHECK_INT(send_bytes(&s.a, 0, 100), 100);
	turn(&s);
	CHECK_INT(s.b.ready, 0);
	CHECK_INT(receive_bytes(&s.b, 0), 100);
	byte_stream_listen(s.b.stream, true);
	CHECK_INT(s.b.ready, 0);
	CHECK_INT(send_bytes(&s.a, 100, 100), 100);
	wait_ready(&s, &s.b, 1);
	CHECK_INT(receive_bytes(&s.b, 100), 200);
	streams_close(&s);
}

/* what was not received is told of until it is; to who does not listen nothing is, again and again
 */
static void test_told_until_it_is_received(void)
{
	struct streams s;
	if (!streams_open(&s))
		return;
	CHECK_INT(send_bytes(&s.a, 0, 100), 100);
	wait_ready(&s, &s.b, 3);
	CHECK_INT(receive_bytes(&s.b, 0), 100);
	unsigned ready = s.b.ready;
	for (unsigned i = 0; i < 5; i++)
		turn(&s);
	CHECK_INT(s.b.ready, ready);

	byte_stream_listen(s.b.stream, false);
	byte_stream_shut(s.b.stream);
	byte_stream_close(s.a.stream);
	s.a.stream = NULL;
	for (unsigned i = 0; i < 5; i++)
		turn(&s);
	CHECK(s.b.ready <= ready + 1);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 1), RAMET_ECLOSED);
	streams_close(&s);
}

static void test_shut(void)
{
	struct streams s;
	if (!streams_open(&s))
		return;
	CHECK_INT(send_bytes(&s.a, 0, 1000), 1000);
	byte_stream_shut(s.a.stream);
	byte_stream_shut(s.a.stream);
	CHECK_INT(send_bytes(&s.a, 1000, 1), RAMET_ECLOSED);
	wait_ready(&s, &s.b, 1);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 0), 0);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 1000), 1000);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 0), 0);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 1), RAMET_ECLOSED);
	CHECK_INT(send_bytes(&s.b, 0, 1000), 1000); /* the other direction goes on */
	CHECK_INT(receive_bytes(&s.a, 0), 1000);
	streams_close(&s);
}

static void test_peer_has_closed(void)
{
	struct streams s;
	if (!streams_open(&s))
		return;
	CHECK_INT(send_bytes(&s.a, 0, 1000), 1000);
	byte_stream_close(s.a.stream);
	s.a.stream = NULL;
	wait_ready(&s, &s.b, 1);
	CHECK_INT(send_bytes(&s.b, 0, 1), RAMET_EPEER);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 2000), 1000);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 1), RAMET_ECLOSED);
	streams_close(&s);
}

/* it does not look like an end, however often one asks, and whoever finds it out */
static void lost(bool by_send)
{
	struct streams s = {.fds = suite_count_fds()};
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	const struct linger now = {1, 0};
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fds[2] = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1};
	REQUIRE(bind(listening, (struct sockaddr *)&addr, len) == 0 && listen(listening, 1) == 0);
	REQUIRE(getsockname(listening, (struct sockaddr *)&addr, &len) == 0);
	REQUIRE(connect(fds[0], (struct sockaddr *)&addr, len) == 0);
	fds[1] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	close(listening);
	REQUIRE(fds[1] >= 0);
	if (!streams_open_on(&s, fds))
		return;
	REQUIRE(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
	byte_stream_close(s.a.stream); /* a reset */
	s.a.stream = NULL;
	wait_ready(&s, &s.b, 1);
	if (by_send)
		CHECK_INT(send_bytes(&s.b, 0, 1), RAMET_EPEER);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 1), RAMET_EPEER);
	CHECK_INT(byte_stream_receive(s.b.stream, received, 1), RAMET_EPEER);
	CHECK_INT(send_bytes(&s.b, 0, 1), RAMET_EPEER);
	streams_close(&s);
}

static void test_lost(void)
{
	lost(false);
	lost(true);
}

static void test_close_from_on_ready(void)
{
	struct streams s;
	if (!streams_open(&s))
		return;
	s.b.closes = true;
	CHECK_INT(send_bytes(&s.a, 0, 100), 100);
	CHECK_INT(send_bytes(&s.b, 0, 100), 100);
	wait_ready(&s, &s.b, 1);
	CHECK(s.b.stream == NULL);
	turn(&s);
	CHECK_INT(s.b.ready, 1);

	/* and while it waits for room */
	CHECK_INT(byte_stream_receive(s.a.stream, received, 200), 100);
	streams_close(&s);
	if (!streams_open(&s))
		return;
	s.a.closes = true;
	CHECK(send_bytes(&s.a, 0, MUCH) < MUCH);
	CHECK_INT(s.a.ready, 0);
	(void)receive_bytes(&s.b, 0);
	wait_ready(&s, &s.a, 1);
	CHECK(s.a.stream == NULL);
	streams_close(&s);
}

SUITE_MAIN("byte_stream", TEST(test_sends_that_fall_short_go_on),
	TEST(test_more_pieces_than_a_call_takes), TEST(test_listening),
	TEST(test_told_until_it_is_received), TEST(test_shut), TEST(test_peer_has_closed),
	TEST(test_lost), TEST(test_close_from_on_ready))
