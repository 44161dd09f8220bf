/* Packing and parsing what goes between the slots of two nodes. */
#include "runtime/slots/slots_wire.h"

#include "runtime/slots/slots.h"

#include <endian.h>
#include <string.h>

#define FLAG_BINARY 1u
#define FLAG_NOT_BEGUN 2u

struct header {
	uint8_t type, slot;
	uint16_t flags;
	uint32_t status;
	uint64_t len, number, time_ns, servant;
	uint32_t rank, size, span_ms;
	uint32_t zero[3];
};
_Static_assert(sizeof(struct header) == SLOTS_WIRE_BYTES, "no padding");

void slots_wire_pack(const struct slots_wire *wire, unsigned char dst[SLOTS_WIRE_BYTES])
{
	unsigned not_begun = wire->type == SLOTS_WIRE_ANSWER && !wire->begun ? FLAG_NOT_BEGUN : 0;
	const struct header header = {
		.type = (uint8_t)wire->type,
		.slot = (uint8_t)wire->slot,
		.flags = htole16((uint16_t)((wire->binary ? FLAG_BINARY : 0) | not_begun)),
		.status = htole32((uint32_t)wire->status),
		.len = htole64(wire->len),
		.number = htole64(wire->number),
		.time_ns = htole64(wire->time_ns),
		.servant = htole64(wire->servant),
		.rank = htole32(wire->rank),
		.size = htole32(wire->size),
		.span_ms = htole32(wire->span_ms),
	};
	memcpy(dst, &header, sizeof(header));
}

static bool valid(const struct slots_wire *wire, bool from_client)
{
	bool carries = wire->type == SLOTS_WIRE_CALL || wire->type == SLOTS_WIRE_ANSWER;
	bool of_client = wire->type == SLOTS_WIRE_CALL || wire->type == SLOTS_WIRE_CANCEL;
	if (wire->type < SLOTS_WIRE_CALL || wire->type > SLOTS_WIRE_END || of_client != from_client)
		return false;
	return wire->slot < SLOTS_COUNT && wire->status <= 0 &&
		wire->len <= (carries ? SLOTS_PAYLOAD_MAX : 0);
}

int slots_wire_parse(
	const unsigned char src[SLOTS_WIRE_BYTES], bool from_client, struct slots_wire *ret)
{
	struct header header;
	memcpy(&header, src, sizeof(header));
	unsigned flags = le16toh(header.flags);
	const struct slots_wire wire = {
		.type = (enum slots_wire_type)header.type,
		.slot = header.slot,
		.number = le64toh(header.number),
		.len = le64toh(header.len),
		.binary = flags & FLAG_BINARY,
		.time_ns = le64toh(header.time_ns),
		.span_ms = le32toh(header.span_ms),
		.rank = le32toh(header.rank),
		.size = le32toh(header.size),
		.begun = !(flags & FLAG_NOT_BEGUN),
		.status = (int)le32toh(header.status),
		.servant = le64toh(header.servant),
	};
	if (flags > (FLAG_BINARY | FLAG_NOT_BEGUN) ||
		(header.zero[0] | header.zero[1] | header.zero[2]) != 0 ||
		!valid(&wire, from_client))
		return RAMET_EPROTO;
	*ret = wire;
	return 0;
}
