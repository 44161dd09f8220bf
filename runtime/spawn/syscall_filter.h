/* The system-call filters of hosts and instances, built once. They take away what is of no use
 * without capabilities, so that a kernel defect behind it stays out of reach, and every way to get
 * capabilities back in a new user namespace; and where an app's code runs in isolates alone, all
 * that those have no need of. */
#ifndef RUNTIME_SPAWN_SYSCALL_FILTER_H
#define RUNTIME_SPAWN_SYSCALL_FILTER_H

#include "base/err.h"
#include "runtime/spawn/syscall_sets.h"

#include <linux/filter.h>

struct syscall_filter {
	struct sock_filter *filter; /* NULL: there is none */
	unsigned len; /* instructions */
};

/* syscall_filter_build - RAMET_ENOTSUP: built without libseccomp, or the kernel has no filters */
int syscall_filter_build(
	enum syscall_set set, struct syscall_filter *ret_filter, struct ramet_err *err);
void syscall_filter_fini(struct syscall_filter *filter);
/* syscall_filter_load - for the calling process, for good, with no_new_privs set already.
 * Async-signal-safe; -1 with errno set. Without a filter it does nothing. */
int syscall_filter_load(const struct syscall_filter *filter);

#endif
