/* A byte stream that carries calls between the slots of two nodes: reading what comes straight to
 * where it belongs, and sending from where it lies. What carries the bytes does not block; its
 * owner waits for it, and closes it. One thread at a time. */
#ifndef RUNTIME_SLOTS_SLOTS_STREAM_H
#define RUNTIME_SLOTS_SLOTS_STREAM_H

#include "runtime/slots/slots.h"
#include "runtime/slots/slots_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define SLOTS_STREAM_QUEUE 64u /* frames that wait to be sent; a power of two */
#define SLOTS_STREAM_BUFFER 8192u /* bytes read at once; longer inputs and outputs go past them */
#define SLOTS_STREAM_TURN (4u << 20) /* bytes after which others have their turn */

struct slots_stream;

/* What carries the bytes: `of` is its owner's. */
struct slots_carrier {
	/* up to cap bytes: how many; 0: none now; RAMET_EPEER, RAMET_EPROTO: no more come */
	ssize_t (*receive)(void *of, void *to, size_t cap);
	/* how many it took; fewer than there are: no more now. RAMET_EPEER, RAMET_EPROTO */
	ssize_t (*send)(void *of, const struct iovec *iov, unsigned count);
};

struct slots_stream_ops {
	/* a header has come, and wire->len bytes, if any, follow: *ret_to is where they go. 0, or
	 * what ends the stream. */
	int (*on_header)(struct slots_stream *stream, const struct slots_wire *wire, void **ret_to);
	/* they are there. 0, or what ends the stream. */
	int (*on_frame)(struct slots_stream *stream, const struct slots_wire *wire);
	/* one of ours has left whole: its bytes are not needed any more */
	void (*on_sent)(struct slots_stream *stream, const struct slots_wire *wire);
};

struct slots_stream_frame {
	struct slots_wire wire;
	const void *data;
};

struct slots_stream {
	const struct slots_stream_ops *ops;
	const struct slots_carrier *carrier;
	void *of;
	bool serves; /* the node's side: what comes is a client's */
	/* what comes */
	unsigned char partial[SLOTS_WIRE_BYTES]; /* a header of which more is to come */
	size_t have; /* bytes of it */
	bool inside; /* after a header, before its last byte */
	struct slots_wire wire; /* that header */
	unsigned char *to;
	size_t left;
	/* what goes */
	struct slots_stream_frame queue[SLOTS_STREAM_QUEUE];
	unsigned head, tail;
	size_t sent; /* bytes of the first one */
};

void slots_stream_init(struct slots_stream *stream, const struct slots_carrier *carrier, void *of,
	bool serves, const struct slots_stream_ops *ops);
/* slots_stream_read - all that has come: 0; or what a turn takes of it, so that others have theirs:
 * 1. RAMET_EPEER: it has ended, or failed; RAMET_EPROTO; or what a callback returned. */
int slots_stream_read(struct slots_stream *stream);
/* slots_stream_put - queue a frame; data stays where it is until on_sent. RAMET_EAGAIN: too many.
 */
int slots_stream_put(struct slots_stream *stream, const struct slots_wire *wire, const void *data);
/* slots_stream_send - what the carrier takes of them; RAMET_EPEER, RAMET_EPROTO */
int slots_stream_send(struct slots_stream *stream);
bool slots_stream_waits(const struct slots_stream *stream); /* for the carrier to take more */
/* slots_stream_unsent - the first frame that has not left whole, and the next ones; NULL: no more.
 * For what is left when a stream fails. */
const struct slots_wire *slots_stream_unsent(const struct slots_stream *stream, unsigned i);

#endif
