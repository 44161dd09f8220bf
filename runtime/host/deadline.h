/* A call's deadline, and its cancellation: a signal on the host's thread, from a timer or from
 * rametd, that asks the engine to interrupt what runs. rametd kills the process if that does not
 * help (at twice the time). */
#ifndef RUNTIME_HOST_DEADLINE_H
#define RUNTIME_HOST_DEADLINE_H

#include "ramet/engine.h"
#include "runtime/host_proto.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define DEADLINE_SIGNAL HOST_INTERRUPT_SIGNAL

/* deadline_init - after each engine's init, whose signal action it replaces */
int deadline_init(struct ramet_err *err);
/* deadline_arm - a call of this engine begins. CLOCK_MONOTONIC ns; 0: none. A timer exists only in
 * between: clones would not have it. cancelled (or NULL, async-signal-safe) is asked when somebody
 * else sends the signal. */
struct engines_one;
void deadline_arm(const struct engines_one *engine, uint64_t deadline_ns, bool (*cancelled)(void));
enum deadline_end { DEADLINE_KEPT, DEADLINE_PASSED, DEADLINE_CANCELLED };
bool deadline_interrupted(void); /* the call that runs; any thread */
/* deadline_disarm - it has ended: what has interrupted it, if anything */
enum deadline_end deadline_disarm(void);

#endif
