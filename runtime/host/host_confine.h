/* What a host of isolates gives up before it loads them: the one thing that it was allowed for its
 * own beginning (SYSCALLS_ISOLATES_BEGIN, runtime/spawn/syscall_sets.h). */
#ifndef RUNTIME_HOST_HOST_CONFINE_H
#define RUNTIME_HOST_HOST_CONFINE_H

struct ramet_err;

/* host_confine - no other program is run in this process, nor in its children, from now on.
 * RAMET_EPERM */
int host_confine(struct ramet_err *err);

#endif
