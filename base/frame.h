/* Length-prefixed frames on a stream socket, with descriptors: what local control sockets speak.
 * A frame is a 4-byte little-endian length and that many bytes; descriptors travel with a frame's first byte.
 * Non-blocking, on a loop; queues are bounded. */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include "base/err.h"
#include "base/loop.h"
#include "base/wire.h"

#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX_FDS 4

struct frame_conn;

struct frame_handler {
	/* a whole frame; data is valid during the call; fds not taken (set to -1) are closed after it */
	void (*on_frame)(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds);
	/* peer closed, broke the protocol (err->code RAMET_EPROTO) or failed; called at most once, never after
	 * frame_conn_close(); the connection is still to be closed by its owner */
	void (*on_closed)(void *user, const struct ramet_err *err);
};

/* takes fd (made non-blocking); max_frame bounds incoming frames, max_queue what is waiting to be sent */
int frame_conn_create(struct loop *loop, int fd, size_t max_frame, size_t max_queue, const struct frame_handler *handler,
	void *user, struct frame_conn **ret_conn, struct ramet_err *err);
void frame_conn_close(struct frame_conn *conn); /* drops what is queued; closes fd; NULL is fine; may be called from a handler */
/* frame_send - queue (or write at once) one frame; descriptors are duplicated. RAMET_EAGAIN: the queue is full. */
int frame_send(struct frame_conn *conn, const void *data, size_t len, const int *fds, unsigned nfds);
size_t frame_queued(const struct frame_conn *conn);
int frame_fd(const struct frame_conn *conn);

/* The same, blocking, for clients and for instances: 0, or RAMET_EPEER at end of stream, RAMET_EPROTO, RAMET_ETIMEOUT.
 * deadline_ns 0: none. *ret_data is malloc'ed. Received descriptors are close-on-exec. */
int frame_write(int fd, const void *data, size_t len, const int *fds, unsigned nfds, uint64_t deadline_ns, struct ramet_err *err);
int frame_read(int fd, size_t max_frame, unsigned char **ret_data, size_t *ret_len, int *fds, unsigned *io_nfds,
	uint64_t deadline_ns, struct ramet_err *err);

#endif
