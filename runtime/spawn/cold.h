/* Starting a host from scratch: fork and exec a program of a tenant's inside its sandbox, groups
 * and limits, with nothing of ours left open or allowed. Clones of templates do not come here. */
#ifndef RUNTIME_SPAWN_COLD_H
#define RUNTIME_SPAWN_COLD_H

#include "base/err.h"
#include "runtime/spawn/syscall_filter.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct cgroup;

struct cold_start {
	const char *const
		*argv; /* NULL-terminated; argv[0] an absolute path as the host will see it */
	const char *const *env; /* NULL-terminated */
	const char *dir; /* its working directory, as the host will see it */
	const char *bind; /* the same directory as seen now, if it must be bound there; or NULL */
	int control_fd, log_fd;
	uid_t uid;
	gid_t gid;
	bool clear_groups;
	int sandbox_pidfd; /* -1: none */
	int tenant_pidfd; /* -1: none */
	const struct cgroup *group; /* NULL: none */
	const struct rlimit *nofile; /* the limit of its descriptors */
	const struct syscall_filter *seccomp;
	bool landlock; /* it reads files and runs programs, and no more (rfork/landlock.h) */
};

/* cold_start - returns when the child exists, which is the caller's child. *ret_outcome becomes
 * readable when its exec has succeeded or failed: ask cold_outcome(). RAMET_EAGAIN: the sandbox is
 * ending, take another. */
int cold_start(
	const struct cold_start *start, pid_t *ret_pid, int *ret_outcome, struct ramet_err *err);
/* cold_outcome - 0: it runs. RAMET_EAGAIN: not known yet. Else why it does not; name is what to
 * call it in the error. */
int cold_outcome(int outcome, const char *name, struct ramet_err *err);

#endif
