/* Length-prefixed frames on a stream socket, with descriptors: what local control sockets speak.
 * A frame is a 4-byte little-endian length and that many bytes; descriptors travel with a frame's first byte.
 * Non-blocking, on a loop; queues are bounded. */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include "base/err.h"
#include "base/loop.h"
#include "base/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX_FDS 4

struct frame_conn;

struct frame_handler {
	/* a whole frame; data is valid during the call; fds not taken (set to -1) are closed after it */
	void (*on_frame)(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds);
	/* peer closed or failed (err->code RAMET_EPEER), broke the protocol (RAMET_EPROTO), or memory or descriptors (RAMET_EIO) ran out; called at
	 * most once, never after frame_conn_close(); the connection is still to be closed by its owner */
	void (*on_closed)(void *user, const struct ramet_err *err);
};

/* takes fd when it succeeds (made non-blocking); max_frame bounds incoming frames, max_queue the bytes (4 a frame more
 * than its data) that wait to be sent; handler is not copied */
int frame_conn_create(struct loop *loop, int fd, size_t max_frame, size_t max_queue, const struct frame_handler *handler,
	void *user, struct frame_conn **ret_conn, struct ramet_err *err);
void frame_conn_close(struct frame_conn *conn); /* drops what is queued; closes fd; NULL is fine; may be called from a handler */
/* frame_send - write one frame at once, or queue it if the socket is full; fds stay the caller's. Never calls a handler.
 * RAMET_EAGAIN: the queue is full; RAMET_ELIMIT: the frame is larger than max_queue; RAMET_EPEER: the peer does not read
 * any more (on_closed follows); RAMET_ECLOSED: on_closed was called; RAMET_EINVAL, RAMET_ENOMEM, RAMET_EIO. */
int frame_send(struct frame_conn *conn, const void *data, size_t len, const int *fds, unsigned nfds);
size_t frame_queued(const struct frame_conn *conn);
/* frame_receive - hands over what has come by now (a bounded part), without waiting for the loop's next turn: handlers run
 * from within */
void frame_receive(struct frame_conn *conn);
/* frame_conn_idle - nothing is half read, half sent or waiting to be sent, and it has not ended */
bool frame_conn_idle(const struct frame_conn *conn);
/* frame_conn_give - from now on another one is told: at any time but from within its own callbacks */
void frame_conn_give(struct frame_conn *conn, const struct frame_handler *handler, void *user);
int frame_fd(const struct frame_conn *conn);

/* The same, blocking, for clients and for instances: 0, or RAMET_EPEER at end of stream, RAMET_EPROTO, RAMET_ETIMEOUT.
 * deadline_ns (CLOCK_MONOTONIC) 0: none. After any failure the stream is of no more use: a frame may be half sent or
 * half read. *ret_data is malloc'ed, with a NUL after its end. Received descriptors are close-on-exec; *io_nfds is the
 * room in fds and then their number (fds and io_nfds may be NULL); more than there is room for is RAMET_EPROTO. */
int frame_write(int fd, const void *data, size_t len, const int *fds, unsigned nfds, uint64_t deadline_ns, struct ramet_err *err);
int frame_read(int fd, size_t max_frame, unsigned char **ret_data, size_t *ret_len, int *fds, unsigned *io_nfds,
	uint64_t deadline_ns, struct ramet_err *err);

#endif
