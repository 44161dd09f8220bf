/* The host's end of the control socket: frames in any pieces, and memory that goes back. */
#include "runtime/host/channel.h"

#include "base/cleanup.h"
#include "tests/lib/suite.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
	struct channel channel;
	int peer;
};

static bool open_world(struct world *w)
{
	int pair[2];
	if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0))
		return false;
	channel_init(&w->channel, pair[0]);
	w->peer = pair[1];
	return true;
}

static void close_world(struct world *w)
{
	channel_forget(&w->channel);
	close(w->channel.fd);
	close_reset(&w->peer);
}

static void put(struct world *w, const void *bytes, size_t len)
{
	CHECK_INT(send(w->peer, bytes, len, MSG_NOSIGNAL), len);
}

/* the next frame is this text */
static void check_frame(struct world *w, const char *text)
{
	const unsigned char *data = NULL;
	size_t len = 0;
	struct ramet_err err = {0};
	REQUIRE_OK(channel_read(&w->channel, &data, &len, &err), &err);
	CHECK_INT(len, strlen(text));
	CHECK(len == strlen(text) && memcmp(data, text, len) == 0);
}

static int read_error(struct world *w)
{
	const unsigned char *data = NULL;
	size_t len = 0;
	struct ramet_err err = {0};
	return channel_read(&w->channel, &data, &len, &err);
}

static void test_frames_come_in_any_pieces(void)
{
	struct world w = {.peer = -1};
	REQUIRE(open_world(&w));
	put(&w, "\x03\0\0\0one\x03\0\0\0two\x05\0\0\0th", 20);
	check_frame(&w, "one");
	check_frame(&w, "two");
	put(&w, "ree\x01", 4);
	check_frame(&w, "three");
	put(&w, "\0\0\0!", 4);
	check_frame(&w, "!");
	close_world(&w);
}

static void test_end_of_stream_is_told_by_where_it_comes(void)
{
	struct world w = {.peer = -1};
	REQUIRE(open_world(&w));
	put(&w, "\x01\0\0\0x", 5);
	shutdown(w.peer, SHUT_WR);
	check_frame(&w, "x");
	CHECK_INT(read_error(&w), RAMET_ECLOSED);
	close_world(&w);
	REQUIRE(open_world(&w));
	put(&w, "\x05\0\0\0x", 5);
	shutdown(w.peer, SHUT_WR);
	CHECK_INT(read_error(&w), RAMET_EPROTO);
	close_world(&w);
}

static void test_lengths_are_bounded(void)
{
	struct world w = {.peer = -1};
	REQUIRE(open_world(&w));
	put(&w, "\0\0\0\0", 4);
	CHECK_INT(read_error(&w), RAMET_EPROTO);
	close_world(&w);
	REQUIRE(open_world(&w));
	put(&w, "\x01\0\0\x05", 4); /* HOST_MAX_FRAME + 1 */
	CHECK_INT(read_error(&w), RAMET_EPROTO);
	close_world(&w);
}

/* a frame larger than the channel's own memory, with the start of another behind it */
static void read_large(struct world *w, size_t len)
{
	char *text = calloc(1, len + 8);
	struct ramet_err err = {0};
	const unsigned char *data = NULL;
	size_t got = 0;
	for (unsigned i = 0; i < 4; i++)
		text[i] = (char)(len >> (8 * i));
	text[4] = 'a';
	text[3 + len] = 'z';
	text[4 + len] = 2;
	pid_t pid = fork(); /* the socket does not hold it all */
	if (pid == 0) {
		for (size_t at = 0; at < len + 8;)
			at += (size_t)send(w->peer, text + at, len + 8 - at, MSG_NOSIGNAL);
		_exit(0);
	}
	REQUIRE_OK(channel_read(&w->channel, &data, &got, &err), &err);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK_INT(got, len);
	CHECK(data[0] == 'a' && data[len - 1] == 'z');
	free(text);
}

static void test_large_frames_are_read_and_their_memory_given_back(void)
{
	struct world w = {.peer = -1};
	REQUIRE(open_world(&w));
	read_large(&w, 3u << 20);
	CHECK(w.channel.data != w.channel.small);
	put(&w, "ok", 2);
	check_frame(&w, "ok");
	CHECK(w.channel.data == w.channel.small);
	close_world(&w);
}

static void test_trim_keeps_what_is_unread_and_forget_does_not(void)
{
	struct world w = {.peer = -1};
	REQUIRE(open_world(&w));
	read_large(&w, 100000); /* too small to be given back by itself */
	put(&w, "ok\x03\0\0\0new", 9);
	check_frame(&w, "ok");
	CHECK(w.channel.data != w.channel.small);
	channel_trim(&w.channel);
	CHECK(w.channel.data == w.channel.small);
	check_frame(&w, "new");
	put(&w, "\x01\0\0\0x\x03\0\0\0old", 12);
	check_frame(&w, "x");
	channel_forget(&w.channel);
	put(&w, "\x03\0\0\0own", 7);
	check_frame(&w, "own");
	close_world(&w);
}

static void test_send_to_nobody_is_closed(void)
{
	struct world w = {.peer = -1};
	struct ramet_err err = {0};
	const struct iovec part = {(void *)"x", 1};
	REQUIRE(open_world(&w));
	CHECK_INT(channel_send(&w.channel, &part, 1, NULL, 0, &err), 0);
	close_reset(&w.peer);
	CHECK_INT(channel_send(&w.channel, &part, 1, NULL, 0, &err), RAMET_ECLOSED);
	CHECK(!w.channel.sending);
	close_world(&w);
}

SUITE_MAIN("host_channel", TEST(test_frames_come_in_any_pieces),
	TEST(test_end_of_stream_is_told_by_where_it_comes), TEST(test_lengths_are_bounded),
	TEST(test_large_frames_are_read_and_their_memory_given_back),
	TEST(test_trim_keeps_what_is_unread_and_forget_does_not),
	TEST(test_send_to_nobody_is_closed))
