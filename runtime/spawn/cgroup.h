/* Limits of functions: one cgroup per group of processes, <own cgroup>/ramet/<node>/<group>, made
 * on demand and removed when its last process is gone. Version 1 (memory, pids, cpu) or 2,
 * whichever may be written; else there are no limits, which hello says. Loop thread only. */
#ifndef RUNTIME_SPAWN_CGROUP_H
#define RUNTIME_SPAWN_CGROUP_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"
#include "runtime/spawn_proto.h"

#include <sys/types.h>

struct cgroups;
struct cgroup;

/* cgroups_create - finds out what there is, and removes what a node of the same name left behind.
 * Only fails for want of memory. */
int cgroups_create(
	struct loop *loop, const char *node, struct cgroups **ret_cgroups, struct ramet_err *err);
/* removes all that is empty; call when every process is reaped; NULL is fine */
void cgroups_destroy(struct cgroups *cgroups);
DEFINE_CLEANUP(struct cgroups, cgroups_destroy)
/* cgroups_sweep - removes what a ramet-spawn of that name, of this very cgroup, left behind when it was
 * killed; waits so long for its last processes to end */
void cgroups_sweep(const char *node, unsigned ms);
const char *cgroups_kind(const struct cgroups *cgroups); /* "v1", "v2", "none" */
const char *cgroups_missing(
	const struct cgroups *cgroups); /* for people: what is not limited and why; "" nothing */

/* cgroup_get - the group of that name ("" or no cgroups: NULL, which the other functions take),
 * with these limits from now on. RAMET_EINVAL: the name; RAMET_EIO: a limit was refused. */
int cgroup_get(struct cgroups *cgroups, const char *name, const struct spawn_limits *limits,
	struct cgroup **ret_group, struct ramet_err *err);
struct cgroup *cgroup_ref(struct cgroup *group);
void cgroup_put(struct cgroup *group);
DEFINE_CLEANUP(struct cgroup, cgroup_put)
/* cgroup_enter - move a process (0: the caller) in; may take milliseconds. Async-signal-safe; -1
 * with errno set. */
int cgroup_enter(const struct cgroup *group, pid_t pid);

#endif
