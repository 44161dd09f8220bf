/* All that a host has beyond memory, registers and threads: written down before its shadow is made
 * (safepoint_fds.h, _shared.h, _timers.h, _signals.h, _limits.h), put back in clones. Part of a
 * host; on its path while it stands still, so what it does not have costs a system call or two. */
#ifndef RFORK_SAFEPOINT_KEEP_H
#define RFORK_SAFEPOINT_KEEP_H

#include "rfork/safepoint.h"

#include <stdbool.h>

/* keep_save - fills in what safepoint_state says of it. *ret_any: clones have something to put
 * back. RAMET_EREFUSED names what no clone could have; RAMET_ENOMEM. */
int keep_save(struct safepoint_state *state, bool *ret_any, struct ramet_err *err);
/* keep_drop - in the host, once the shadow has its copy, or when there will be none */
void keep_drop(void);
/* In a clone, in this order: what threads use, before there are any; and what sends signals, after.
 */
int keep_restore(struct ramet_err *err);
int keep_restore_events(struct ramet_err *err);

#endif
