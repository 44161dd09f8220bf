/* See pipe_raw.h. */
#include "tests/conformance/pipe_raw.h"

#include <stdlib.h>
#include <string.h>

static void on_complete(void *user, const struct transport_completion *completion)
{
	struct raw_pipe *raw = user;
	raw->done++;
	if (completion->status != 0)
		raw->status = completion->status;
}

static void on_doorbell(void *user, struct transport_conn *conn, uint32_t imm)
{
	struct raw_pipe *raw = user;
	(void)conn;
	CHECK_INT(pipe_take_imm(&raw->at, imm), 0);
	raw->at.read = raw->at.came;
	raw->doorbells++;
}

static void on_message(void *user, struct transport_conn *conn, const void *data, size_t len)
{
	struct raw_pipe *raw = user;
	struct pipe_message message;
	(void)conn;
	raw->messages++;
	if (CHECK_INT(pipe_message_parse(data, len, &message), 0) && message.kind == PIPE_HELLO)
		raw->hello = message;
}

static void on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	struct raw_pipe *raw = user;
	(void)conn;
	(void)err;
	raw->conn = NULL;
}

static const struct transport_handler raw_handler = {
	.on_complete = on_complete,
	.on_doorbell = on_doorbell,
	.on_message = on_message,
	.on_closed = on_closed,
};

bool raw_pipe_open(struct raw_pipe *raw, struct pipes *p)
{
	struct ramet_err err = {0};
	memset(raw, 0, sizeof(*raw));
	raw->pipes = p;
	raw->victim.loop = p->server.loop;
	raw->victim.transport = p->server.transport;
	raw->memory = calloc(2, PIPE_RING);
	if (!CHECK(raw->memory != NULL))
		return false;
	p->accepting = &raw->victim;
	int rc = transport_domain_create(p->client.transport, &raw->domain, &err);
	if (rc == 0)
		rc = transport_segment_add(raw->domain, raw->memory, PIPE_RING,
			TRANSPORT_SEGMENT_WRITE, &raw->ring, &err);
	if (rc == 0)
		rc = transport_segment_add(raw->domain, raw->memory + PIPE_RING, PIPE_RING,
			TRANSPORT_SEGMENT_LOCAL, &raw->from, &err);
	if (rc == 0)
		rc = transport_connect(raw->domain, transport_listener_addr(p->listener),
			PIPES_TOKEN, strlen(PIPES_TOKEN), &raw_handler, raw, &raw->conn, &err);
	if (!suite_check_ok(rc, &err, "raw_pipe_open", __FILE__, __LINE__))
		return false;
	PIPES_UNTIL(p, raw->messages > 0 && raw->victim.stream);
	return raw->messages > 0 && raw->victim.stream;
}

static void on_drained(void *user)
{
	unsigned *left = user;
	--*left;
}

void raw_pipe_close(struct raw_pipe *raw)
{
	struct pipes *p = raw->pipes;
	unsigned left = 2;
	if (raw->conn)
		transport_conn_close(raw->conn);
	pipe_side_close(&raw->victim);
	PIPES_UNTIL(p, !raw->conn);
	if (raw->ring)
		transport_segment_remove(raw->ring, on_drained, &left);
	else
		left--;
	transport_segment_remove(raw->from, on_drained, &left);
	transport_domain_destroy(raw->domain);
	PIPES_UNTIL(p, left == 0);
	free(raw->memory);
	p->accepting = NULL;
	pipes_carry(p, &p->client, &p->server, 100);
	pipes_carry(p, &p->server, &p->client, 100);
}

/* the queue may be full, and the victim may have hung up */
static bool wait_for_room(struct raw_pipe *raw)
{
	PIPES_UNTIL(raw->pipes,
		!raw->conn || transport_conn_inflight(raw->conn) < transport_conn_depth(raw->conn));
	return raw->conn != NULL;
}

static void posted(struct raw_pipe *raw, int rc)
{
	raw->posted += rc == 0;
	CHECK(rc == 0 || rc == RAMET_ECLOSED || rc == RAMET_EPEER || rc == RAMET_EAGAIN);
}

void raw_pipe_say(struct raw_pipe *raw, const void *data, size_t len)
{
	if (wait_for_room(raw))
		posted(raw, transport_send(raw->conn, data, len, 0));
}

void raw_pipe_message(struct raw_pipe *raw, const struct pipe_message *message)
{
	unsigned char bytes[PIPE_MESSAGE_BYTES];
	pipe_message_pack(message, bytes);
	raw_pipe_say(raw, bytes, sizeof(bytes));
}

void raw_pipe_hello(struct raw_pipe *raw)
{
	const struct pipe_message hello = {
		.kind = PIPE_HELLO, .ring = transport_segment_ref(raw->ring, 0)};
	raw_pipe_message(raw, &hello);
}

void raw_pipe_end(struct raw_pipe *raw, uint64_t position)
{
	const struct pipe_message end = {.kind = PIPE_END, .position = position};
	raw_pipe_message(raw, &end);
}

void raw_pipe_ring(struct raw_pipe *raw, uint32_t imm)
{
	const struct segment_ref nowhere = {0};
	if (wait_for_room(raw))
		posted(raw, transport_write_imm(raw->conn, nowhere, NULL, NULL, 0, imm, 0));
}

void raw_pipe_write(struct raw_pipe *raw, size_t at, size_t len, uint32_t imm)
{
	struct segment_ref to = raw->hello.ring;
	to.offset = at;
	if (wait_for_room(raw))
		posted(raw,
			transport_write_imm(
				raw->conn, to, raw->from, raw->memory + PIPE_RING, len, imm, 0));
}

void raw_pipe_piece(struct raw_pipe *raw, size_t len)
{
	size_t at = raw->at.posted % PIPE_RING;
	len = MIN(len, PIPE_RING - at);
	unsigned done = raw->posted; /* what is sent lies in the same place as the one before */
	PIPES_UNTIL(raw->pipes, !raw->conn || raw->done >= done);
	memcpy(raw->memory + PIPE_RING, pipes_bytes(raw->at.posted, len), len);
	raw->at.posted += len;
	raw_pipe_write(raw, at, len, pipe_imm(&raw->at));
}
