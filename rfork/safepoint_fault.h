/* Fault points of a host: base/fault.h is not for user processes. Set by RAMET_FAULT in the host's
 * environment, always, and listed in docs/fault-points.md. */
#ifndef RFORK_SAFEPOINT_FAULT_H
#define RFORK_SAFEPOINT_FAULT_H

#include <stdbool.h>

#ifdef RAMET_FAULT_POINTS
#include <stdlib.h>
#include <string.h>

static inline bool safepoint_fault_hit(const char *name)
{
	const char *set = getenv("RAMET_FAULT");
	return set && strcmp(set, name) == 0;
}
#else
#define safepoint_fault_hit(name) false
#endif

#endif
