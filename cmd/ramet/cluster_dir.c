/* The directory of a cluster of `ramet up`. */
#include "cmd/ramet/cluster_dir.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/ramet/remove_tree.h"
#include "libramet/address.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>

static void make_tag(struct cluster *cluster)
{
	uint32_t hash = 2166136261u; /* FNV-1a: a name, not a secret */
	for (const char *p = cluster->dir; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	snprintf(cluster->tag, sizeof(cluster->tag), "%06x", (hash ^ hash >> 24) & 0xffffff);
}

/* absolute, though it need not exist yet: the nearest directory that does is resolved */
static int make_absolute(const char *dir, char dst[PATH_MAX], struct ramet_err *err)
{
	if (dir[0] == '/') {
		snprintf(dst, PATH_MAX, "%s", dir);
	} else {
		char cwd[PATH_MAX];
		if (!getcwd(cwd, sizeof(cwd)))
			return err_errno(err, RAMET_EIO, "getcwd");
		if (snprintf(dst, PATH_MAX, "%s/%s", cwd, dir) >= PATH_MAX)
			return err_set(err, RAMET_EINVAL, "path is too long: %s", dir);
	}
	size_t len = strlen(dst);
	while (len > 1 && dst[len - 1] == '/')
		dst[--len] = '\0';
	return 0;
}

int cluster_init(struct cluster *cluster, const char *dir, struct ramet_err *err)
{
	char given[PATH_MAX], absolute[PATH_MAX];
	*cluster = (struct cluster){.lock_fd = -1};
	int rc = 0;
	if (!dir) {
		rc = address_dir(given, sizeof(given), err);
		dir = given;
	}
	if (rc == 0)
		rc = make_absolute(dir, absolute, err);
	if (rc < 0)
		return rc;
	if (strlen(absolute) > CLUSTER_DIR_MAX)
		return err_set(err, RAMET_EINVAL,
			"%s is longer than %d bytes: socket paths in it would not fit", absolute,
			CLUSTER_DIR_MAX);
	memcpy(cluster->dir, absolute, strlen(absolute) + 1);
	make_tag(cluster);
	return 0;
}

static void own_path(const struct cluster *cluster, const char *name, char dst[CLUSTER_PATH_MAX])
{
	snprintf(dst, CLUSTER_PATH_MAX, "%s/%s", cluster->dir, name);
}

int cluster_lock(struct cluster *cluster, struct ramet_err *err)
{
	char path[CLUSTER_PATH_MAX];
	int rc = file_mkdirs(cluster->dir, 0755, err);
	if (rc < 0)
		return rc;
	own_path(cluster, "lock", path);
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno == EACCES ? RAMET_EPERM : RAMET_EIO, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, RAMET_EEXIST,
			"another `ramet up` or `ramet down` is at work in %s", cluster->dir);
	cluster->lock_fd = steal_fd(&fd);
	return 0;
}

bool cluster_exists(const struct cluster *cluster)
{
	char path[CLUSTER_PATH_MAX];
	own_path(cluster, "cluster", path);
	return access(path, F_OK) == 0;
}

int cluster_save(const struct cluster *cluster, struct ramet_err *err)
{
	char path[CLUSTER_PATH_MAX];
	own_path(cluster, "cluster", path);
	char text[96];
	int len = snprintf(text, sizeof(text), "nodes %u\nnetns %d\nport %u\n", cluster->nodes,
		cluster->netns, cluster->port);
	return file_replace(path, text, (size_t)len, 0644, err);
}

int cluster_load(struct cluster *cluster, struct ramet_err *err)
{
	char path[CLUSTER_PATH_MAX];
	auto_free char *text = NULL;
	int netns;
	if (!cluster_exists(cluster))
		return err_set(err, RAMET_ENOCLUSTER, "no cluster was started in %s", cluster->dir);
	own_path(cluster, "cluster", path);
	int rc = file_read(path, 4096, &text, NULL, err);
	if (rc < 0)
		return rc;
	if (sscanf(text, "nodes %u netns %d port %u", &cluster->nodes, &netns, &cluster->port) !=
			3 ||
		cluster->nodes > CLUSTER_MAX_NODES)
		return err_set(
			err, RAMET_ECONFIG, "%s is damaged: remove %s by hand", path, cluster->dir);
	cluster->netns = netns;
	return 0;
}

int cluster_remove(struct cluster *cluster, struct ramet_err *err)
{
	char path[CLUSTER_PATH_MAX];
	for (unsigned i = 1; i <= cluster->nodes; i++) {
		cluster_path(cluster, i, "", path);
		int rc = remove_tree(path, err);
		if (rc < 0)
			return rc;
	}
	own_path(cluster, "cluster", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(err, RAMET_EIO, "remove %s", path);
	return 0;
}

void cluster_leave(struct cluster *cluster)
{
	char path[CLUSTER_PATH_MAX];
	if (cluster->lock_fd >= 0 && !cluster_exists(cluster)) {
		own_path(cluster, "lock", path);
		unlink(path);
		rmdir(cluster->dir); /* stays if somebody keeps something else there */
	}
	close_reset(&cluster->lock_fd);
}

void cluster_path(
	const struct cluster *cluster, unsigned node, const char *name, char dst[CLUSTER_PATH_MAX])
{
	snprintf(
		dst, CLUSTER_PATH_MAX, "%s/node%u%s%s", cluster->dir, node, *name ? "/" : "", name);
}

void cluster_host(const struct cluster *cluster, unsigned node, char dst[16])
{
	unsigned tag = 0;
	sscanf(cluster->tag, "%x", &tag);
	if (cluster->netns)
		snprintf(dst, 16, "10.87.%u.%u", tag & 0xff, node & 0xff);
	else
		snprintf(dst, 16, "127.0.0.1");
}

unsigned cluster_port(const struct cluster *cluster, unsigned node, unsigned which)
{
	return cluster->port + which + (cluster->netns ? 0 : 2 * (node - 1));
}
