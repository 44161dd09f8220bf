/* See pipe.h. Positions are those of pipe_wire.h; a byte at position p lies at p modulo the ring's
 * size, in the peer's ring as in what is staged for it. */
#include "transport/pipe.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "transport/pipe_wire.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WRITES 64u /* under way; a power of two */
#define QUARTER (PIPE_RING / 4)
#define OTHER_COOKIE UINT64_MAX /* of what leaves nothing behind in memory */

struct pipe {
	struct byte_stream base;
	struct transport_domain *domain;
	struct transport_conn *conn; /* NULL: not yet, or it has ended */
	unsigned char *memory; /* our ring, then what is staged for the peer's */
	struct transport_segment *ring, *staged;
	unsigned segments; /* that are not drained */
	bool alone; /* it has no connection, and gets none */
	struct segment_ref peer_ring;
	bool greeted; /* ours was said */
	bool open;
	struct pipe_positions at;
	uint64_t filled; /* bytes in what is staged; some of them not posted yet */
	uint64_t left; /* of those posted, those that have left the memory */
	struct {
		uint64_t end;
		bool done;
	} writes[WRITES]; /* under way, in order */
	unsigned first, last;
	bool full; /* a send fell short */
	bool shut, end_said;
	bool ended; /* by the peer, at: */
	uint64_t end;
	bool deaf;
	struct ramet_err err;
};

static struct pipe *of(struct byte_stream *base)
{
	return container_of(base, struct pipe, base);
}

static const struct pipe *of_const(const struct byte_stream *base)
{
	return container_of(base, const struct pipe, base);
}

/* --- its life --- */

static void try_free(struct pipe *p)
{
	if (p->base.on_ready || !p->alone || p->segments > 0)
		return;
	munmap(p->memory, 2 * PIPE_RING);
	free(p);
}

static void on_drained(void *user)
{
	struct pipe *p = user;
	p->segments--;
	try_free(p);
}

/* No connection (any more): nobody is to reach the memory. The handle may outlive the transport,
 * which the rest does not need. */
static void leave_alone(struct pipe *p)
{
	p->alone = true;
	p->conn = NULL;
	transport_segment_remove(p->ring, on_drained, p);
	transport_segment_remove(p->staged, on_drained, p);
	transport_domain_destroy(p->domain);
	p->domain = NULL;
}

static void fail(struct pipe *p, int code, const char *why)
{
	if (p->err.code != 0)
		return;
	err_set(&p->err, code, "%s", why);
	if (p->conn)
		transport_conn_close(p->conn);
}

/* what a caller is told, who may ask for more (pipe_error) */
static int loss(const struct pipe *p)
{
	if (p->err.code == 0)
		return 0;
	return p->err.code == RAMET_EPROTO ? RAMET_EPROTO : RAMET_EPEER;
}

static void tell(struct pipe *p)
{
	if (p->base.on_ready)
		p->base.on_ready(p->base.user);
}

static int add_segments(struct pipe *p, struct ramet_err *err)
{
	int rc = transport_segment_add(
		p->domain, p->memory, PIPE_RING, TRANSPORT_SEGMENT_WRITE, &p->ring, err);
	if (rc < 0)
		return rc;
	rc = transport_segment_add(p->domain, p->memory + PIPE_RING, PIPE_RING,
		TRANSPORT_SEGMENT_LOCAL, &p->staged, err);
	if (rc == 0)
		p->segments = 2;
	return rc;
}

/* nobody knows of it yet but the transport: its ring may have to be drained */
static void discard(struct pipe *p)
{
	p->base.on_ready = NULL;
	p->alone = true;
	if (p->segments == 0 && p->ring) {
		p->segments = 1;
		transport_segment_remove(p->ring, on_drained, p);
		transport_domain_destroy(p->domain);
	} else if (p->segments > 0) {
		leave_alone(p);
	} else {
		transport_domain_destroy(p->domain);
		if (p->memory != MAP_FAILED)
			munmap(p->memory, 2 * PIPE_RING);
		free(p);
	}
}

static const struct byte_stream_ops pipe_ops;

static int create(struct transport *transport, byte_stream_ready *on_ready, void *user,
	struct pipe **ret_pipe, struct ramet_err *err)
{
	struct pipe *p = calloc(1, sizeof(*p));
	if (!p)
		return err_nomem(err);
	p->base = (struct byte_stream){&pipe_ops, on_ready, user};
	p->memory = mmap(
		NULL, 2 * PIPE_RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc = p->memory == MAP_FAILED ? err_nomem(err) : 0;
	if (rc == 0)
		rc = transport_domain_create(transport, &p->domain, err);
	if (rc == 0)
		rc = add_segments(p, err);
	if (rc < 0) {
		discard(p);
		return rc;
	}
	*ret_pipe = p;
	return 0;
}

/* --- what goes --- */

static void check_post(struct pipe *p, int rc)
{
	if (rc < 0 && rc != RAMET_EAGAIN && p->err.code == 0)
		fail(p, rc == RAMET_EPROTO ? RAMET_EPROTO : RAMET_EPEER,
			"nothing more can be written to the peer");
}

/* the next piece of what is staged; false: there is none, or no room for it now */
static bool post_piece(struct pipe *p)
{
	uint64_t from = p->at.posted;
	size_t at = from % PIPE_RING;
	size_t len = MIN(p->filled - from, PIPE_RING - at);
	struct segment_ref to = p->peer_ring;
	if (len == 0 || p->last - p->first == WRITES)
		return false;
	to.offset = at;
	p->at.posted += len;
	uint64_t told = p->at.told;
	uint32_t imm = pipe_imm(&p->at);
	int rc = transport_write_imm(
		p->conn, to, p->staged, p->memory + PIPE_RING + at, len, imm, p->last % WRITES);
	if (rc < 0) {
		p->at.posted = from;
		p->at.told = told;
		check_post(p, rc);
		return false;
	}
	p->writes[p->last % WRITES].end = p->at.posted;
	p->writes[p->last++ % WRITES].done = false;
	return true;
}

static void say(struct pipe *p, const struct pipe_message *message, bool *said)
{
	unsigned char bytes[PIPE_MESSAGE_BYTES];
	pipe_message_pack(message, bytes);
	int rc = transport_send(p->conn, bytes, sizeof(bytes), OTHER_COOKIE);
	*said = rc == 0;
	check_post(p, rc);
}

/* what was read, where no piece has said so */
static void say_read(struct pipe *p)
{
	const struct segment_ref nowhere = {0};
	uint64_t told = p->at.told;
	if (p->at.read - told < QUARTER)
		return;
	uint32_t imm = pipe_imm(&p->at);
	int rc = transport_write_imm(p->conn, nowhere, NULL, NULL, 0, imm, OTHER_COOKIE);
	if (rc < 0)
		p->at.told = told; /* later, then */
	check_post(p, rc);
}

/* all that can go now */
static void post_all(struct pipe *p)
{
	const struct pipe_message end = {.kind = PIPE_END, .position = p->filled};
	if (!p->open || !p->conn || p->err.code != 0)
		return;
	while (post_piece(p))
		;
	if (p->conn && p->err.code == 0)
		say_read(p);
	if (p->shut && !p->end_said && p->at.posted == p->filled && p->err.code == 0)
		say(p, &end, &p->end_said);
}

/* bytes that can be staged */
static size_t room(const struct pipe *p)
{
	return PIPE_RING - (size_t)(p->filled - MIN(p->at.acked, p->left));
}

static void stage(struct pipe *p, const unsigned char *from, size_t len)
{
	size_t at = p->filled % PIPE_RING;
	size_t before = MIN(len, PIPE_RING - at);
	memcpy(p->memory + PIPE_RING + at, from, before);
	memcpy(p->memory + PIPE_RING, from + before, len - before);
	p->filled += len;
}

static ssize_t pipe_send(struct byte_stream *base, const struct iovec *iov, unsigned count)
{
	struct pipe *p = of(base);
	ssize_t total = 0;
	if (p->shut)
		return RAMET_ECLOSED;
	if (p->err.code != 0)
		return loss(p);
	for (unsigned i = 0; i < count; i++) {
		size_t n = MIN(iov[i].iov_len, room(p));
		if (n > 0)
			stage(p, iov[i].iov_base, n);
		total += (ssize_t)n;
		if (n < iov[i].iov_len) {
			p->full = true;
			break;
		}
	}
	post_all(p);
	return total;
}

static void pipe_shut(struct byte_stream *base)
{
	struct pipe *p = of(base);
	p->shut = true;
	post_all(p);
}

/* --- what comes --- */

static ssize_t pipe_receive(struct byte_stream *base, void *to, size_t cap)
{
	struct pipe *p = of(base);
	size_t n = MIN(cap, (size_t)(p->at.came - p->at.read));
	size_t at = p->at.read % PIPE_RING;
	size_t before = MIN(n, PIPE_RING - at);
	if (n > 0) {
		memcpy(to, p->memory + at, before);
		memcpy((unsigned char *)to + before, p->memory, n - before);
		p->at.read += n;
		if (p->open && p->conn && p->err.code == 0)
			say_read(p);
		return (ssize_t)n;
	}
	if (p->ended && p->at.read == p->end)
		return RAMET_ECLOSED;
	return loss(p);
}

static void pipe_listen(struct byte_stream *base, bool listen)
{
	of(base)->deaf = !listen;
}

/* what was staged and cannot be posted now: when it was, the connection is closed */
static bool has_more_to_post(const struct pipe *p)
{
	bool more = p->at.posted != p->filled || (p->shut && !p->end_said);
	return p->open && p->err.code == 0 && more;
}

static void pipe_close(struct byte_stream *base)
{
	struct pipe *p = of(base);
	base->on_ready = NULL;
	if (p->conn && !has_more_to_post(p))
		transport_conn_close(p->conn);
	try_free(p);
}

static const struct byte_stream_ops pipe_ops = {
	.receive = pipe_receive,
	.send = pipe_send,
	.shut = pipe_shut,
	.listen = pipe_listen,
	.close = pipe_close,
};

/* --- what the connection tells --- */

static void on_connected(void *user, struct transport_conn *conn)
{
	struct pipe *p = user;
	const struct pipe_message hello = {
		.kind = PIPE_HELLO, .ring = transport_segment_ref(p->ring, 0)};
	p->conn = conn;
	if (!p->base.on_ready) {
		transport_conn_close(conn);
		return;
	}
	say(p, &hello, &p->greeted);
	if (!p->greeted)
		fail(p, RAMET_EPEER, "no greeting could be sent");
}

static void on_hello(struct pipe *p, const struct pipe_message *message)
{
	if (p->open) {
		fail(p, RAMET_EPROTO, "the peer has said again where its ring is");
		return;
	}
	p->open = true;
	p->peer_ring = message->ring;
	post_all(p);
}

static void on_end(struct pipe *p, const struct pipe_message *message)
{
	if (!p->open || p->ended || message->position != p->at.came) {
		fail(p, RAMET_EPROTO, "the peer has ended where it cannot have");
		return;
	}
	p->ended = true;
	p->end = message->position;
}

static void on_message(void *user, struct transport_conn *conn, const void *data, size_t len)
{
	struct pipe *p = user;
	struct pipe_message message;
	(void)conn;
	if (p->err.code != 0)
		return;
	if (pipe_message_parse(data, len, &message) < 0)
		fail(p, RAMET_EPROTO, "the peer has sent no message of a pipe");
	else if (message.kind == PIPE_HELLO)
		on_hello(p, &message);
	else
		on_end(p, &message);
	tell(p);
}

static bool has_room_for_more(struct pipe *p)
{
	if (!p->full || room(p) < QUARTER)
		return false;
	p->full = false;
	return true;
}

static void on_doorbell(void *user, struct transport_conn *conn, uint32_t imm)
{
	struct pipe *p = user;
	struct pipe_positions at = p->at;
	(void)conn;
	if (p->err.code != 0)
		return;
	if (!p->open || pipe_take_imm(&at, imm) < 0 || (p->ended && at.came != p->at.came)) {
		fail(p, RAMET_EPROTO, "the peer has rung for what cannot be");
		tell(p);
		return;
	}
	bool news = at.came != p->at.came && !p->deaf;
	p->at = at;
	if (has_room_for_more(p) || news)
		tell(p);
}

static void on_complete(void *user, const struct transport_completion *completion)
{
	struct pipe *p = user;
	if (completion->status != 0) {
		if (completion->status == RAMET_EREVOKED || completion->status == RAMET_EACCESS)
			fail(p, RAMET_EPROTO, "the peer's ring is not where it has said");
		return; /* else it ends */
	}
	if (completion->cookie < WRITES)
		p->writes[completion->cookie].done = true;
	while (p->first != p->last && p->writes[p->first % WRITES].done)
		p->left = p->writes[p->first++ % WRITES].end;
	post_all(p);
	if (!p->base.on_ready && p->conn && !has_more_to_post(p))
		transport_conn_close(p->conn);
	if (has_room_for_more(p))
		tell(p);
}

static void on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	struct pipe *p = user;
	(void)conn;
	if (p->err.code == 0 && err->code != 0)
		err_copy(&p->err, err);
	else if (p->err.code == 0)
		err_set(&p->err, RAMET_ECLOSED, "the connection was closed");
	leave_alone(p); /* which takes a moment: it is not freed here */
	tell(p);
}

static const struct transport_handler pipe_handler = {
	.on_connected = on_connected,
	.on_complete = on_complete,
	.on_doorbell = on_doorbell,
	.on_message = on_message,
	.on_closed = on_closed,
};

/* --- opening --- */

int pipe_connect(struct transport *transport, const char *addr, const void *token, size_t token_len,
	byte_stream_ready *on_ready, void *user, struct byte_stream **ret_stream,
	struct ramet_err *err)
{
	struct pipe *p;
	int rc = create(transport, on_ready, user, &p, err);
	if (rc < 0)
		return rc;
	rc = transport_connect(p->domain, addr, token, token_len, &pipe_handler, p, &p->conn, err);
	if (rc < 0) {
		discard(p);
		return rc;
	}
	*ret_stream = &p->base;
	return 0;
}

static void on_accept_failed(void *user)
{
	struct pipe *p = user;
	fail(p, RAMET_EPEER, "the peer had gone before it was let in");
	leave_alone(p); /* which takes a moment: it is not freed here */
	tell(p);
}

int pipe_accept(struct transport *transport, byte_stream_ready *on_ready, void *user,
	struct transport_accept *ret_accept, struct byte_stream **ret_stream, struct ramet_err *err)
{
	struct pipe *p;
	int rc = create(transport, on_ready, user, &p, err);
	if (rc < 0)
		return rc;
	*ret_accept = (struct transport_accept){
		.domain = p->domain,
		.handler = &pipe_handler,
		.user = p,
		.on_failed = on_accept_failed,
	};
	*ret_stream = &p->base;
	return 0;
}

bool pipe_is_open(const struct byte_stream *stream)
{
	return of_const(stream)->open;
}

const struct ramet_err *pipe_error(const struct byte_stream *stream)
{
	return &of_const(stream)->err;
}
