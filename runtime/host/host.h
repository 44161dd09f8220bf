/* libramet-host: what turns a process into a host. A program registers its engine and calls
 * ramet_host_run(), which serves rametd (runtime/host_proto.h) until it is told to exit. These are
 * the library's only exported symbols. */
#ifndef RUNTIME_HOST_HOST_H
#define RUNTIME_HOST_HOST_H

#include "ramet/engine.h"

#define RAMET_HOST_EXPORT __attribute__((visibility("default")))

/* Exit statuses of a host. Whatever made it end is on stderr, too. */
enum ramet_host_status {
	RAMET_HOST_OK = 0, /* rametd said exit */
	RAMET_HOST_LOAD = 1, /* the engine or the application could not be initialised */
	RAMET_HOST_PROTOCOL = 2, /* rametd sent what the protocol does not know */
	RAMET_HOST_LOST = 3, /* the control connection ended */
	RAMET_HOST_CLONE = 4, /* a clone could not be made safe to run (no fresh randomness) */
};

/* ramet_host_register - the engine of this process; ops must stay valid. RAMET_EVERSION: built
 * against another ABI; RAMET_EINVAL: a slot is empty; RAMET_EEXIST: there is one already. */
RAMET_HOST_EXPORT int ramet_host_register(
	const struct ramet_engine_ops *ops, struct ramet_err *err);

/* ramet_host_run - serves until the end; call it once, on the main thread. The control descriptor
 * is RAMET_CONTROL_FD in the environment. Returns an enum ramet_host_status: leave with _exit(),
 * since a clone must not run exit handlers that belong to the process it was cloned from. */
RAMET_HOST_EXPORT int ramet_host_run(void);

/* ramet_host_threads - in a clone: what became of the captured process's other threads */
enum ramet_host_threads {
	RAMET_HOST_NO_THREADS, /* there were none */
	RAMET_HOST_SAME_IDS, /* they have the kernel's ids that they had */
	RAMET_HOST_NEW_IDS,
};
RAMET_HOST_EXPORT enum ramet_host_threads ramet_host_threads(void);

#endif
