/* What the parts of the core share among themselves; neither users nor providers need it. */
#ifndef TRANSPORT_CORE_H
#define TRANSPORT_CORE_H

#include "transport/transport.h"

/* transport_done_reserve - the queue of completions has room for `more` operations more */
int transport_done_reserve(struct transport *t, unsigned more);
/* transport_spin_open - looks whether spinning makes sense on this thread */
void transport_spin_open(struct transport *t);
/* transport_spin_turn - the end of a turn: polls if somebody spins; true: the loop may not sleep */
bool transport_spin_turn(struct transport *t);
/* transport_lingers - whether the loop is to look for what has come instead of sleeping, since
 * somebody who was answered is likely to ask again */
bool transport_lingers(struct transport *t);
/* one operation of ours no longer touches the segment */
void transport_segment_unuse(struct transport_segment *segment);
void transport_segments_tell_drained(struct transport *t);

#endif
