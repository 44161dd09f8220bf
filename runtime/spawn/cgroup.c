/* Groups: directories with limits written into them. A directory cannot be removed while the kernel
 * still counts an ending process in it, so removal is tried again by a timer. */
#include "runtime/spawn/cgroup.h"
#include "base/clock.h"
#include "base/list.h"
#include "runtime/spawn/cgroup_find.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMOVE_RETRY_NS (20 * NSEC_PER_MSEC)
#define CPU_PERIOD_US 100000u
#define DAEMON_LEAF \
	".daemon" /* version 2: where we move ourselves; no group's name starts with a dot */

struct cgroup {
	struct list link;
	struct cgroups *cgroups;
	char name[SPAWN_NAME_MAX];
	unsigned refs;
	struct spawn_limits limits;
};

struct cgroups {
	struct loop *loop;
	struct loop_timer retry;
	struct list groups; /* with refs 0: to be removed */
	struct cgroup_place place;
	char node[SPAWN_NAME_MAX];
};

/* --- paths --- */

/* 0, or -1 for a controller that has no directory of its own */
static int path_of(const struct cgroups *cgroups, int controller, const char *group,
	const char *file, char dst[PATH_MAX])
{
	const char *dir = cgroups->place.dirs[controller];
	if (!dir[0])
		return -1;
	for (int c = 0; c < controller; c++) {
		if (strcmp(cgroups->place.dirs[c], dir) == 0)
			return -1; /* mounted together: done with the first */
	}
	int n = snprintf(dst, PATH_MAX, "%s/ramet/%s%s%s%s%s", dir, cgroups->node, group ? "/" : "",
		group ? group : "", file ? "/" : "", file ? file : "");
	return n < PATH_MAX ? 0 : -1;
}

static int limit_path(const struct cgroups *cgroups, int controller, const char *group,
	const char *file, char dst[PATH_MAX])
{
	const char *dir = cgroups->place.dirs[controller];
	int n = snprintf(dst, PATH_MAX, "%s/ramet/%s/%s/%s", dir, cgroups->node, group, file);
	return dir[0] && n < PATH_MAX ? 0 : -1;
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

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	close_keep_errno(fd);
	return n < 0 ? -1 : 0;
}

/* --- the node's directory --- */

static void remove_leaves(const char *dir)
{
	auto_closedir DIR *d = opendir(dir);
	for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 &&
			strcmp(e->d_name, "..") != 0)
			(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
}

static void remove_node(const struct cgroups *cgroups)
{
	char path[PATH_MAX];
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (path_of(cgroups, c, NULL, NULL, path) < 0)
			continue;
		remove_leaves(path);
		(void)rmdir(path);
		*strrchr(path, '/') = '\0';
		(void)rmdir(path); /* fails while another node is there */
	}
}

/* Version 2 forbids processes in a cgroup that hands controllers on. If only we and our parent are
 * in ours, both move to a leaf. */
static int move_aside(const char *own, const char *leaf)
{
	char path[PATH_MAX], line[32];
	if (snprintf(path, sizeof(path), "%s/cgroup.procs", own) >= PATH_MAX)
		return -1;
	auto_fclose FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);
		if (pid != getpid() && pid != getppid())
			return -1;
	}
	if ((mkdir(leaf, 0755) < 0 && errno != EEXIST) ||
		snprintf(path, sizeof(path), "%s/cgroup.procs", leaf) >= PATH_MAX)
		return -1;
	snprintf(line, sizeof(line), "%d", getppid());
	return write_file(path, line) < 0 || write_file(path, "0") < 0 ? -1 : 0;
}

static int v2_hand_on(const char *dir)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir) >= PATH_MAX)
		return -1;
	if (write_file(path, "+memory +pids") < 0)
		return -1;
	(void)write_file(path, "+cpu"); /* often not delegated */
	return 0;
}

static int v2_prepare(const struct cgroups *cgroups, const char *base, const char *node)
{
	char leaf[PATH_MAX];
	if (snprintf(leaf, sizeof(leaf), "%s/" DAEMON_LEAF, node) >= PATH_MAX)
		return -1;
	const char *own = cgroups->place.dirs[CGROUP_MEMORY];
	if (v2_hand_on(own) < 0 && (move_aside(own, leaf) < 0 || v2_hand_on(own) < 0))
		return -1;
	return v2_hand_on(base) < 0 || v2_hand_on(node) < 0 ? -1 : 0;
}

static int prepare_controller(const struct cgroups *cgroups, int controller)
{
	char node[PATH_MAX], base[PATH_MAX];
	if (path_of(cgroups, controller, NULL, NULL, node) < 0)
		return 0;
	memcpy(base, node, sizeof(base));
	*strrchr(base, '/') = '\0';
	if ((mkdir(base, 0755) < 0 && errno != EEXIST) ||
		(mkdir(node, 0755) < 0 && errno != EEXIST))
		return -1;
	remove_leaves(node);
	return cgroups->place.version == 2 ? v2_prepare(cgroups, base, node) : 0;
}

static void prepare_node(struct cgroups *cgroups)
{
	struct cgroup_place *place = &cgroups->place;
	for (int c = 0; c < CGROUP_CONTROLLERS && place->version; c++) {
		if (prepare_controller(cgroups, c) == 0)
			continue;
		snprintf(place->missing, sizeof(place->missing),
			"no limits: cannot make cgroups of %s in %.150s: %s",
			cgroup_controller_names[c], place->dirs[c], strerror(errno));
		remove_node(cgroups);
		place->version = 0;
	}
}

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
	prepare_node(cgroups);
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

/* --- groups --- */

/* true when every directory of it is gone */
static bool remove_dirs(const struct cgroup *group)
{
	char path[PATH_MAX];
	bool gone = true;
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (path_of(group->cgroups, c, group->name, NULL, path) == 0 && rmdir(path) < 0 &&
			errno != ENOENT)
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
		remove_node(cgroups);
	free(cgroups);
}

static int set_limit(const struct cgroup *group, int controller, const char *file,
	const char *value, struct ramet_err *err)
{
	char path[PATH_MAX];
	if (limit_path(group->cgroups, controller, group->name, file, path) < 0)
		return 0;
	if (write_file(path, value) < 0)
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
		if (path_of(group->cgroups, c, group->name, NULL, path) < 0)
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
		if (path_of(group->cgroups, c, group->name, "cgroup.procs", path) == 0 &&
			write_file(path, text) < 0)
			return -1;
	}
	return 0;
}
