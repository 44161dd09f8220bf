/* Is what a host gave for its shadow really a process of its own? Hosts run tenant code, and the daemon reads, and in
 * the end kills, whatever process the descriptor is of. */
#ifndef CLUSTER_SHADOW_CHECK_H
#define CLUSTER_SHADOW_CHECK_H

#include "base/err.h"

#include <sys/types.h>

/* shadow_check - pidfd: of a process that the host's parent has, too (a shadow is made with CLONE_PARENT), in the
 * host's PID namespace and with the host's user ids. Any thread; reads /proc. RAMET_EPROTO: it is another process, or
 * none. */
int shadow_check(int pidfd, pid_t host, struct ramet_err *err);

#endif
