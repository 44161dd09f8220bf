/* The directory of a node: <own cgroup>/ramet/<node> in every hierarchy that is used. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/spawn/cgroup.h"
#include "runtime/spawn/cgroup_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* version 2: where we move ourselves; no group's name starts with a dot */
#define DAEMON_LEAF ".daemon"

int cgroup_path(const struct cgroups *cgroups, int controller, const char *group, const char *file,
	char dst[PATH_MAX])
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

int cgroup_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	close_keep_errno(fd);
	return n < 0 ? -1 : 0;
}

/* groups, and those in tenants' directories */
static void remove_leaves(const char *dir, bool tenants)
{
	char inside[PATH_MAX];
	auto_closedir DIR *d = opendir(dir);
	for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 ||
			strcmp(e->d_name, "..") == 0)
			continue;
		if (tenants && e->d_name[0] == 't' &&
			snprintf(inside, sizeof(inside), "%s/%s", dir, e->d_name) < PATH_MAX)
			remove_leaves(inside, false);
		(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
}

void cgroup_node_remove(const struct cgroups *cgroups)
{
	char path[PATH_MAX];
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (cgroup_path(cgroups, c, NULL, NULL, path) < 0)
			continue;
		remove_leaves(path, true);
		(void)rmdir(path);
		*strrchr(path, '/') = '\0';
		(void)rmdir(path); /* fails while another node is there */
	}
}

static bool node_is_left(const struct cgroups *cgroups)
{
	char path[PATH_MAX];
	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (cgroup_path(cgroups, c, NULL, NULL, path) == 0 && access(path, F_OK) == 0)
			return true;
	return false;
}

void cgroups_sweep(const char *node, unsigned ms)
{
	const struct timespec pause = {.tv_nsec = 5 * NSEC_PER_MSEC};
	struct cgroups *left = calloc(1, sizeof(*left));
	uint64_t end = now_ns() + ms * NSEC_PER_MSEC;
	if (!left || !node[0]) {
		free(left);
		return;
	}
	cgroup_find(NULL, NULL, &left->place);
	snprintf(left->node, sizeof(left->node), "%s", node);
	for (;;) { /* nothing tells when a cgroup has become empty, in version 1 */
		cgroup_node_remove(left);
		if (!node_is_left(left) || now_ns() > end)
			break;
		(void)nanosleep(&pause, NULL);
	}
	free(left);
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
	return cgroup_write(path, line) < 0 || cgroup_write(path, "0") < 0 ? -1 : 0;
}

int cgroup_hand_on(const char *dir)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir) >= PATH_MAX)
		return -1;
	if (cgroup_write(path, "+memory +pids") < 0)
		return -1;
	(void)cgroup_write(path, "+cpu"); /* often not delegated */
	return 0;
}

static int v2_prepare(const struct cgroups *cgroups, const char *base, const char *node)
{
	char leaf[PATH_MAX];
	if (snprintf(leaf, sizeof(leaf), "%s/" DAEMON_LEAF, node) >= PATH_MAX)
		return -1;
	const char *own = cgroups->place.dirs[CGROUP_MEMORY];
	if (cgroup_hand_on(own) < 0 && (move_aside(own, leaf) < 0 || cgroup_hand_on(own) < 0))
		return -1;
	return cgroup_hand_on(base) < 0 || cgroup_hand_on(node) < 0 ? -1 : 0;
}

static int prepare_controller(const struct cgroups *cgroups, int controller)
{
	char node[PATH_MAX], base[PATH_MAX];
	if (cgroup_path(cgroups, controller, NULL, NULL, node) < 0)
		return 0;
	memcpy(base, node, sizeof(base));
	*strrchr(base, '/') = '\0';
	if ((mkdir(base, 0755) < 0 && errno != EEXIST) ||
		(mkdir(node, 0755) < 0 && errno != EEXIST))
		return -1;
	remove_leaves(node, true);
	return cgroups->place.version == 2 ? v2_prepare(cgroups, base, node) : 0;
}

void cgroup_node_make(struct cgroups *cgroups)
{
	struct cgroup_place *place = &cgroups->place;
	for (int c = 0; c < CGROUP_CONTROLLERS && place->version; c++) {
		if (prepare_controller(cgroups, c) == 0)
			continue;
		snprintf(place->missing, sizeof(place->missing),
			"no limits: cannot make cgroups of %s in %.150s: %s",
			cgroup_controller_names[c], place->dirs[c], strerror(errno));
		cgroup_node_remove(cgroups);
		place->version = 0;
	}
}
