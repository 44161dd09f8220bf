/* See pipe_wire.h. */
#include "transport/pipe_wire.h"

#include "base/cleanup.h"
#include "transport/bytes.h"

/* An immediate: PLACE_BITS of how far was written, twice the ring's size so that full is not
 * empty, and the rest, steps of what was read. */
#define PLACE_BITS 19u
#define PLACES ((uint32_t)1 << PLACE_BITS)
#define STEPS ((uint32_t)1 << (32 - PLACE_BITS))
#define MAGIC 0x70697065u /* "pipe" */
#define RING_LOG2 18u

_Static_assert(PIPE_RING == (size_t)1 << RING_LOG2, "the ring's size is told by its logarithm");
_Static_assert(PLACES == 2 * PIPE_RING, "places in two rings");
_Static_assert((uint64_t)STEPS *PIPE_STEP >= 2 * PIPE_RING, "steps in two rings");

uint32_t pipe_imm(struct pipe_positions *p)
{
	p->told = p->read / PIPE_STEP * PIPE_STEP;
	uint32_t place = (uint32_t)(p->posted % PLACES);
	uint32_t steps = (uint32_t)(p->told / PIPE_STEP % STEPS);
	return steps << PLACE_BITS | place;
}

int pipe_take_imm(struct pipe_positions *p, uint32_t imm)
{
	uint32_t came = (imm - (uint32_t)p->came) % PLACES;
	uint32_t steps = ((imm >> PLACE_BITS) - (uint32_t)(p->acked / PIPE_STEP)) % STEPS;
	uint64_t acked = p->acked + (uint64_t)steps * PIPE_STEP;
	if (came > PIPE_RING - (p->came - p->read) || acked > p->posted)
		return RAMET_EPROTO;
	p->came += came;
	p->acked = acked;
	return 0;
}

void pipe_message_pack(const struct pipe_message *message, unsigned char to[PIPE_MESSAGE_BYTES])
{
	bool hello = message->kind == PIPE_HELLO;
	bytes_put32(to, MAGIC);
	bytes_put16(to + 4, (uint16_t)message->kind);
	bytes_put16(to + 6, hello ? RING_LOG2 : 0);
	bytes_put64(to + 8, hello ? message->ring.id : message->position);
	bytes_put64(to + 16, hello ? message->ring.key : 0);
}

int pipe_message_parse(const void *data, size_t len, struct pipe_message *ret)
{
	const unsigned char *from = data;
	if (len != PIPE_MESSAGE_BYTES || bytes_get32(from) != MAGIC)
		return RAMET_EPROTO;
	uint16_t kind = bytes_get16(from + 4);
	uint16_t ring = bytes_get16(from + 6);
	uint64_t first = bytes_get64(from + 8);
	uint64_t second = bytes_get64(from + 16);
	if (kind == PIPE_HELLO && ring == RING_LOG2)
		*ret = (struct pipe_message){.kind = PIPE_HELLO, .ring = {first, second, 0}};
	else if (kind == PIPE_END && ring == 0 && second == 0)
		*ret = (struct pipe_message){.kind = PIPE_END, .position = first};
	else
		return RAMET_EPROTO;
	return 0;
}
