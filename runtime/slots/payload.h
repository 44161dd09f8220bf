/* Where a slot's bytes lie: in the slot itself, or, when they do not fit, in the memory behind. */
#ifndef RUNTIME_SLOTS_PAYLOAD_H
#define RUNTIME_SLOTS_PAYLOAD_H

#include "runtime/slots/layout.h"
#include "runtime/slots/slots.h"

enum payload_way { PAYLOAD_INPUT, PAYLOAD_OUTPUT };

/* NULL: len is more than there can be, or the large ones are not mapped */
static inline unsigned char *payload_at(
	const struct slots *slots, unsigned slot, enum payload_way way, uint64_t len)
{
	if (len <= SLOTS_INLINE)
		return slots->slot[slot].data;
	if (len > SLOTS_BULK || !slots->bulk)
		return NULL;
	return slots->bulk + ((size_t)way * SLOTS_COUNT + slot) * SLOTS_BULK_STRIDE;
}

#endif
