/* Timers of a host: POSIX timers and interval timers run on in clones, at the same times of clocks
 * that run on too; those of CPU time with what was left. Part of a host. */
#ifndef RFORK_SAFEPOINT_TIMERS_H
#define RFORK_SAFEPOINT_TIMERS_H

#include "ramet/error.h"

#include <stdbool.h>

/* timers_save - *ret_any: there are some. RAMET_EREFUSED: a timer of another process or thread;
 * RAMET_ENOMEM */
int timers_save(bool *ret_any, struct ramet_err *err);
/* timers_restore - in a clone, last: signals may come from now on */
int timers_restore(struct ramet_err *err);

#endif
