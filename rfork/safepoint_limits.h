/* What a program sets for itself and keeps over fork(): resource limits, niceness, what prctl()
 * keeps for a process. Only what a host has changed since it started is set in clones. Part of a
 * host. */
#ifndef RFORK_SAFEPOINT_LIMITS_H
#define RFORK_SAFEPOINT_LIMITS_H

#include <stdbool.h>

/* limits_begin - as the host starts: what it was given */
void limits_begin(void);
void limits_save(bool *ret_any);
/* limits_restore - in a clone. A limit that the node does not allow is lowered to what it does; the
 * rest cannot fail for a process without rights. */
void limits_restore(void);

#endif
