/* Starting Ramet's own helper programs: descriptors 0 to 2 kept, those given from 3 on, nothing
 * else open. Programs of tenants are cold.c's. */
#ifndef RUNTIME_SPAWN_EXEC_H
#define RUNTIME_SPAWN_EXEC_H

#include "base/err.h"

#include <sys/types.h>

#define EXEC_SOCKET_FD 3
#define EXEC_MAX_FDS 34

/* exec_helper - fork and exec argv (NULL-terminated, argv[0] a path) with fds as its descriptors 3
 * and on, the first a socket to the parent. Returns after the exec succeeded or failed (then
 * reaped). The caller must be single-threaded. */
int exec_helper(const char *const *argv, const int *fds, unsigned nfds, pid_t *ret_pid,
	struct ramet_err *err);

/* exec_signals - what a new program expects: nothing blocked, nothing of ours ignored.
 * Async-signal-safe. */
void exec_signals(void);

#endif
