/* The parts of a capture that concern the process, not its memory: identity, state, layout,
 * auxiliary vector. */
#ifndef RFORK_CAPTURE_PROCESS_H
#define RFORK_CAPTURE_PROCESS_H

#include "rfork/capture.h"
#include "rfork/descriptor_build.h"
#include "rfork/safepoint.h"

#include <sys/types.h>

int capture_process_pid(
	int pidfd, pid_t *ret_pid, struct ramet_err *err); /* as this process sees it */
/* capture_process_traced - RAMET_EREFUSED: somebody traces it, and is named */
int capture_process_traced(pid_t pid, struct ramet_err *err);
int capture_process_state(
	pid_t pid, uint64_t addr, struct safepoint_state *ret_state, struct ramet_err *err);
/* initialises *b (also on failure) with all of the header but the memory */
int capture_process_begin(pid_t pid, const struct safepoint_state *state,
	const struct capture_request *request, struct descriptor_build *b, struct ramet_err *err);
int capture_process_executable(pid_t pid, struct descriptor_build *b, struct ramet_err *err);

#endif
