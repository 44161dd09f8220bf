/* Reading where cgroups are. Version 1 controllers may be mounted apart or together, and version 2
 * may be mounted next to them without a controller; so each controller is looked for in both. */
#include "runtime/spawn/cgroup_find.h"
#include "base/cleanup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const cgroup_controller_names[CGROUP_CONTROLLERS] = {"memory", "pids", "cpu"};

/* whether `name` is an item of a list separated by commas or blanks */
static bool list_has(const char *list, const char *name)
{
	size_t len = strlen(name);
	for (const char *at = list; *at; at += strspn(at, ", \n")) {
		size_t item = strcspn(at, ", \n");
		if (item == len && strncmp(at, name, len) == 0)
			return true;
		at += item;
	}
	return false;
}

/* our path in the hierarchy of a controller; controller "": version 2 */
static bool own_path(const char *proc_cgroup, const char *controller, char *dst, size_t cap)
{
	auto_fclose FILE *f = fopen(proc_cgroup, "re");
	auto_free char *line = NULL;
	size_t size = 0;
	while (f && getline(&line, &size, f) > 0) {
		char *list = strchr(line, ':');
		char *path = list ? strchr(list + 1, ':') : NULL;
		if (!path)
			continue;
		*list++ = '\0';
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (*controller ? list_has(list, controller) : strcmp(line, "0") == 0 && !*list)
			return (size_t)snprintf(dst, cap, "%s", path) < cap;
	}
	return false;
}

struct mount_line {
	char root[PATH_MAX], point[PATH_MAX];
};

/* mountinfo: id parent dev root point options… - type source super-options */
static bool parse_mount(char *line, const char *controller, struct mount_line *ret)
{
	char type[32], super[512];
	const char *tail = strstr(line, " - ");
	if (!tail || sscanf(tail, " - %31s %*s %511s", type, super) != 2)
		return false;
	if (strcmp(type, *controller ? "cgroup" : "cgroup2") != 0)
		return false;
	if (*controller && !list_has(super, controller))
		return false;
	/* PATH_MAX is 4096 */
	return sscanf(line, "%*s %*s %*s %4095s %4095s", ret->root, ret->point) == 2;
}

static bool find_mount(const char *proc_mountinfo, const char *controller, struct mount_line *ret)
{
	auto_fclose FILE *f = fopen(proc_mountinfo, "re");
	auto_free char *line = NULL;
	size_t size = 0;
	while (f && getline(&line, &size, f) > 0) {
		if (parse_mount(line, controller, ret))
			return true;
	}
	return false;
}

/* the directory of our own cgroup, seen through what part of the hierarchy is mounted */
static bool own_dir(const char *proc_cgroup, const char *proc_mountinfo, const char *controller,
	char dst[PATH_MAX])
{
	char path[PATH_MAX];
	struct mount_line mount;
	if (!own_path(proc_cgroup, controller, path, sizeof(path)) ||
		!find_mount(proc_mountinfo, controller, &mount))
		return false;
	size_t root = strcmp(mount.root, "/") == 0 ? 0 : strlen(mount.root);
	if (strncmp(path, mount.root, root) != 0 || (path[root] && path[root] != '/'))
		return false;
	const char *rest = strcmp(path + root, "/") == 0 ? "" : path + root;
	return snprintf(dst, PATH_MAX, "%s%s", mount.point, rest) < PATH_MAX;
}

static bool v2_offers(const char *dir, const char *controller)
{
	char path[PATH_MAX], text[512] = "";
	if (snprintf(path, sizeof(path), "%s/cgroup.controllers", dir) >= PATH_MAX)
		return false;
	auto_fclose FILE *f = fopen(path, "re");
	return f && fgets(text, sizeof(text), f) && list_has(text, controller);
}

static void tell_missing(struct cgroup_place *place)
{
	if (place->version == 0) {
		snprintf(place->missing, sizeof(place->missing),
			"no limits: no cgroup of memory or pids that may be written");
		return;
	}
	size_t len = 0;
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (place->dirs[c][0])
			continue;
		len += (size_t)snprintf(place->missing + len, sizeof(place->missing) - len,
			"%sno limit of %s: its cgroup may not be written", len ? "; " : "",
			cgroup_controller_names[c]);
	}
}

void cgroup_find(
	const char *proc_cgroup, const char *proc_mountinfo, struct cgroup_place *ret_place)
{
	const char *cgroup = proc_cgroup ? proc_cgroup : "/proc/self/cgroup";
	const char *mountinfo = proc_mountinfo ? proc_mountinfo : "/proc/self/mountinfo";
	char v2[PATH_MAX] = "";
	bool found[3] = {false};
	memset(ret_place, 0, sizeof(*ret_place));
	if (!own_dir(cgroup, mountinfo, "", v2) || access(v2, W_OK) < 0)
		v2[0] = '\0';
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		char *dir = ret_place->dirs[c];
		int version = 0;
		if (v2[0] && v2_offers(v2, cgroup_controller_names[c])) {
			memcpy(dir, v2, sizeof(v2));
			version = 2;
		} else if (own_dir(cgroup, mountinfo, cgroup_controller_names[c], dir) &&
			access(dir, W_OK) == 0) {
			version = 1;
		}
		if (!version)
			dir[0] = '\0';
		found[version] = true;
		if (c < CGROUP_CPU && version > ret_place->version)
			ret_place->version = version;
	}
	/* a machine that splits controllers over both versions: only one is used */
	for (int c = 0; found[1] && found[2] && c < CGROUP_CONTROLLERS; c++) {
		if ((strcmp(ret_place->dirs[c], v2) == 0) != (ret_place->version == 2))
			ret_place->dirs[c][0] = '\0';
	}
	tell_missing(ret_place);
}
