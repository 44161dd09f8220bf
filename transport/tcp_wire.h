/* The bytes that `tcp` transports exchange after their greeting: frames of a 40-byte header and a
 * payload. Little-endian. Parsing takes bytes from anyone: it checks every field, also those that
 * must be zero, and touches nothing but its arguments (tests/fuzz feeds it). */
#ifndef TRANSPORT_TCP_WIRE_H
#define TRANSPORT_TCP_WIRE_H

#include "transport/transport.h"

#define TCP_HEADER_SIZE 40
#define TCP_CHUNK_MAX (256u << 10) /* payload bytes of one frame */

/* Each side numbers its requests from 0 and sends them in order, a large write as several frames in
 * a row; the other side answers in the same order, a large read with several frames in a row.
 * Requests and answers mix on the stream. */
enum tcp_frame_op {
	TCP_READ = 1, /* request: ref, want bytes */
	TCP_WRITE, /* request: ref, payload; imm if TCP_FLAG_IMM */
	TCP_SEND, /* request: payload */
	TCP_DATA, /* answer to a read: payload, or a failing status and none */
	TCP_ACK, /* answer to a write or send: status */
	TCP_PING, /* a sign of life */
	TCP_BYE, /* the sender closes: it neither answers nor asks any more */
};
enum tcp_frame_flags {
	TCP_FLAG_LAST = 1, /* DATA, WRITE: no more frames of this request */
	TCP_FLAG_IMM = 2, /* WRITE, with LAST: ring the doorbell */
};

struct tcp_frame {
	enum tcp_frame_op op;
	unsigned flags;
	uint32_t payload; /* bytes that follow the header */
	uint32_t want; /* READ */
	uint32_t number; /* of the request */
	uint32_t imm;
	int32_t status; /* DATA, ACK: 0, RAMET_EREVOKED, RAMET_EACCESS */
	struct segment_ref ref;
};
void tcp_frame_encode(const struct tcp_frame *frame, unsigned char dst[TCP_HEADER_SIZE]);
int tcp_frame_parse(
	const unsigned char src[TCP_HEADER_SIZE], struct tcp_frame *ret); /* 0 or RAMET_EPROTO */

#endif
