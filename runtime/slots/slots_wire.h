/* What goes over a connection between the slots of a client and those of a lease on another node: a
 * header for each call, answer or word about them, and then the bytes of the input or output. All
 * numbers are little-endian. Parsing checks every field and touches nothing but its arguments
 * (tests/fuzz feeds it). */
#ifndef RUNTIME_SLOTS_SLOTS_WIRE_H
#define RUNTIME_SLOTS_SLOTS_WIRE_H

#include "ramet/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS_WIRE_BYTES 64u

enum slots_wire_type {
	SLOTS_WIRE_CALL = 1, /* client to node, with its input */
	SLOTS_WIRE_CANCEL, /* client to node: the call of this number is to end */
	SLOTS_WIRE_ANSWER, /* node to client, with its output, or an error map */
	SLOTS_WIRE_END, /* node to client, last: the lease is over */
};

struct slots_wire {
	enum slots_wire_type type;
	unsigned slot; /* < SLOTS_COUNT; the same on both sides */
	uint64_t number; /* of the call */
	uint64_t len; /* bytes that follow, ≤ SLOTS_PAYLOAD_MAX; only calls and answers have any */
	bool binary;
	uint64_t time_ns; /* call: left until the deadline, 0: none; answer: how long it ran */
	uint32_t span_ms; /* call: from its beginning to the deadline */
	uint32_t rank, size; /* call */
	bool begun; /* answer: false: it was never taken, and can be sent again */
	int status; /* answer: 0, or a RAMET_E… */
	uint64_t servant; /* answer: who gave it, where each call has an instance of its own */
};

void slots_wire_pack(const struct slots_wire *wire, unsigned char dst[SLOTS_WIRE_BYTES]);
/* 0 or RAMET_EPROTO; from_client: which of the two sides has said it */
int slots_wire_parse(
	const unsigned char src[SLOTS_WIRE_BYTES], bool from_client, struct slots_wire *ret);

#endif
