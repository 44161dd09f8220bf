/* The other threads of a host: parked for a capture, and made again in each clone. Part of a host,
 * like safepoint.h: between the first park and the release nothing is allocated and no lock is
 * taken, for a thread may have been stopped while it held one.
 *
 * The signal is 33, glibc's own for setuid() and its like: applications cannot get it (the library
 * refuses sigaction() for it, and takes it out of every mask), so a thread that blocks all signals
 * parks, too. Its action is ours only while threads are being parked; a signal that is not ours is
 * handed on. */
#ifndef RFORK_SAFEPOINT_THREADS_H
#define RFORK_SAFEPOINT_THREADS_H

#include "ramet/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SAFEPOINT_MAX_THREADS 1024
#define SAFEPOINT_PARK_MS 1000

/* safepoint_threads_patience - how long threads have to park, for all captures from now on */
void safepoint_threads_patience(unsigned ms);

/* safepoint_threads_park - returns with all threads but the calling one at rest in a signal
 * handler. RAMET_EREFUSED: one did not park, and is named; all go on as if nothing had been. A
 * thread's blocking system call is begun again where the kernel does so for SA_RESTART; others give
 * EINTR. */
int safepoint_threads_park(struct ramet_err *err);
/* safepoint_threads_release - lets parked threads go on; in a clone, those made again. Nothing to
 * do where there are none. */
void safepoint_threads_release(void);

/* safepoint_threads_describe - in the shadow: what clones would otherwise have to work out */
void safepoint_threads_describe(void);
/* What a clone needs to know of the captured process at once. On the stack, which a clone touches
 * in any case. */
struct safepoint_threads_captured {
	uint64_t tid_address, robust_list; /* of the captured thread */
	pid_t tid;
	bool others; /* safepoint_threads_any(), when it was captured */
};
bool safepoint_threads_any(void); /* whether threads are parked */

/* safepoint_threads_make - in a clone, before any code but ours has run: makes the threads again,
 * and says so in ret_shadow. They wait for the release. Where the PID namespace is fresh each gets
 * the id that it had in the host; else robust mutexes that it holds are told of the new one.
 * RAMET_ELIMIT: the clone must not run. */
struct safepoint_shadow;
int safepoint_threads_make(const struct safepoint_threads_captured *captured,
	struct safepoint_shadow *ret_shadow, struct ramet_err *err);

/* safepoint_threads_id - the id of one of these threads now, by the one that it had when it was
 * parked; 0: there is none such. Until the release. */
pid_t safepoint_threads_id(pid_t parked);

#endif
