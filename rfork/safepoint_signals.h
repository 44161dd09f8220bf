/* Signals that wait to be delivered: with what came along with them, they wait in clones too. Part
 * of a host. */
#ifndef RFORK_SAFEPOINT_SIGNALS_H
#define RFORK_SAFEPOINT_SIGNALS_H

#include "ramet/error.h"

#include <stdbool.h>

/* signals_save - *ret_any: there are some, of the calling thread and of the process; RAMET_ENOMEM
 */
int signals_save(bool *ret_any, struct ramet_err *err);
/* signals_restore - in a clone, whose mask is the host's */
int signals_restore(struct ramet_err *err);

#endif
