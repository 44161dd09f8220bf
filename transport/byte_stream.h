/* A stream of bytes to a peer, whatever carries it: a socket (below), or a connection of the
 * transport (pipe.h). Like a socket it is read and written without blocking, may be shut in one
 * direction, and ends when its peer closes it.
 *
 * Threads: all on the thread of its loop. on_ready comes from the loop, or, over a connection, from
 * transport_poll(); never from within a function here. From it every function may be called, also
 * byte_stream_close(). */
#ifndef TRANSPORT_BYTE_STREAM_H
#define TRANSPORT_BYTE_STREAM_H

#include "base/err.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct byte_stream;

/* on_ready - there may be bytes to receive, it may have ended, or, after a send that fell short,
 * there may be room. Over a socket it comes again and again while there are bytes that were not
 * received, or an end; over a pipe, whose ring is small, receive all there is. */
typedef void byte_stream_ready(void *user);

/* byte_stream_receive - up to cap bytes: how many; 0: none now; RAMET_ECLOSED: the peer has shut
 * it, all was received; RAMET_EPEER, RAMET_EPROTO: it is lost (what came before was received) */
ssize_t byte_stream_receive(struct byte_stream *stream, void *to, size_t cap);
/* byte_stream_send - bytes that were taken, of these in their order; fewer than there are: on_ready
 * comes when there is room. RAMET_EPEER, RAMET_EPROTO; RAMET_ECLOSED: it was shut. */
ssize_t byte_stream_send(struct byte_stream *stream, const struct iovec *iov, unsigned count);
/* byte_stream_shut - nothing more is sent; what was goes, then the peer learns of it. Again:
 * nothing. */
void byte_stream_shut(struct byte_stream *stream);
/* byte_stream_listen - false: on_ready does not come for bytes to receive, for now; true: it does;
 * over a pipe look what there is first */
void byte_stream_listen(struct byte_stream *stream, bool listen);
/* byte_stream_close - the handle ends now, and nothing comes any more. What was sent goes, as far
 * as the peer's side has room for it. NULL is fine. */
void byte_stream_close(struct byte_stream *stream);

/* byte_stream_of_socket - takes fd (not blocking, connected) when it succeeds. RAMET_ENOMEM,
 * RAMET_EIO. */
int byte_stream_of_socket(struct loop *loop, int fd, byte_stream_ready *on_ready, void *user,
	struct byte_stream **ret_stream, struct ramet_err *err);

/* For those who write another kind: it begins with this. */
struct byte_stream_ops {
	ssize_t (*receive)(struct byte_stream *stream, void *to, size_t cap);
	ssize_t (*send)(struct byte_stream *stream, const struct iovec *iov, unsigned count);
	void (*shut)(struct byte_stream *stream);
	void (*listen)(struct byte_stream *stream, bool listen);
	void (*close)(struct byte_stream *stream);
};
struct byte_stream {
	const struct byte_stream_ops *ops;
	byte_stream_ready *on_ready; /* NULL: closed */
	void *user;
};

#endif
