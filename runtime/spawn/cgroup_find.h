/* Where this process may make cgroups, from /proc/self/cgroup and /proc/self/mountinfo. */
#ifndef RUNTIME_SPAWN_CGROUP_FIND_H
#define RUNTIME_SPAWN_CGROUP_FIND_H

#include <limits.h>
#include <stddef.h>

enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CONTROLLERS };

struct cgroup_place {
	int version; /* 1, 2, or 0: none */
	/* the directory of our own cgroup for each controller; "" not usable. In version 2 all are
	 * the same. */
	char dirs[CGROUP_CONTROLLERS][PATH_MAX];
	char missing[256]; /* for people */
};
extern const char *const cgroup_controller_names[CGROUP_CONTROLLERS];

/* cgroup_find - paths are parameters for tests; NULL: the real ones */
void cgroup_find(
	const char *proc_cgroup, const char *proc_mountinfo, struct cgroup_place *ret_place);

#endif
