/* What a call tells before its end: a chunk of output, or how far it is. The same pairs in messages
 * of instances, between nodes and to clients; checked each time, for an instance is hostile. */
#ifndef CLUSTER_CALL_EVENT_H
#define CLUSTER_CALL_EVENT_H

#include "base/err.h"
#include "base/wire.h"
#include "runtime/host_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_EVENT_PAIRS 2
#define CALL_EVENT_MILLION 1000000 /* progress of a call that is all but over */
#define CALL_EVENT_WINDOW HOST_EVENT_WINDOW /* weight of events that nobody has taken yet */

struct call_event {
	bool progress;
	uint32_t millionths;
	const char *text; /* progress; text_len bytes of UTF-8, not terminated */
	size_t text_len;
	const void *chunk; /* else */
	size_t len;
	bool binary;
};

void call_event_pack_pairs(const struct call_event *event, struct buf *b);
/* call_event_parse - *ret_event points into the message. RAMET_EPROTO, RAMET_ELIMIT. */
int call_event_parse(
	const struct wire_value *map, struct call_event *ret_event, struct ramet_err *err);
/* call_event_weight - what counts towards the window: as much as it may cost who keeps it */
uint64_t call_event_weight(const struct call_event *event);

#endif
