/* Which open descriptors of the shadow a clone gets back, and which make a capture refuse. */
#ifndef RFORK_CAPTURE_FDS_H
#define RFORK_CAPTURE_FDS_H

#include "rfork/descriptor_build.h"
#include "rfork/safepoint.h"

#include <sys/types.h>

/* stdio, the control socket and the safepoint's own pipe are implied; read-only regular files are
 * kept at their offset; anything else is RAMET_EREFUSED, named with its descriptor number */
int capture_fds(pid_t pid, const struct safepoint_state *state, struct descriptor_build *b,
	struct ramet_err *err);

#endif
