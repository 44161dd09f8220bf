/* What `verbs` transports say to each other beside the greeting (greeting.h, in the private data of
 * the connection request and its answer): messages of one fixed size on the control queue pair.
 * Little-endian. Parsing takes bytes from anyone: it checks every field, also those that must be
 * zero, and touches nothing but its arguments (tests/fuzz feeds it). */
#ifndef TRANSPORT_VERBS_WIRE_H
#define TRANSPORT_VERBS_WIRE_H

#include "transport/transport.h"

#define VERBS_MESSAGE_SIZE 80
#define VERBS_REVOKE_MAX 8 /* segments in one message */
#define VERBS_WINDOW 32 /* control messages that may be on their way: receives posted for them */
#define VERBS_SLOTS 32 /* sends and doorbells that may be on their way in a lane */
#define VERBS_GID_SIZE 16

/* A lane is a pair of queue pairs for the requests of one side: reads, writes and sends. Who asks
 * opens it, and opens it again under the next epoch when it has failed; the other side's verdict on
 * the operation that seems to have broken it comes with the answer. */
enum verbs_message_type {
	VERBS_PING = 1, /* the counters below, and a sign of life */
	VERBS_LANE_OPEN, /* lane: my end of a new lane; suspect */
	VERBS_LANE_READY, /* lane: my end of yours; verdict. `lane_received` is final for the old */
	VERBS_REVOKE, /* ids: these segments end; count them as `revoked` when none of your
			 operations touches them any more */
	VERBS_BYE, /* the sender closes: it neither answers nor asks any more */
};

/* one end of a lane */
struct verbs_lane_end {
	uint32_t epoch; /* 1, 2, …: an answer to an older one is stale */
	uint32_t qpn, psn; /* 24 bits */
	uint32_t rd_atomic; /* reads at once: OPEN: wanted, READY: granted; 1 to 255 */
	uint32_t mtu; /* 1: 256 bytes, to 5: 4096; OPEN: at most, READY: both ends' */
	uint8_t gid[VERBS_GID_SIZE]; /* zeros: as for the control queue pair */
};

/* an operation after which a lane failed: is it why? */
struct verbs_suspect {
	bool any, write;
	uint32_t len;
	struct segment_ref ref;
};

struct verbs_message {
	enum verbs_message_type type;
	/* of the sender, since the connection began; modulo 2^32 */
	uint32_t received; /* control messages */
	uint32_t lane_received; /* sends and doorbells, over all lanes */
	uint32_t revoked; /* segments of ours that it does not touch any more */
	struct verbs_lane_end lane;
	struct verbs_suspect suspect;
	int32_t verdict; /* 0, RAMET_EREVOKED, RAMET_EACCESS */
	uint32_t count; /* of ids */
	uint64_t ids[VERBS_REVOKE_MAX];
};
void verbs_message_encode(
	const struct verbs_message *message, unsigned char dst[VERBS_MESSAGE_SIZE]);
/* 0 or RAMET_EPROTO */
int verbs_message_parse(const unsigned char *src, size_t len, struct verbs_message *ret);

/* The key of a segment's reference: what the peer's device needs, and a check that ties it to the
 * id, so that a reference that was mixed up fails at the requester. The device is what enforces. */
uint64_t verbs_key_make(uint64_t id, uint32_t rkey, uint32_t page_offset);
/* the remote key, and where the segment starts in its space; RAMET_EACCESS: not made for this id */
int verbs_key_split(const struct segment_ref *ref, uint32_t *ret_rkey, uint64_t *ret_start);

#endif
