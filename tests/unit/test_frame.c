/* base/frame on a loop: whole frames whatever the socket does to them, descriptors with the right
 * frame, bounds, ends. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/frame.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRAME_LIMIT (1u << 20)
#define QUEUE_LIMIT (4u << 20)

struct end {
	struct frame_conn *conn;
	unsigned frames, descriptors, wrong;
	size_t bytes;
	int closed; /* code of on_closed */
	unsigned close_after; /* close within on_frame of this number */
	bool check_numbers; /* each frame begins with its number; odd ones have a descriptor whose
			       file holds it */
	size_t last_len;
	unsigned char last[64];
};

struct pair {
	struct loop *loop;
	struct end a, b;
	unsigned fds_before;
};

static bool descriptor_holds(int fd, uint32_t number)
{
	uint32_t held = 0;
	return fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) &&
		pread(fd, &held, sizeof(held), 0) == sizeof(held) && held == number;
}

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct end *end = user;
	uint32_t number = 0;
	if (end->check_numbers) {
		memcpy(&number, data, MIN(len, sizeof(number)));
		end->wrong += number != end->frames || nfds != number % 2;
		if (nfds)
			end->wrong += !descriptor_holds(fds[0], number);
	}
	end->frames++;
	end->bytes += len;
	end->descriptors += nfds;
	end->last_len = len;
	memcpy(end->last, data, MIN(len, sizeof(end->last)));
	if (end->close_after && end->frames == end->close_after) {
		frame_conn_close(end->conn);
		end->conn = NULL;
	}
}

static void on_closed(void *user, const struct ramet_err *err)
{
	struct end *end = user;
	end->wrong += end->closed != 0;
	end->closed = err->code;
}

static const struct frame_handler handler = {on_frame, on_closed};

static void open_pair(struct pair *p, bool with_a)
{
	int fds[2] = {-1, -1};
	*p = (struct pair){.fds_before = suite_count_fds()};
	CHECK_INT(loop_create(&p->loop, NULL), 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	if (with_a)
		CHECK_INT(frame_conn_create(p->loop, fds[0], FRAME_LIMIT, QUEUE_LIMIT, &handler,
				  &p->a, &p->a.conn, NULL),
			0);
	CHECK_INT(frame_conn_create(p->loop, fds[1], FRAME_LIMIT, QUEUE_LIMIT, &handler, &p->b,
			  &p->b.conn, NULL),
		0);
	if (!with_a)
		p->a.frames = (unsigned)fds[0]; /* a raw socket: raw() */
}

static int raw(const struct pair *p)
{
	return (int)p->a.frames;
}

static void close_pair(struct pair *p)
{
	frame_conn_close(p->a.conn);
	frame_conn_close(p->b.conn);
	loop_destroy(p->loop);
	CHECK_INT(suite_count_fds(), p->fds_before);
}

static void turn(struct pair *p)
{
	CHECK_INT(loop_turn(p->loop, 10 * NSEC_PER_SEC, NULL), 0);
}

static int numbered_file(uint32_t number)
{
	int fd = memfd_create("frame", MFD_CLOEXEC);
	if (fd >= 0 && write(fd, &number, sizeof(number)) != sizeof(number))
		abort();
	return fd;
}

static int send_numbered(struct frame_conn *conn, uint32_t number, size_t len)
{
	auto_free unsigned char *data = calloc(1, len);
	memcpy(data, &number, sizeof(number));
	auto_close int fd = number % 2 ? numbered_file(number) : -1;
	return frame_send(conn, data, len, &fd, number % 2);
}

static void test_a_frame_arrives(void)
{
	struct pair p;
	open_pair(&p, true);
	CHECK_INT(frame_send(p.a.conn, "hello", 5, NULL, 0), 0);
	CHECK_INT(frame_queued(p.a.conn), 0);
	turn(&p);
	CHECK_INT(p.b.frames, 1);
	CHECK_INT(p.b.last_len, 5);
	CHECK(memcmp(p.b.last, "hello", 5) == 0);
	CHECK_INT(frame_send(p.b.conn, NULL, 0, NULL, 0), 0);
	turn(&p);
	CHECK_INT(p.a.frames, 1);
	CHECK_INT(p.a.last_len, 0);
	close_pair(&p);
}

static void test_descriptors_stay_with_their_frames(void)
{
	struct pair p;
	open_pair(&p, true);
	p.b.check_numbers = true;
	uint32_t sent = 0, refused = 0;
	unsigned x = 7;
	while (p.b.frames < 3000 && !p.b.closed) {
		for (int burst = 0; burst < 50 && sent < 3000; burst++) {
			x = x * 1103515245 + 12345;
			size_t len = x >> 31 ? 4 + (x >> 8) % 100 : 4 + (x >> 8) % 70000;
			int rc = send_numbered(p.a.conn, sent, len);
			CHECK(rc == 0 || rc == RAMET_EAGAIN);
			if (rc == RAMET_EAGAIN) {
				refused++;
				break;
			}
			sent++;
		}
		turn(&p);
	}
	CHECK_INT(p.b.frames, 3000);
	CHECK_INT(p.b.descriptors, 1500);
	CHECK_INT(p.b.wrong, 0);
	CHECK(sent == 3000);
	CHECK_INT(frame_queued(p.a.conn), 0);
	close_pair(&p);
}

static void test_the_queue_is_bounded(void)
{
	struct pair p;
	open_pair(&p, true);
	static unsigned char data[FRAME_LIMIT];
	int rc = 0;
	unsigned sent = 0;
	while ((rc = frame_send(p.a.conn, data, sizeof(data), NULL, 0)) == 0 && sent < 100)
		sent++;
	CHECK_INT(rc, RAMET_EAGAIN);
	CHECK(frame_queued(p.a.conn) <= QUEUE_LIMIT);
	CHECK(frame_queued(p.a.conn) > QUEUE_LIMIT / 2);
	CHECK_INT(frame_send(p.a.conn, data, (size_t)QUEUE_LIMIT + 1, NULL, 0), RAMET_ELIMIT);
	CHECK_INT(frame_send(p.a.conn, data, 1, NULL, 5), RAMET_EINVAL);
	CHECK_INT(frame_send(p.a.conn, data, 1, (int[]){-1}, 1),
		RAMET_EIO); /* queued: duplicating fails */
	while (p.b.frames < sent)
		turn(&p);
	CHECK_INT(p.b.bytes, (size_t)sent * sizeof(data));
	CHECK_INT(frame_queued(p.a.conn), 0);
	CHECK_INT(frame_send(p.a.conn, data, 1, (int[]){-1}, 1), RAMET_EINVAL);
	CHECK_INT(frame_send(p.a.conn, data, 1, NULL, 0), 0);
	close_pair(&p);
}

static void test_frames_byte_by_byte(void)
{
	struct pair p;
	open_pair(&p, false);
	static const char stream[] = "\3\0\0\0abc\0\0\0\0\1\0\0\0z";
	for (size_t i = 0; i < sizeof(stream) - 1; i++) {
		CHECK_INT(send(raw(&p), stream + i, 1, 0), 1);
		turn(&p);
	}
	CHECK_INT(p.b.frames, 3);
	CHECK_INT(p.b.bytes, 4);
	CHECK_INT(p.b.last[0], 'z');
	CHECK_INT(p.b.closed, 0);
	close(raw(&p));
	turn(&p);
	CHECK_INT(p.b.closed, RAMET_EPEER);
	close_pair(&p);
}

static void test_closing_ends_it_once_after_what_was_sent(void)
{
	struct pair p;
	open_pair(&p, true);
	CHECK_INT(frame_send(p.a.conn, "last", 4, NULL, 0), 0);
	frame_conn_close(p.a.conn);
	p.a.conn = NULL;
	turn(&p);
	if (!p.b.closed)
		turn(&p);
	CHECK_INT(p.b.frames, 1);
	CHECK_INT(p.b.closed, RAMET_EPEER);
	CHECK_INT(frame_send(p.b.conn, "x", 1, NULL, 0), RAMET_ECLOSED);
	loop_turn(p.loop, 0, NULL);
	CHECK_INT(p.b.wrong, 0);
	close_pair(&p);
}

static void test_sending_to_a_closed_peer(void)
{
	struct pair p;
	open_pair(&p, false);
	CHECK_INT(send(raw(&p), "\1\0\0\0q", 5, 0), 5);
	shutdown(raw(&p), SHUT_RD);
	CHECK_INT(frame_send(p.b.conn, "x", 1, NULL, 0), RAMET_EPEER);
	CHECK_INT(frame_send(p.b.conn, "x", 1, NULL, 0), RAMET_EPEER);
	while (!p.b.closed)
		turn(&p);
	CHECK_INT(p.b.frames, 1); /* what the peer had said before */
	CHECK_INT(p.b.closed, RAMET_EPEER);
	close(raw(&p));
	close_pair(&p);
}

static void test_a_peer_that_goes_while_we_have_a_queue(void)
{
	struct pair p;
	open_pair(&p, true);
	static unsigned char data[FRAME_LIMIT];
	for (uint32_t i = 0; i < 3; i++)
		CHECK_INT(frame_send(p.a.conn, data, sizeof(data), NULL, 0), 0);
	CHECK_INT(send_numbered(p.a.conn, 1, 4), 0); /* a descriptor in the queue */
	CHECK(frame_queued(p.a.conn) > 0);
	frame_conn_close(p.b.conn);
	p.b.conn = NULL;
	while (!p.a.closed)
		turn(&p);
	CHECK_INT(p.a.closed, RAMET_EPEER);
	CHECK_INT(frame_queued(p.a.conn), 0);
	close_pair(&p);
}

static void test_closing_within_a_frame(void)
{
	struct pair p;
	open_pair(&p, true);
	p.b.close_after = 2;
	for (uint32_t i = 0; i < 5; i++)
		CHECK_INT(send_numbered(p.a.conn, i, 8), 0);
	while (p.b.conn)
		turn(&p);
	CHECK_INT(p.b.frames, 2);
	CHECK_INT(p.b.closed, 0);
	while (!p.a.closed)
		turn(&p);
	close_pair(&p);
}

static void check_protocol_error(const void *bytes, size_t len, unsigned nfds, size_t before)
{
	struct pair p;
	open_pair(&p, false);
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fds[FDPASS_MAX] = {null_fd, null_fd, null_fd, null_fd};
	const unsigned char *data = bytes;
	if (before) {
		CHECK_INT(send(raw(&p), data, before, 0), before);
		turn(&p);
	}
	struct iovec iov = {(void *)(data + before), len - before};
	CHECK_INT(fdpass_send(raw(&p), &iov, 1, fds, nfds, 0), len - before);
	turn(&p);
	CHECK_INT(p.b.closed, RAMET_EPROTO);
	CHECK_INT(p.b.frames, 0);
	close(null_fd);
	close(raw(&p));
	close_pair(&p);
}

static void test_protocol_errors(void)
{
	check_protocol_error("\xff\xff\xff\xff", 4, 0, 0); /* too long */
	check_protocol_error("\1\0\x10\0", 4, 2, 0); /* by one; descriptors are closed */
	check_protocol_error("\5\0\0\0abcde", 9, 1, 6); /* descriptors within a frame */
	check_protocol_error("\5\0\0\0abcde", 9, 1, 2); /* within its header */
}

static void test_too_many_descriptors(void)
{
	struct pair p;
	open_pair(&p, false);
	union {
		char bytes[CMSG_SPACE(7 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {(void *)"\0\0\0\0", 4};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
	msg.msg_controllen = sizeof(control.bytes);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	*c = (struct cmsghdr){CMSG_LEN(7 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	int fds[7] = {0, 0, 0, 1, 1, 1, 1};
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	CHECK_INT(sendmsg(raw(&p), &msg, 0), 4);
	turn(&p);
	CHECK_INT(p.b.closed, RAMET_EPROTO);
	CHECK_INT(p.b.frames, 0);
	close(raw(&p));
	close_pair(&p);
}

static void test_no_room_for_descriptors(void)
{
	struct pair p;
	struct rlimit limit;
	int fd = STDIN_FILENO;
	open_pair(&p, true);
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
	CHECK_INT(frame_send(p.a.conn, "x", 1, &fd, 1), 0);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
	turn(&p);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK_INT(p.b.closed, RAMET_EIO);
	CHECK_INT(p.b.frames, 0);
	close_pair(&p);
}

static void test_not_a_descriptor(void)
{
	struct pair p;
	struct frame_conn *conn = NULL;
	struct ramet_err err = {0};
	open_pair(&p, true);
	CHECK_INT(frame_conn_create(p.loop, -1, 1, 1, &handler, NULL, &conn, &err), RAMET_EIO);
	auto_close int file =
		open("/etc/passwd", O_RDONLY | O_CLOEXEC); /* epoll refuses regular files */
	CHECK_INT(frame_conn_create(p.loop, file, 1, 1, &handler, NULL, &conn, &err), RAMET_EIO);
	CHECK(fcntl(file, F_GETFD) >= 0); /* still the caller's */
	CHECK(conn == NULL);
	frame_conn_close(NULL);
	close_reset(&file);
	close_pair(&p);
}

SUITE_MAIN("frame", TEST(test_a_frame_arrives), TEST(test_descriptors_stay_with_their_frames),
	TEST(test_the_queue_is_bounded), TEST(test_frames_byte_by_byte),
	TEST(test_closing_ends_it_once_after_what_was_sent), TEST(test_sending_to_a_closed_peer),
	TEST(test_a_peer_that_goes_while_we_have_a_queue), TEST(test_closing_within_a_frame),
	TEST(test_protocol_errors), TEST(test_too_many_descriptors),
	TEST(test_no_room_for_descriptors), TEST(test_not_a_descriptor))
