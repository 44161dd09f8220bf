/* Frames on a loop. Receiving: one buffer, several frames a read. Sending: at once if the socket
 * takes it, else a bounded queue. What keeps descriptors with their frame: a sendmsg that carries
 * some carries one frame only, and the kernel ends a recvmsg after the bytes that came with
 * descriptors; so those received belong to the last frame that begins in what was read, and a frame
 * that has descriptors is read to its end before anything after it. */
#include "base/frame.h"
#include "base/cleanup.h"
#include "base/fdpass.h"
#include "base/frame_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER FRAME_HEADER
#define READ_FIRST 4096 /* the receive buffer, to begin with */
#define READ_KEEP (64u * 1024) /* one that has grown beyond this is not kept between two reads */
#define READ_STEP (256u * 1024) /* what a frame's announced length may make it grow to at once */
#define READS_PER_EVENT 8 /* then other descriptors have their turn */

_Static_assert(FRAME_MAX_FDS == FDPASS_MAX, "a frame's descriptors fit one control message");

struct frame_conn {
	struct loop_watch watch;
	int fd;
	const struct frame_handler *handler;
	void *user;
	size_t max_frame, max_queue;

	unsigned char *in; /* NULL while there is nothing in it: most connections are silent */
	size_t in_cap, in_len, in_pos; /* bytes [in_pos, in_len) are not dispatched yet */
	int in_fds[FRAME_MAX_FDS];
	unsigned in_nfds;
	size_t in_fds_at; /* offset in `in` of the frame they belong to */

	struct frame_queue out;
	bool want_out; /* EPOLLOUT is asked for */
	bool broken; /* sending failed: the rest is dropped, the reader finds the end */
	bool ended; /* on_closed was called */
	bool dispatching; /* the handler is running: closing frees later */
	bool closed;
};

static uint32_t le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_le32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < HEADER; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

/* --- closing --- */

static void conn_free(struct frame_conn *conn)
{
	fdpass_close(conn->in_fds, conn->in_nfds);
	free(conn->in);
	free(conn);
}

void frame_conn_close(struct frame_conn *conn)
{
	if (!conn || conn->closed)
		return;
	conn->closed = true;
	loop_watch_remove(&conn->watch);
	frame_queue_clear(&conn->out);
	close_reset(&conn->fd);
	if (!conn->dispatching)
		conn_free(conn);
}

/* tells the owner; the connection may be gone afterwards unless the caller is dispatching */
static void end(struct frame_conn *conn, const struct ramet_err *err)
{
	if (conn->ended || conn->closed)
		return;
	conn->ended = true;
	loop_watch_remove(&conn->watch);
	frame_queue_clear(&conn->out);
	conn->handler->on_closed(conn->user, err);
}

/* --- receiving --- */

static size_t frame_need(const struct frame_conn *conn)
{
	size_t have = conn->in_len - conn->in_pos;
	return have < HEADER ? HEADER : HEADER + (size_t)le32(conn->in + conn->in_pos);
}

/* Hands over the whole frames that are there. 0, or RAMET_EPROTO; stops when the handler closes. */
static int dispatch(struct frame_conn *conn, struct ramet_err *err)
{
	while (!conn->closed && conn->in_len - conn->in_pos >= HEADER) {
		size_t need = frame_need(conn);
		if (need - HEADER > conn->max_frame)
			return err_set(err, RAMET_EPROTO,
				"frame of %zu bytes exceeds the limit of %zu", need - HEADER,
				conn->max_frame);
		if (conn->in_len - conn->in_pos < need)
			break;
		int fds[FRAME_MAX_FDS] = {-1, -1, -1, -1};
		unsigned nfds = 0;
		if (conn->in_nfds && conn->in_fds_at == conn->in_pos) {
			nfds = conn->in_nfds;
			memcpy(fds, conn->in_fds, nfds * sizeof(int));
			conn->in_nfds = 0;
		}
		const unsigned char *data = conn->in + conn->in_pos + HEADER;
		conn->in_pos += need;
		conn->handler->on_frame(conn->user, data, need - HEADER, fds, nfds);
		fdpass_close(fds, nfds);
	}
	return 0;
}

/* moves what is left to the front and makes room; a buffer grows only as fast as bytes really come
 */
static int make_room(struct frame_conn *conn, struct ramet_err *err)
{
	size_t have = conn->in_len - conn->in_pos;
	if (conn->in_pos) {
		memmove(conn->in, conn->in + conn->in_pos, have);
		conn->in_fds_at -= conn->in_pos;
		conn->in_pos = 0;
		conn->in_len = have;
	}
	size_t cap = conn->in_cap;
	size_t need = frame_need(conn);
	if (cap == 0 || (have == 0 && cap > READ_KEEP))
		cap = READ_FIRST;
	else if (need > cap && (have == cap || cap < READ_STEP))
		cap = MIN(need, MAX(2 * cap, READ_STEP));
	if (cap == conn->in_cap)
		return 0;
	unsigned char *in = realloc(conn->in, cap);
	if (!in)
		return err_nomem(err);
	conn->in = in;
	conn->in_cap = cap;
	return 0;
}

/* finds the frame that descriptors which came with bytes [from, in_len) belong to */
static int place_fds(
	struct frame_conn *conn, size_t from, const int *fds, unsigned nfds, struct ramet_err *err)
{
	size_t pos = conn->in_pos;
	size_t last = SIZE_MAX;
	while (pos < conn->in_len) {
		if (pos >= from)
			last = pos;
		if (conn->in_len - pos < HEADER)
			break;
		pos += HEADER + (size_t)le32(conn->in + pos);
	}
	if (last == SIZE_MAX)
		return err_set(err, RAMET_EPROTO, "descriptors came in the middle of a frame");
	conn->in_fds_at = last;
	conn->in_nfds = nfds;
	memcpy(conn->in_fds, fds, nfds * sizeof(int));
	return 0;
}

static int read_failed(const struct frame_conn *conn, ssize_t n, struct ramet_err *err)
{
	if (n == 0)
		return err_set(err, RAMET_EPEER, "peer closed the connection%s",
			conn->in_len > conn->in_pos ? " within a frame" : "");
	if (errno == EPROTO)
		return err_set(
			err, RAMET_EPROTO, "peer sent more than %d descriptors", FRAME_MAX_FDS);
	if (errno == EMFILE)
		return err_errno(err, RAMET_EIO, "receive descriptors (raise the limit on them)");
	return err_errno(err, RAMET_EPEER, "receive");
}

/* one recvmsg; *ret_more when there may be more to read */
static int read_some(struct frame_conn *conn, bool *ret_more, struct ramet_err *err)
{
	int rc = make_room(conn, err);
	if (rc < 0)
		return rc;
	size_t room = conn->in_cap - conn->in_len;
	if (conn->in_nfds)
		room = MIN(room, frame_need(conn) - (conn->in_len - conn->in_pos));
	int fds[FDPASS_MAX];
	unsigned nfds = 0;
	ssize_t n = fdpass_recv(conn->fd, conn->in + conn->in_len, room, fds, &nfds, MSG_DONTWAIT);
	*ret_more = n == (ssize_t)room;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n <= 0)
		return read_failed(conn, n, err);
	size_t from = conn->in_len;
	conn->in_len += (size_t)n;
	rc = nfds ? place_fds(conn, from, fds, nfds, err) : 0;
	if (rc < 0)
		fdpass_close(fds, nfds);
	return rc;
}

static void give_back(struct frame_conn *conn)
{
	if (conn->in_pos < conn->in_len)
		return;
	free(steal_ptr(&conn->in));
	conn->in_cap = conn->in_len = conn->in_pos = 0;
}

void frame_receive(struct frame_conn *conn)
{
	struct ramet_err err = {0};
	bool more = true;
	int rc = 0;
	conn->dispatching = true;
	for (int i = 0; i < READS_PER_EVENT && more && rc == 0 && !conn->closed; i++) {
		rc = read_some(conn, &more, &err);
		if (rc == 0)
			rc = dispatch(conn, &err);
	}
	if (rc < 0)
		end(conn, &err);
	conn->dispatching = false;
	if (conn->closed)
		conn_free(conn);
	else
		give_back(conn);
}

/* --- sending --- */

static void want_out(struct frame_conn *conn, bool want)
{
	if (conn->want_out == want || conn->ended)
		return;
	conn->want_out = want;
	loop_watch_mod(&conn->watch, EPOLLIN | (want ? EPOLLOUT : 0u));
}

/* The peer does not read any more. What it sent before is still delivered; then the reader finds
 * the end. */
static void send_failed(struct frame_conn *conn)
{
	conn->broken = true;
	frame_queue_clear(&conn->out);
	want_out(conn, false);
	shutdown(conn->fd, SHUT_RDWR);
}

static void flush(struct frame_conn *conn)
{
	if (!frame_queue_flush(&conn->out, conn->fd))
		send_failed(conn);
	else if (!conn->out.bytes)
		want_out(conn, false);
}

static int check_send(const struct frame_conn *conn, size_t len, unsigned nfds)
{
	if (conn->closed || conn->ended)
		return RAMET_ECLOSED;
	if (conn->broken)
		return RAMET_EPEER;
	if (nfds > FRAME_MAX_FDS)
		return RAMET_EINVAL;
	if (len > UINT32_MAX || len + HEADER > conn->max_queue)
		return RAMET_ELIMIT;
	return len + HEADER > conn->max_queue - conn->out.bytes ? RAMET_EAGAIN : 0;
}

static int direct_failed(struct frame_conn *conn)
{
	switch (errno) {
	case EBADF:
		return RAMET_EINVAL; /* one of fds: the connection's own is open */
	case ETOOMANYREFS: /* more descriptors under way than a user may have open */
	case ENOBUFS:
	case ENOMEM:
		return RAMET_EAGAIN;
	default:
		send_failed(conn);
		return RAMET_EPEER;
	}
}

int frame_send(struct frame_conn *conn, const void *data, size_t len, const int *fds, unsigned nfds)
{
	int rc = check_send(conn, len, nfds);
	if (rc < 0)
		return rc;
	unsigned char header[HEADER];
	put_le32(header, (uint32_t)len);
	ssize_t n = 0;
	if (!conn->out.bytes) {
		n = frame_queue_send(conn->fd, header, data, len, fds, nfds);
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return direct_failed(conn);
		n = MAX(n, 0);
		if ((size_t)n == HEADER + len)
			return 0;
	}
	rc = frame_queue_push(&conn->out, header, data, len, (size_t)n, fds, nfds);
	if (rc == 0)
		want_out(conn, true);
	else if (n) /* a frame was begun and cannot be ended */
		send_failed(conn);
	return rc;
}

/* --- life --- */

static void on_events(struct loop_watch *watch, uint32_t events)
{
	struct frame_conn *conn = container_of(watch, struct frame_conn, watch);
	if (events & EPOLLOUT)
		flush(conn);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		frame_receive(conn);
}

int frame_conn_create(struct loop *loop, int fd, size_t max_frame, size_t max_queue,
	const struct frame_handler *handler, void *user, struct frame_conn **ret_conn,
	struct ramet_err *err)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_errno(err, RAMET_EIO, "make descriptor %d non-blocking", fd);
	struct frame_conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return err_nomem(err);
	conn->fd = fd;
	conn->handler = handler;
	conn->user = user;
	conn->max_frame = max_frame;
	conn->max_queue = max_queue;
	int rc = loop_watch_add(loop, &conn->watch, fd, EPOLLIN, on_events, err);
	if (rc < 0) {
		conn_free(conn);
		return rc;
	}
	*ret_conn = conn;
	return 0;
}

size_t frame_queued(const struct frame_conn *conn)
{
	return conn->out.bytes;
}

bool frame_conn_idle(const struct frame_conn *conn)
{
	return !conn->closed && !conn->ended && !conn->broken && conn->out.bytes == 0 &&
		conn->in_pos == conn->in_len && conn->in_nfds == 0;
}

void frame_conn_give(struct frame_conn *conn, const struct frame_handler *handler, void *user)
{
	conn->handler = handler;
	conn->user = user;
}

int frame_fd(const struct frame_conn *conn)
{
	return conn->fd;
}
