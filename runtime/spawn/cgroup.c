/* Groups: directories with limits written into them. A directory cannot be removed while the kernel
 * still counts an ending process in it, so removal is tried again by a timer. */
#include "runtime/spawn/cgroup.h"
#include "base/clock.h"
#include "runtime/spawn/cgroup_internal.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMOVE_RETRY_NS (20 * NSEC_PER_MSEC)
#define CPU_PERIOD_US 100000u

struct cgroup {
	struct list link;
	struct cgroups *cgroups;
	char name[SPAWN_NAME_MAX];
	unsigned refs;
	struct spawn_limits limits;
};

int cgroups_create(
	struct loop *loop, const char *node, struct cgroups **ret_cgroups, struct ramet_err *err)
{
	struct cgroups *cgroups = calloc(1, sizeof(*cgroups));
	if (!cgroups)
		return err_nomem(err);
	cgroups->loop = loop;
	list_init(&cgroups->groups);
	snprintf(cgroups->node, sizeof(cgroups->node), "%s", node);
	cgroup_find(NULL, NULL, &cgroups->place);
	cgroup_node_make(cgroups);
	*ret_cgroups = cgroups;
	return 0;
}

const char *cgroups_kind(const struct cgroups *cgroups)
{
	static const char *const names[] = {"none", "v1", "v2"};
	return names[cgroups->place.version];
}

const char *cgroups_missing(const struct cgroups *cgroups)
{
	return cgroups->place.missing;
}

static bool name_ok(const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len >= SPAWN_NAME_MAX || name[0] == '.')
		return false;
	for (const char *c = name; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	}
	return true;
}

/* true when every directory of it is gone */
static bool remove_dirs(const struct cgroup *group)
{
	char path[PATH_MAX];
	bool gone = true;
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (cgroup_path(group->cgroups, c, group->name, NULL, path) == 0 &&
			rmdir(path) < 0 && errno != ENOENT)
			gone = false;
	}
	return gone;
}

static void group_free(struct cgroup *group)
{
	list_remove(&group->link);
	free(group);
}

static void retry_remove(struct loop_timer *timer)
{
	struct cgroups *cgroups = container_of(timer, struct cgroups, retry);
	bool left = false;
	list_for_each_safe (group, &cgroups->groups, struct cgroup, link) {
		if (group->refs)
			continue;
		if (remove_dirs(group))
			group_free(group);
		else
			left = true;
	}
	if (left)
		(void)loop_timer_set(
			cgroups->loop, timer, now_ns() + REMOVE_RETRY_NS, retry_remove);
}

void cgroups_destroy(struct cgroups *cgroups)
{
	if (!cgroups)
		return;
	loop_timer_cancel(&cgroups->retry);
	list_for_each_safe (group, &cgroups->groups, struct cgroup, link) {
		(void)remove_dirs(group);
		group_free(group);
	}
	if (cgroups->place.version)
		cgroup_node_remove(cgroups);
	free(cgroups);
}

static int limit_path(const struct cgroups *cgroups, int controller, const char *group,
	const char *file, char dst[PATH_MAX])
{
	const char *dir = cgroups->place.dirs[controller];
	int n = snprintf(dst, PATH_MAX, "%s/ramet/%s/%s/%s", dir, cgroups->node, group, file);
	return dir[0] && n < PATH_MAX ? 0 : -1;
}

static int set_limit(const struct cgroup *group, int controller, const char *file,
	const char *value, struct ramet_err *err)
{
	char path[PATH_MAX];
	if (limit_path(group->cgroups, controller, group->name, file, path) < 0)
		return 0;
	if (cgroup_write(path, value) < 0)
		return err_errno(
			err, RAMET_EIO, "set limit %s of group %s to %s", file, group->name, value);
	return 0;
}

static int set_limits(
	struct cgroup *group, const struct spawn_limits *limits, struct ramet_err *err)
{
	bool v2 = group->cgroups->place.version == 2;
	char mem[32], pids[32], cpu[48];
	snprintf(mem, sizeof(mem), "%llu", (unsigned long long)limits->mem);
	snprintf(pids, sizeof(pids), "%u", limits->pids);
	/* of a period of 100 ms, at least the kernel's smallest quota */
	unsigned long long quota =
		MAX(limits->cpu * (unsigned long long)CPU_PERIOD_US / 1000, 1000ull);
	snprintf(cpu, sizeof(cpu), v2 ? "%llu 100000" : "%llu", quota);
	int rc = set_limit(group, CGROUP_MEMORY, v2 ? "memory.max" : "memory.limit_in_bytes",
		limits->mem ? mem : (v2 ? "max" : "-1"), err);
	if (rc == 0)
		rc = set_limit(group, CGROUP_PIDS, "pids.max", limits->pids ? pids : "max", err);
	if (rc == 0)
		rc = set_limit(group, CGROUP_CPU, v2 ? "cpu.max" : "cpu.cfs_quota_us",
			limits->cpu ? cpu : (v2 ? "max" : "-1"), err);
	if (rc == 0)
		group->limits = *limits;
	return rc;
}

static int make_dirs(const struct cgroup *group, struct ramet_err *err)
{
	char path[PATH_MAX];
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (cgroup_path(group->cgroups, c, group->name, NULL, path) < 0)
			continue;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return err_errno(err, RAMET_EIO, "create cgroup %s", path);
	}
	return 0;
}

static int group_new(struct cgroups *cgroups, const char *name, const struct spawn_limits *limits,
	struct cgroup **ret_group, struct ramet_err *err)
{
	struct cgroup *group = calloc(1, sizeof(*group));
	if (!group)
		return err_nomem(err);
	group->cgroups = cgroups;
	snprintf(group->name, sizeof(group->name), "%s", name);
	list_append(&cgroups->groups, &group->link);
	int rc = make_dirs(group, err);
	if (rc == 0)
		rc = set_limits(group, limits, err);
	if (rc < 0) {
		(void)remove_dirs(group);
		group_free(group);
		return rc;
	}
	group->refs = 1;
	*ret_group = group;
	return 0;
}

static bool limits_equal(const struct spawn_limits *a, const struct spawn_limits *b)
{
	return a->mem == b->mem && a->pids == b->pids && a->cpu == b->cpu;
}

int cgroup_get(struct cgroups *cgroups, const char *name, const struct spawn_limits *limits,
	struct cgroup **ret_group, struct ramet_err *err)
{
	if (!name[0] || cgroups->place.version == 0) {
		*ret_group = NULL;
		return 0;
	}
	if (!name_ok(name))
		return err_set(err, RAMET_EINVAL, "not the name of a group: '%.64s'", name);
	list_for_each (group, &cgroups->groups, struct cgroup, link) {
		if (strcmp(group->name, name) != 0)
			continue;
		/* one that waits to be removed may be half gone */
		int rc = group->refs ? 0 : make_dirs(group, err);
		if (rc == 0 && (!group->refs || !limits_equal(limits, &group->limits)))
			rc = set_limits(group, limits, err);
		if (rc == 0)
			*ret_group = cgroup_ref(group);
		return rc;
	}
	return group_new(cgroups, name, limits, ret_group, err);
}

struct cgroup *cgroup_ref(struct cgroup *group)
{
	if (group)
		group->refs++;
	return group;
}

void cgroup_put(struct cgroup *group)
{
	if (!group || --group->refs)
		return;
	struct cgroups *cgroups = group->cgroups;
	if (remove_dirs(group))
		group_free(group);
	else if (!cgroups->retry.heap_pos)
		(void)loop_timer_set(
			cgroups->loop, &cgroups->retry, now_ns() + REMOVE_RETRY_NS, retry_remove);
}

int cgroup_enter(const struct cgroup *group, pid_t pid)
{
	char path[PATH_MAX], text[16];
	snprintf(text, sizeof(text), "%d", pid);
	for (int c = 0; group && c < CGROUP_CONTROLLERS; c++) {
		if (cgroup_path(group->cgroups, c, group->name, "cgroup.procs", path) == 0 &&
			cgroup_write(path, text) < 0)
			return -1;
	}
	return 0;
}
