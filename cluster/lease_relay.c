/* See lease_relay.h. What is below `data side` in the structure, and every function up to those of
 * the header, belongs to the data thread. */
#include "cluster/lease_relay.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "transport/byte_stream.h"
#include "transport/pipe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OPEN_MS 5000 /* for a peer that lets us in and then says nothing */
#define TURN_BYTES ((size_t)1 << 20) /* after which others have their turn */

_Static_assert(PIPE_RING < TURN_BYTES, "a turn empties a pipe, which does not tell again");

/* one of the two ways bytes go */
struct way_of_bytes {
	unsigned char buffer[65536];
	size_t begin, end; /* of what is in it */
	bool deaf; /* it is not listened to, since it would have to wait here */
	bool over; /* nothing more comes: */
	bool ended; /* since it was shut */
	bool unread; /* nor is it read any more: what comes is dropped */
	bool done; /* over, and whoever reads it was told */
};

struct lease_relay {
	struct segments *segments;
	struct loop *control;
	char addr[TRANSPORT_ADDR_MAX];
	uint8_t token[SEGMENTS_TOKEN_BYTES];
	/* data side */
	struct transport *transport;
	struct byte_stream *client, *pipe; /* NULL: closed */
	int node_fd; /* of the client's socket, our end, until `client` has it */
	struct way_of_bytes there, back;
	bool spins; /* a call is away */
	bool opened; /* or not: that was told */
	struct loop_timer timer;
	/* between the two */
	struct loop_task open_task, opened_task, lost_task, end_task, free_task;
	struct ramet_err err; /* of opening; code 0: it is open */
	struct ramet_err lost; /* of the pipe, later */
	/* control side */
	int client_fd;
	const struct lease_relay_handler *handler; /* NULL: ended */
	void *user;
};

static void opened_there(struct loop_task *task)
{
	struct lease_relay *r = container_of(task, struct lease_relay, opened_task);
	if (r->handler)
		r->handler->on_opened(
			r->user, r->err.code == 0 ? steal_fd(&r->client_fd) : -1, &r->err);
}

static void lost_there(struct loop_task *task)
{
	struct lease_relay *r = container_of(task, struct lease_relay, lost_task);
	if (r->handler)
		r->handler->on_lost(r->user, &r->lost);
}

static void close_both(struct lease_relay *r)
{
	transport_spin_set(r->transport, &r->spins, false);
	loop_timer_cancel(&r->timer);
	byte_stream_close(steal_ptr(&r->client));
	byte_stream_close(steal_ptr(&r->pipe));
	close_reset(&r->node_fd);
}

static void tell_opened(struct lease_relay *r)
{
	if (r->opened)
		return;
	r->opened = true;
	loop_timer_cancel(&r->timer);
	r->opened_task.fn = opened_there;
	loop_post(r->control, &r->opened_task);
}

static void fail_opening(struct lease_relay *r, const struct ramet_err *err)
{
	err_copy(&r->err, err);
	close_both(r);
	tell_opened(r);
}

/* --- bytes --- */

/* what is in the buffer; false: it did not all go */
static bool empty(struct way_of_bytes *w, struct byte_stream *to)
{
	const struct iovec iov = {w->buffer + w->begin, w->end - w->begin};
	if (iov.iov_len == 0 || w->unread) {
		w->begin = w->end;
		return true;
	}
	ssize_t n = byte_stream_send(to, &iov, 1);
	w->unread = n < 0;
	w->begin += n < 0 ? iov.iov_len : (size_t)n;
	return w->begin == w->end;
}

/* bytes that came; they are in the buffer */
static size_t fill(struct way_of_bytes *w, struct byte_stream *from)
{
	ssize_t n = w->over ? 0 : byte_stream_receive(from, w->buffer, sizeof(w->buffer));
	w->begin = 0;
	w->end = n > 0 ? (size_t)n : 0;
	w->over = w->over || n < 0;
	w->ended = w->ended || n == RAMET_ECLOSED;
	return w->end;
}

/* as far as it goes now: how many bytes came */
static size_t carry(struct way_of_bytes *w, struct byte_stream *from, struct byte_stream *to)
{
	size_t total = 0;
	size_t n = 1;
	while (n > 0 && empty(w, to) && total < TURN_BYTES) {
		n = fill(w, from);
		total += n;
	}
	bool full = !empty(w, to);
	if (full != w->deaf)
		byte_stream_listen(from, !full);
	w->deaf = full;
	if (w->over && !full && !w->done) {
		byte_stream_shut(to);
		w->done = true;
	}
	return total;
}

/* an end in good order is none of the pipe's faults */
static void tell_lost(struct lease_relay *r)
{
	const struct ramet_err *err = pipe_error(r->pipe);
	bool broken = err->code == RAMET_EPEER || err->code == RAMET_EPROTO;
	if (!r->back.over || r->back.ended || !broken || r->lost.code != 0)
		return;
	err_copy(&r->lost, err);
	r->lost_task.fn = lost_there;
	loop_post(r->control, &r->lost_task);
}

static void carry_both(struct lease_relay *r)
{
	if (carry(&r->there, r->client, r->pipe) > 0 && !r->there.unread)
		transport_spin_set(r->transport, &r->spins, true);
	if (carry(&r->back, r->pipe, r->client) > 0 || r->back.over)
		transport_spin_set(r->transport, &r->spins, false);
	tell_lost(r);
	if (r->there.done) /* the client has hung up; without it there is nothing to carry */
		close_both(r);
}

static void on_client(void *user)
{
	carry_both(user);
}

static void on_pipe(void *user)
{
	struct lease_relay *r = user;
	if (r->opened) {
		carry_both(r);
	} else if (pipe_is_open(r->pipe)) {
		tell_opened(r);
		carry_both(r);
	} else if (pipe_error(r->pipe)->code != 0) {
		const struct ramet_err err = *pipe_error(r->pipe);
		fail_opening(r, &err);
	}
}

/* --- opening and ending --- */

static void on_late(struct loop_timer *timer)
{
	struct lease_relay *r = container_of(timer, struct lease_relay, timer);
	struct ramet_err err;
	err_set(&err, RAMET_ETIMEOUT, "the pipe to %s did not open within %d ms", r->addr, OPEN_MS);
	fail_opening(r, &err);
}

static void open_there(struct loop_task *task)
{
	struct lease_relay *r = container_of(task, struct lease_relay, open_task);
	struct loop *loop = segments_loop(r->segments);
	struct ramet_err err = {0};
	int rc = byte_stream_of_socket(loop, r->node_fd, on_client, r, &r->client, &err);
	if (rc == 0) {
		steal_fd(&r->node_fd);
		rc = pipe_connect(r->transport, r->addr, r->token, sizeof(r->token), on_pipe, r,
			&r->pipe, &err);
	}
	if (rc == 0)
		rc = loop_timer_set(loop, &r->timer, now_ns() + OPEN_MS * NSEC_PER_MSEC, on_late);
	if (rc < 0) {
		if (err.code == 0)
			(void)err_nomem(&err);
		fail_opening(r, &err);
	}
}

static void free_there(struct loop_task *task)
{
	struct lease_relay *r = container_of(task, struct lease_relay, free_task);
	close_reset(&r->client_fd);
	free(r);
}

static void end_there(struct loop_task *task)
{
	struct lease_relay *r = container_of(task, struct lease_relay, end_task);
	close_both(r);
	r->free_task.fn = free_there;
	loop_post(r->control, &r->free_task);
}

/* --- from the control loop --- */

void lease_relay_end(struct lease_relay *r)
{
	if (!r)
		return;
	r->handler = NULL;
	r->end_task.fn = end_there;
	loop_post(segments_loop(r->segments), &r->end_task);
}

int lease_relay_open(struct segments *segments, struct loop *control, const char *provider,
	const char *addr, const void *token, size_t token_len,
	const struct lease_relay_handler *handler, void *user, struct lease_relay **ret_relay,
	struct ramet_err *err)
{
	int fds[2];
	struct transport *transport = segments_transport(segments, provider);
	if (!transport)
		return err_set(err, RAMET_ENOTSUP, "this node has no transport %s", provider);
	if (token_len != SEGMENTS_TOKEN_BYTES || strlen(addr) >= TRANSPORT_ADDR_MAX)
		return err_set(err, RAMET_EPROTO, "the address of a pipe, or its token");
	struct lease_relay *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(err);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
		free(r);
		return err_errno(err, RAMET_EIO, "a socket for a client's lease");
	}
	r->segments = segments;
	r->control = control;
	r->transport = transport;
	r->client_fd = fds[0];
	r->node_fd = fds[1];
	r->handler = handler;
	r->user = user;
	memcpy(r->addr, addr, strlen(addr) + 1);
	memcpy(r->token, token, sizeof(r->token));
	r->open_task.fn = open_there;
	*ret_relay = r;
	loop_post(segments_loop(segments), &r->open_task);
	return 0;
}
