/* The inside of cgroups, shared by cgroup.c (groups) and cgroup_node.c (the directory they are in).
 */
#ifndef RUNTIME_SPAWN_CGROUP_INTERNAL_H
#define RUNTIME_SPAWN_CGROUP_INTERNAL_H

#include "base/list.h"
#include "base/loop.h"
#include "runtime/spawn/cgroup_find.h"
#include "runtime/spawn_proto.h"

struct cgroups {
	struct loop *loop;
	struct loop_timer retry;
	struct list groups; /* with refs 0: to be removed */
	struct cgroup_place place;
	char node[SPAWN_NAME_MAX];
};

/* cgroup_path - of the node, of a group in it, or of a group's file. -1: the controller has no
 * directory of its own (not usable, or mounted together with one before it), or the path is too
 * long. */
int cgroup_path(const struct cgroups *cgroups, int controller, const char *group, const char *file,
	char dst[PATH_MAX]);
int cgroup_write(const char *path, const char *text); /* -1 with errno set */
/* cgroup_hand_on - version 2: what is below dir may have limits of memory and processes; -1 */
int cgroup_hand_on(const char *dir);
/* cgroup_node_make - the node's directory in every hierarchy; what cannot be made sets
 * place.version 0, and says why */
void cgroup_node_make(struct cgroups *cgroups);
void cgroup_node_remove(const struct cgroups *cgroups); /* with the empty groups in it */

#endif
