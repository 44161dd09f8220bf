/* Limits of functions: one cgroup per group of processes, <own cgroup>/ramet/<node>/<group>, or,
 * where the groups of a tenant have limits together, <own cgroup>/ramet/<node>/t<uid>/<group>. Made
 * on demand and removed when its last process is gone. Version 1 (memory, pids, cpu) or 2,
 * whichever may be written; else there are no limits, which hello says. Loop thread only. */
#ifndef RUNTIME_SPAWN_CGROUP_H
#define RUNTIME_SPAWN_CGROUP_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"
#include "runtime/spawn_proto.h"

#include <stdbool.h>
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
/* cgroups_sweep - removes what a ramet-spawn of that name, of this very cgroup, left behind when it
 * was killed; waits so long for its last processes to end */
void cgroups_sweep(const char *node, unsigned ms);
const char *cgroups_kind(const struct cgroups *cgroups); /* "v1", "v2", "none" */
const char *cgroups_missing(
	const struct cgroups *cgroups); /* for people: what is not limited and why; "" nothing */

struct cgroup_wish {
	const char *name; /* "": none */
	struct spawn_limits limits;
	uid_t uid;
	struct spawn_limits tenant; /* of all groups of this uid together: mem, pids; 0: none */
};
/* cgroup_get - the group of that name (none, or no cgroups: NULL, which the other functions take),
 * with these limits from now on. RAMET_EINVAL: the name; RAMET_EIO: a limit was refused. */
int cgroup_get(struct cgroups *cgroups, const struct cgroup_wish *wish, struct cgroup **ret_group,
	struct ramet_err *err);
struct cgroup *cgroup_ref(struct cgroup *group);
void cgroup_put(struct cgroup *group);
DEFINE_CLEANUP(struct cgroup, cgroup_put)
/* cgroup_enter - move a process (0: the caller) in; may take milliseconds. Async-signal-safe; -1
 * with errno set. */
int cgroup_enter(const struct cgroup *group, pid_t pid);
/* cgroup_full - 0, or its limit of processes and threads (or its tenant's, which *ret_tenant
 * tells), if it has reached that or its limit of memory, now or since it was asked last */
unsigned cgroup_full(struct cgroup *group, bool *ret_tenant);
/* cgroup_tenant_short - whether all groups of its tenant together have met their limit of memory
 * since it was asked last, and the group itself has not met its own */
bool cgroup_tenant_short(struct cgroup *group);
/* cgroup_oom_look - counts what the kernel has ended of it by now; to be asked whenever one has not
 * ended well, so that it is not taken for the end of a later one. NULL is fine. */
void cgroup_oom_look(struct cgroup *group);
/* cgroup_oom_killed - whether the kernel has ended a process of it for want of memory of which this
 * was not said yet, and which may have been this one, by the most bytes that it had; to be asked
 * when one has ended by SIGKILL that we have not killed */
bool cgroup_oom_killed(struct cgroup *group, uint64_t bytes);

#endif
