/* base/frame's blocking calls: whole frames, deadlines, descriptors, and peers that misbehave. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/frame.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct sockets {
	int a, b;
	unsigned fds_before;
};

static struct sockets open_sockets(void)
{
	int fds[2] = {-1, -1};
	unsigned before = suite_count_fds();
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	return (struct sockets){fds[0], fds[1], before};
}

static void close_sockets(struct sockets *s)
{
	close_reset(&s->a);
	close_reset(&s->b);
	CHECK_INT(suite_count_fds(), s->fds_before);
}

static void test_frames_with_descriptors(void)
{
	struct sockets s = open_sockets();
	struct ramet_err err = {0};
	int fds[FRAME_MAX_FDS] = {s.a, s.b, s.a, s.b}, got[FRAME_MAX_FDS];
	unsigned count = FRAME_MAX_FDS;
	unsigned char *data = NULL;
	size_t len;
	CHECK_INT(frame_write(s.a, "one", 3, fds, 4, 0, &err), 0);
	CHECK_INT(frame_write(s.a, "", 0, NULL, 0, 0, &err), 0);
	REQUIRE_OK(frame_read(s.b, 100, &data, &len, got, &count, 0, &err), &err);
	CHECK_STR((char *)data, "one");
	CHECK_INT(count, 4);
	CHECK(fcntl(got[3], F_GETFD) & FD_CLOEXEC);
	fdpass_close(got, count);
	free(data);
	REQUIRE_OK(frame_read(s.b, 100, &data, &len, NULL, NULL, 0, &err), &err);
	CHECK_INT(len, 0);
	free(data);
	close_sockets(&s);
}

static void *write_large(void *arg)
{
	const struct sockets *s = arg;
	static unsigned char data[3 << 20];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i / 1000);
	int rc = frame_write(s->a, data, sizeof(data), NULL, 0, now_ns() + 20 * NSEC_PER_SEC, NULL);
	if (rc == 0)
		rc = frame_write(s->a, data, sizeof(data), NULL, 0, 0, NULL);
	return rc == 0 ? NULL : arg;
}

static void check_large(struct sockets *s)
{
	pthread_t thread;
	struct ramet_err err = {0};
	pthread_create(&thread, NULL, write_large, s);
	for (int i = 0; i < 2; i++) {
		auto_free unsigned char *data = NULL;
		size_t len = 0;
		uint64_t deadline = i ? now_ns() + 20 * NSEC_PER_SEC : 0;
		REQUIRE_OK(
			frame_read(s->b, 4 << 20, &data, &len, NULL, NULL, deadline, &err), &err);
		CHECK_INT(len, 3 << 20);
		unsigned wrong = 0;
		for (size_t k = 0; k < len; k++)
			wrong += data[k] != (unsigned char)(k / 1000);
		CHECK_INT(wrong, 0);
	}
	void *failed;
	pthread_join(thread, &failed);
	CHECK(failed == NULL);
}

static void test_large_frames(void)
{
	struct sockets s = open_sockets();
	check_large(&s);
	fcntl(s.a, F_SETFL, O_NONBLOCK);
	fcntl(s.b, F_SETFL, O_NONBLOCK);
	check_large(&s);
	close_sockets(&s);
}

static void test_deadlines(void)
{
	struct sockets s = open_sockets();
	struct ramet_err err = {0};
	unsigned char *data = NULL;
	size_t len;
	static unsigned char big[4 << 20];
	CHECK_INT(frame_read(s.b, 10, &data, &len, NULL, NULL, now_ns() + NSEC_PER_MSEC, &err),
		RAMET_ETIMEOUT);
	CHECK_INT(frame_read(s.b, 10, &data, &len, NULL, NULL, 1, &err), RAMET_ETIMEOUT);
	CHECK_INT(frame_write(s.a, big, sizeof(big), NULL, 0, now_ns() + NSEC_PER_MSEC, &err),
		RAMET_ETIMEOUT);
	CHECK(data == NULL);
	close_sockets(&s);
}

static void test_ends(void)
{
	struct sockets s = open_sockets();
	struct ramet_err err = {0};
	unsigned char *data = NULL;
	size_t len;
	CHECK_INT(send(s.a, "\5\0\0\0ab", 6, 0), 6);
	close_reset(&s.a);
	CHECK_INT(frame_read(s.b, 10, &data, &len, NULL, NULL, 0, &err), RAMET_EPEER);
	CHECK_STR(err.msg, "peer closed the connection within a frame");
	CHECK_INT(frame_read(s.b, 10, &data, &len, NULL, NULL, 0, &err), RAMET_EPEER);
	CHECK_STR(err.msg, "peer closed the connection");
	CHECK_INT(frame_write(s.b, "x", 1, NULL, 0, 0, &err), RAMET_EPEER);
	CHECK_INT(frame_write(s.b, "x", 1, NULL, 5, 0, &err), RAMET_EINVAL);
	CHECK(data == NULL);
	close_sockets(&s);
}

static void test_misbehaving_peers(void)
{
	struct sockets s = open_sockets();
	struct ramet_err err = {0};
	unsigned char *data = NULL;
	size_t len = 77;
	int got[1];
	unsigned count = 1;
	CHECK_INT(send(s.a, "\x0b\0\0\0", 4, 0), 4);
	CHECK_INT(frame_read(s.b, 10, &data, &len, NULL, NULL, 0, &err), RAMET_EPROTO);
	CHECK_INT(frame_write(s.a, "x", 1, (int[]){0, 1}, 2, 0, &err), 0); /* room for one only */
	CHECK_INT(frame_read(s.b, 10, &data, &len, got, &count, 0, &err), RAMET_EPROTO);
	CHECK_INT(count, 1);
	CHECK_INT(len, 77);
	CHECK(data == NULL);
	close_sockets(&s);

	s = open_sockets();
	struct iovec iov = {(void *)"cd", 2};
	CHECK_INT(send(s.a, "\4\0\0\0ab", 6, 0), 6);
	CHECK_INT(fdpass_send(s.a, &iov, 1, (int[]){0}, 1, 0), 2); /* within a frame */
	CHECK_INT(frame_read(s.b, 10, &data, &len, got, &count, 0, &err), RAMET_EPROTO);
	close_sockets(&s);
}

SUITE_MAIN("frame_blocking", TEST(test_frames_with_descriptors), TEST(test_large_frames),
	TEST(test_deadlines), TEST(test_ends), TEST(test_misbehaving_peers))
