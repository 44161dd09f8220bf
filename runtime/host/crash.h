/* The last words of a host: which signal ended it, and where. */
#ifndef RUNTIME_HOST_CRASH_H
#define RUNTIME_HOST_CRASH_H

#include "runtime/host/channel.h"

#include <sys/types.h>

/* crash_watch - handles SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT on a stack of their own: a
 * `crash` message on the channel, then the process dies of the same signal. Before the engine
 * starts, so that handlers of the application (Python's faulthandler) take precedence. */
void crash_watch(struct channel *channel);
/* crash_in_clone - speaks for this process from now on: never for a child that the application
 * forks, which has the same socket */
void crash_in_clone(pid_t pid); /* its own */

#endif
