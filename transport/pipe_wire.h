/* What the two sides of a pipe say to each other (pipe.h): the two small messages, and the
 * immediates. Numbers are little-endian. Nothing here touches anything but its arguments; what a
 * peer sends is checked (tests/fuzz feeds it). */
#ifndef TRANSPORT_PIPE_WIRE_H
#define TRANSPORT_PIPE_WIRE_H

#include "transport/pipe.h"

#include <stddef.h>
#include <stdint.h>

/* Positions in the two streams of bytes, which never wrap. */
struct pipe_positions {
	uint64_t posted; /* bytes written to the peer's ring */
	uint64_t acked; /* of them, those that it has read; a multiple of PIPE_STEP */
	uint64_t came; /* bytes written to our ring */
	uint64_t read; /* of them, those that were received */
	uint64_t told; /* of them, those that the peer knows to be; a multiple of PIPE_STEP */
};

#define PIPE_STEP 4096u /* what was read is told of in steps of so many bytes */

/* pipe_imm - for a write up to `posted`, or for a doorbell of nothing: says posted and read; told
 * is set */
uint32_t pipe_imm(struct pipe_positions *p);
/* pipe_take_imm - one that came: moves `came` and `acked`. The same one again moves nothing.
 * RAMET_EPROTO: more than the ring has room for, or than was written. */
int pipe_take_imm(struct pipe_positions *p, uint32_t imm);

enum pipe_message_kind {
	PIPE_HELLO = 1, /* where the ring is; the first */
	PIPE_END, /* nothing comes after byte `position`; the last */
};
struct pipe_message {
	enum pipe_message_kind kind;
	struct segment_ref ring; /* HELLO; offset 0 */
	uint64_t position; /* END */
};
#define PIPE_MESSAGE_BYTES 24u
void pipe_message_pack(const struct pipe_message *message, unsigned char to[PIPE_MESSAGE_BYTES]);
/* 0 or RAMET_EPROTO */
int pipe_message_parse(const void *data, size_t len, struct pipe_message *ret);

#endif
