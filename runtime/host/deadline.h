/* A call's deadline: a timer signal on the host's thread that asks the engine to interrupt what
 * runs. rametd kills the process if that does not help (at twice the time). */
#ifndef RUNTIME_HOST_DEADLINE_H
#define RUNTIME_HOST_DEADLINE_H

#include "runtime/engine.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define DEADLINE_SIGNAL (SIGRTMAX - 2) /* leaves the first real-time signals to applications */

/* deadline_init - after the engine's init, whose signal action it replaces */
int deadline_init(const struct engine_ops *ops, struct engine *engine, struct ramet_err *err);
/* deadline_arm - CLOCK_MONOTONIC ns; 0: none. A timer exists only in between: clones would not have
 * it. */
void deadline_arm(uint64_t deadline_ns);
/* deadline_disarm - whether it passed */
bool deadline_disarm(void);

#endif
