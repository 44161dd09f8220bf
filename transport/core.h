/* What the parts of the core share among themselves; neither users nor providers need it. */
#ifndef TRANSPORT_CORE_H
#define TRANSPORT_CORE_H

#include "transport/transport.h"

/* transport_done_reserve - the queue of completions has room for `more` operations more */
int transport_done_reserve(struct transport *t, unsigned more);
/* one operation of ours no longer touches the segment */
void transport_segment_unuse(struct transport_segment *segment);
void transport_segments_tell_drained(struct transport *t);

#endif
