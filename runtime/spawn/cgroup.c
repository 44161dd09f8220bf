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
#define OOM_PART 16 /* of the limit: the kernel ends large ones */
#define OOM_LATELY_NS (500 * NSEC_PER_MSEC) /* several that ended at once are reaped one by one */
#define CPU_PERIOD_US 100000u

struct cgroup {
	struct list link;
	struct cgroups *cgroups;
	char name[SPAWN_NAME_MAX + 16]; /* with "t<uid>/" before it */
	char tenant[16]; /* "t<uid>", or "" */
	unsigned refs;
	struct spawn_limits limits, tenant_limits;
	uint64_t oom_kills, oom_ns; /* as of the last look, and when they became more */
	uint64_t forks_refused, pages_refused; /* as of the last look */
	uint64_t own_short, tenant_short; /* times that memory met a limit, as of the last look */
	uint64_t oom_unclaimed; /* of these, whose processes are not known */
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
		/* fails while another group is in it */
		if (group->tenant[0] &&
			cgroup_path(group->cgroups, c, group->tenant, NULL, path) == 0)
			(void)rmdir(path);
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

static int set_limit(const struct cgroups *cgroups, const char *name, int controller,
	const char *file, const char *value, struct ramet_err *err)
{
	char path[PATH_MAX];
	if (limit_path(cgroups, controller, name, file, path) < 0)
		return 0;
	if (cgroup_write(path, value) < 0)
		return err_errno(
			err, RAMET_EIO, "set limit %s of group %s to %s", file, name, value);
	return 0;
}

static int set_limits(const struct cgroups *cgroups, const char *name,
	const struct spawn_limits *limits, struct ramet_err *err)
{
	bool v2 = cgroups->place.version == 2;
	char mem[32], pids[32], cpu[48];
	snprintf(mem, sizeof(mem), "%llu", (unsigned long long)limits->mem);
	snprintf(pids, sizeof(pids), "%u", limits->pids);
	/* of a period of 100 ms, at least the kernel's smallest quota */
	unsigned long long quota =
		MAX(limits->cpu * (unsigned long long)CPU_PERIOD_US / 1000, 1000ull);
	snprintf(cpu, sizeof(cpu), v2 ? "%llu 100000" : "%llu", quota);
	int rc =
		set_limit(cgroups, name, CGROUP_MEMORY, v2 ? "memory.max" : "memory.limit_in_bytes",
			limits->mem ? mem : (v2 ? "max" : "-1"), err);
	if (rc == 0)
		rc = set_limit(
			cgroups, name, CGROUP_PIDS, "pids.max", limits->pids ? pids : "max", err);
	if (rc == 0)
		rc = set_limit(cgroups, name, CGROUP_CPU, v2 ? "cpu.max" : "cpu.cfs_quota_us",
			limits->cpu ? cpu : (v2 ? "max" : "-1"), err);
	return rc;
}

/* the directory of its tenant, if that has limits */
static int make_tenant(const struct cgroup *group, struct ramet_err *err)
{
	char path[PATH_MAX];
	if (!group->tenant[0])
		return 0;
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (cgroup_path(group->cgroups, c, group->tenant, NULL, path) < 0)
			continue;
		bool made = mkdir(path, 0755) == 0;
		if (!made && errno != EEXIST)
			return err_errno(err, RAMET_EIO, "create cgroup %s", path);
		if (group->cgroups->place.version == 2 && cgroup_hand_on(path) < 0)
			return err_errno(err, RAMET_EIO, "hand controllers on in %s", path);
		/* before Linux 5.11 what is below does not count without it */
		if (made &&
			cgroup_path(group->cgroups, c, group->tenant, "memory.use_hierarchy",
				path) == 0)
			(void)cgroup_write(path, "1");
	}
	return set_limits(group->cgroups, group->tenant, &group->tenant_limits, err);
}

static int make_dirs(const struct cgroup *group, struct ramet_err *err)
{
	char path[PATH_MAX];
	int rc = make_tenant(group, err);
	if (rc < 0)
		return rc;
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (cgroup_path(group->cgroups, c, group->name, NULL, path) < 0)
			continue;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return err_errno(err, RAMET_EIO, "create cgroup %s", path);
	}
	return 0;
}

static bool limits_equal(const struct spawn_limits *a, const struct spawn_limits *b)
{
	return a->mem == b->mem && a->pids == b->pids && a->cpu == b->cpu;
}

/* makes what is missing, and sets its limits */
static int update(struct cgroup *group, const struct cgroup_wish *wish, struct ramet_err *err)
{
	bool made = group->refs > 0; /* one that waits to be removed may be half gone */
	bool same = limits_equal(&group->tenant_limits, &wish->tenant);
	group->tenant_limits = wish->tenant;
	int rc = made && same ? 0 : make_dirs(group, err);
	if (rc == 0 && (!made || !limits_equal(&group->limits, &wish->limits)))
		rc = set_limits(group->cgroups, group->name, &wish->limits, err);
	if (rc == 0)
		group->limits = wish->limits;
	return rc;
}

static struct cgroup *find(const struct cgroups *cgroups, const char *name)
{
	list_for_each (group, &cgroups->groups, struct cgroup, link)
		if (strcmp(group->name, name) == 0)
			return group;
	return NULL;
}

static struct cgroup *group_new(struct cgroups *cgroups, const char *name, const char *tenant)
{
	struct cgroup *group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->cgroups = cgroups;
	snprintf(group->name, sizeof(group->name), "%s", name);
	snprintf(group->tenant, sizeof(group->tenant), "%s", tenant);
	list_append(&cgroups->groups, &group->link);
	return group;
}

int cgroup_get(struct cgroups *cgroups, const struct cgroup_wish *wish, struct cgroup **ret_group,
	struct ramet_err *err)
{
	char tenant[16] = "";
	char name[SPAWN_NAME_MAX + 16];
	if (!wish->name[0] || cgroups->place.version == 0) {
		*ret_group = NULL;
		return 0;
	}
	if (!name_ok(wish->name))
		return err_set(err, RAMET_EINVAL, "not the name of a group: '%.64s'", wish->name);
	if (wish->tenant.mem || wish->tenant.pids)
		snprintf(tenant, sizeof(tenant), "t%u", wish->uid);
	snprintf(name, sizeof(name), "%s%s%s", tenant, tenant[0] ? "/" : "", wish->name);
	struct cgroup *group = find(cgroups, name);
	if (!group)
		group = group_new(cgroups, name, tenant);
	if (!group)
		return err_nomem(err);
	int rc = update(group, wish, err);
	if (rc == 0)
		*ret_group = cgroup_ref(group);
	else if (group->refs == 0 && remove_dirs(group))
		group_free(group);
	return rc;
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

/* the number in a file of a group, behind a key if it has several: "oom_kill 3" */
static bool read_number(const struct cgroups *cgroups, const char *name, int controller,
	const char *file, const char *key, uint64_t *ret)
{
	char path[PATH_MAX];
	char text[512] = "";
	if (limit_path(cgroups, controller, name, file, path) < 0)
		return false;
	auto_fclose FILE *f = fopen(path, "re");
	if (!f || fread(text, 1, sizeof(text) - 1, f) == 0)
		return false;
	const char *at = text;
	while (key && at && (strncmp(at, key, strlen(key)) != 0 || at[strlen(key)] != ' ')) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return false;
	char *end;
	at += key ? strlen(key) : 0;
	*ret = strtoull(at, &end, 10);
	return end != at;
}

/* whether a count of the kernel's has become larger; it begins anew with the directory */
static bool has_grown(const struct cgroups *cgroups, const char *name, int controller,
	const char *file, const char *key, uint64_t *io_last)
{
	uint64_t now = 0;
	if (!read_number(cgroups, name, controller, file, key, &now))
		return false;
	bool grown = now > *io_last || (now > 0 && now < *io_last);
	*io_last = now;
	return grown;
}

static bool is_full(const struct cgroup *group, const char *name, unsigned limit)
{
	uint64_t now = 0;
	return limit > 0 &&
		read_number(group->cgroups, name, CGROUP_PIDS, "pids.current", NULL, &now) &&
		now >= limit;
}

unsigned cgroup_full(struct cgroup *group, bool *ret_tenant)
{
	*ret_tenant = false;
	if (!group || (!group->limits.pids && !group->tenant_limits.pids))
		return 0;
	bool v2 = group->cgroups->place.version == 2;
	bool own = is_full(group, group->name, group->limits.pids);
	bool tenant = !own && is_full(group, group->tenant, group->tenant_limits.pids);
	unsigned limit = group->limits.pids ? group->limits.pids : group->tenant_limits.pids;
	bool full = own || tenant;
	full |= has_grown(group->cgroups, group->name, CGROUP_PIDS, "pids.events", "max",
		&group->forks_refused);
	full |= has_grown(group->cgroups, group->name, CGROUP_MEMORY,
		v2 ? "memory.events" : "memory.failcnt", v2 ? "max" : NULL, &group->pages_refused);
	*ret_tenant = tenant || !group->limits.pids;
	return full ? limit : 0;
}

bool cgroup_tenant_short(struct cgroup *group)
{
	if (!group || !group->tenant_limits.mem)
		return false;
	bool v2 = group->cgroups->place.version == 2;
	const char *file = v2 ? "memory.events.local" : "memory.failcnt";
	const char *key = v2 ? "max" : NULL;
	bool own =
		has_grown(group->cgroups, group->name, CGROUP_MEMORY, file, key, &group->own_short);
	bool tenant = has_grown(
		group->cgroups, group->tenant, CGROUP_MEMORY, file, key, &group->tenant_short);
	return tenant && !own;
}

void cgroup_oom_look(struct cgroup *group)
{
	uint64_t kills = 0;
	if (!group)
		return;
	bool v2 = group->cgroups->place.version == 2;
	if (!read_number(group->cgroups, group->name, CGROUP_MEMORY,
		    v2 ? "memory.events" : "memory.oom_control", "oom_kill", &kills))
		return;
	if (group->oom_unclaimed > 0 && now_ns() - group->oom_ns > OOM_LATELY_NS)
		group->oom_unclaimed = 0; /* processes that an instance had made */
	if (kills < group->oom_kills) /* the directory is a new one */
		group->oom_kills = 0;
	if (kills > group->oom_kills) {
		group->oom_unclaimed += kills - group->oom_kills;
		group->oom_ns = now_ns();
	}
	group->oom_kills = kills;
}

bool cgroup_oom_killed(struct cgroup *group, uint64_t bytes)
{
	cgroup_oom_look(group);
	if (!group || group->oom_unclaimed == 0 || bytes < group->limits.mem / OOM_PART)
		return false;
	group->oom_unclaimed--;
	return true;
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
