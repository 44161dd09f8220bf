/* The in-process provider: what tests may do to it beyond transport.h. */
#ifndef TRANSPORT_MEM_H
#define TRANSPORT_MEM_H

#include "transport/transport.h"

/* transport_mem_stop - from now on t answers nobody, for good, like a process that got SIGSTOP or
 * lost its network: what peers have in flight to it stays so until their peer_timeout_ms has
 * passed, then their connections die (EPEER). It still has to be closed. Only for the provider
 * "mem"; t's own thread. */
void transport_mem_stop(struct transport *t);

#endif
