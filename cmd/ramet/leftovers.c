/* Control groups that a killed daemon has left: directories ramet/nodeN.PID below the group it was
 * started in, in every hierarchy. That group is not known here, so all are looked through. */
#include "cmd/ramet/leftovers.h"

#include "base/cleanup.h"
#include "cmd/ramet/daemon.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define MAX_DEPTH 12

/* removes the groups below too; what still has processes stays */
static void remove_group(int parent, const char *name, unsigned depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
		if (e->d_type == DT_DIR && e->d_name[0] != '.' && depth < MAX_DEPTH)
			remove_group(fd, e->d_name, depth + 1);
	unlinkat(parent, name, AT_REMOVEDIR);
}

static bool is_ours(const struct cluster *cluster, const char *name)
{
	char ours[48];
	for (unsigned i = 1; i <= cluster->nodes; i++) {
		snprintf(ours, sizeof(ours), "node%u.%d", i, daemon_last_pid(cluster, i));
		if (strcmp(name, ours) == 0)
			return true;
	}
	return false;
}

/* in a directory "ramet": the groups of our nodes */
static void search_ramet(const struct cluster *cluster, int parent)
{
	int fd = openat(parent, "ramet", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	auto_closedir DIR *dir = fdopendir(fd);
	for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
		if (e->d_type == DT_DIR && is_ours(cluster, e->d_name))
			remove_group(fd, e->d_name, 0);
	unlinkat(parent, "ramet", AT_REMOVEDIR); /* stays if another cluster has groups in it */
}

/* takes fd */
static void search(const struct cluster *cluster, int fd, unsigned depth)
{
	auto_closedir DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	search_ramet(cluster, fd);
	for (const struct dirent *e = readdir(dir); e && depth < MAX_DEPTH; e = readdir(dir)) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.' || strcmp(e->d_name, "ramet") == 0)
			continue;
		int below = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			search(cluster, below, depth + 1);
	}
}

void leftovers_remove(const struct cluster *cluster)
{
	int fd = open(CGROUP_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		search(cluster, fd, 0);
}
