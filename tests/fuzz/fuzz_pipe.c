/* What a peer of a pipe does on its connection, over `mem`: messages, immediates and writes,
 * between what the pipe's owner does. The owner's stream ends, or goes on; its positions stay in
 * order, and nothing is left. An input is a list of steps: a byte that says which, and its
 * arguments. */
#include "tests/fuzz/fuzz.h"

#include "base/cleanup.h"
#include "transport/pipe_wire.h"
#include "transport/provider.h"

#include <stdlib.h>
#include <string.h>

#define TURNS_MAX 1000
#define STEPS_MAX 500

struct input {
	const uint8_t *at;
	size_t left;
};

static struct {
	struct loop *loop;
	struct transport *ours, *theirs;
	struct transport_listener *listener;
	struct transport_domain *domain; /* the peer's */
	struct transport_segment *ring, *from;
	struct byte_stream *stream;
	struct transport_conn *conn;
	struct pipe_message hello;
} here;

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void on_ready(void *user)
{
	(void)user;
	require(here.stream != NULL);
}

static int on_accept(
	void *user, const void *token, size_t len, const char *peer, struct transport_accept *ret)
{
	(void)user;
	(void)token;
	(void)len;
	(void)peer;
	return pipe_accept(here.ours, on_ready, NULL, ret, &here.stream, NULL);
}

static void on_message(void *user, struct transport_conn *conn, const void *data, size_t len)
{
	struct pipe_message message;
	(void)user;
	(void)conn;
	require(pipe_message_parse(data, len, &message) == 0);
	if (message.kind == PIPE_HELLO)
		here.hello = message;
}

static void on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	(void)user;
	(void)conn;
	(void)err;
	here.conn = NULL;
}

static const struct transport_handler handler = {.on_message = on_message, .on_closed = on_closed};

static void begin(void)
{
	static unsigned char memory[2 * PIPE_RING];
	require(loop_create(&here.loop, NULL) == 0 &&
		transport_open("mem", here.loop, NULL, &here.ours, NULL) == 0 &&
		transport_open("mem", here.loop, NULL, &here.theirs, NULL) == 0 &&
		transport_domain_create(here.theirs, &here.domain, NULL) == 0 &&
		transport_segment_add(here.domain, memory, PIPE_RING, TRANSPORT_SEGMENT_WRITE,
			&here.ring, NULL) == 0 &&
		transport_segment_add(here.domain, memory + PIPE_RING, PIPE_RING,
			TRANSPORT_SEGMENT_LOCAL, &here.from, NULL) == 0 &&
		transport_listen(here.ours, "mem:fuzz", on_accept, NULL, &here.listener, NULL) ==
			0);
}

static bool is_over(void)
{
	return !here.conn && list_empty(&here.ours->conns) && list_empty(&here.ours->segments) &&
		list_empty(&here.ours->domains);
}

static bool is_met(void)
{
	return here.stream && here.hello.kind == PIPE_HELLO;
}

static void turn_until(bool (*done)(void))
{
	for (unsigned i = 0; !done(); i++) {
		require(i < TURNS_MAX);
		require(loop_turn(here.loop, 0, NULL) == 0);
	}
}

/* a number of the input's; zeros where it has ended */
static uint64_t number(struct input *input, size_t bytes)
{
	uint64_t n = 0;
	size_t len = MIN(bytes, input->left);
	memcpy(&n, input->at, len);
	input->at += len;
	input->left -= len;
	return n;
}

/* a hello whose ring is 0 0 names the one that there is: nobody guesses its key */
static void send_message(struct input *input)
{
	unsigned char bytes[255];
	struct pipe_message message;
	size_t len = number(input, 1);
	len = MIN(len, input->left);
	memcpy(bytes, input->at, len);
	input->at += len;
	input->left -= len;
	if (pipe_message_parse(bytes, len, &message) == 0 && message.kind == PIPE_HELLO &&
		message.ring.id == 0 && message.ring.key == 0) {
		message.ring = transport_segment_ref(here.ring, 0);
		pipe_message_pack(&message, bytes);
	}
	if (len > 0 && here.conn)
		(void)transport_send(here.conn, bytes, len, 0);
}

static void write_there(struct input *input)
{
	struct segment_ref to = here.hello.ring;
	uint32_t imm = (uint32_t)number(input, 4);
	to.offset = number(input, 3);
	size_t len = number(input, 3) % (PIPE_RING + 1);
	if (here.conn)
		(void)transport_write_imm(here.conn, to, here.from, here.from->addr, len, imm, 0);
}

static void ring(struct input *input)
{
	const struct segment_ref nowhere = {0};
	uint32_t imm = (uint32_t)number(input, 4);
	if (here.conn)
		(void)transport_write_imm(here.conn, nowhere, NULL, NULL, 0, imm, 0);
}

static void send_bytes(size_t len)
{
	static unsigned char bytes[1 << 16];
	const struct iovec iov = {bytes, len};
	ssize_t n = byte_stream_send(here.stream, &iov, 1);
	require(n <= (ssize_t)len);
}

static void receive_bytes(size_t len)
{
	static unsigned char to[1 << 16];
	ssize_t n = byte_stream_receive(here.stream, to, len);
	require(n <= (ssize_t)len && n <= (ssize_t)PIPE_RING);
	require(n <= 0 || pipe_is_open(here.stream));
}

static void step(struct input *input)
{
	switch (number(input, 1) % 8) {
	case 0:
		send_message(input);
		break;
	case 1:
		ring(input);
		break;
	case 2:
		write_there(input);
		break;
	case 3:
		send_bytes(number(input, 2));
		break;
	case 4:
		receive_bytes(number(input, 2));
		break;
	case 5:
		require(loop_turn(here.loop, 0, NULL) == 0);
		break;
	case 6:
		byte_stream_shut(here.stream);
		break;
	default:
		byte_stream_listen(here.stream, number(input, 1) & 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input input = {data, len};
	if (!here.loop)
		begin();
	here.hello = (struct pipe_message){.kind = PIPE_END};
	require(transport_connect(
			here.domain, "mem:fuzz", NULL, 0, &handler, NULL, &here.conn, NULL) == 0);
	turn_until(is_met);
	for (unsigned i = 0; input.left > 0 && i < STEPS_MAX; i++)
		step(&input);
	byte_stream_close(here.stream);
	here.stream = NULL;
	if (here.conn)
		transport_conn_close(here.conn);
	turn_until(is_over);
	return 0;
}
