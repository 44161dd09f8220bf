/* Open descriptors of the shadow that make a capture refuse: those that its host's account does not
 * cover. */
#ifndef RFORK_CAPTURE_FDS_H
#define RFORK_CAPTURE_FDS_H

#include "rfork/capture_account.h"
#include "rfork/safepoint.h"

#include <sys/types.h>

/* stdio, the control socket and the safepoint's own pipe are implied; what clones are not given is
 * RAMET_EREFUSED, named with its descriptor number */
int capture_fds(pid_t pid, const struct safepoint_state *state,
	const struct capture_account *account, struct ramet_err *err);

#endif
