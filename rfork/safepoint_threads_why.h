/* Why a thread did not park, in words. Part of a host, like safepoint.h. */
#ifndef RFORK_SAFEPOINT_THREADS_WHY_H
#define RFORK_SAFEPOINT_THREADS_WHY_H

#include "ramet/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct safepoint_threads_why {
	pid_t tid;
	uint64_t patience_ms;
	uint64_t blocked; /* its signal mask */
	char state; /* as /proc has it; 0: not known */
	char name[16];
};

/* safepoint_threads_look - at thread why->tid, while others may still be parked */
void safepoint_threads_look(struct safepoint_threads_why *why);
/* safepoint_threads_refuse - afterwards; error: negative errno of what failed. Returns the code. */
int safepoint_threads_refuse(
	const struct safepoint_threads_why *why, int error, struct ramet_err *err);
/* safepoint_threads_ended - whether it has ended and is listed only because others run on */
bool safepoint_threads_ended(pid_t tid);

#endif
