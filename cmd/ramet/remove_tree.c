/* Removing a directory with all that is in it, also read-only directories of our own. */
#include "cmd/ramet/remove_tree.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define MAX_DEPTH 64

static int remove_entry(
	int parent, const char *name, dev_t dev, unsigned depth, struct ramet_err *err);

static int remove_content(int fd, dev_t dev, unsigned depth, struct ramet_err *err)
{
	auto_closedir DIR *dir = fdopendir(fd);
	if (!dir) {
		close_keep_errno(fd);
		return err_errno(err, RAMET_EIO, "read a directory");
	}
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int rc = remove_entry(fd, e->d_name, dev, depth, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* something is mounted on name in parent */
static void unmount(int parent, const char *name)
{
	char path[64 + NAME_MAX];
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", parent, name);
	umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

static int remove_dir(
	int parent, const char *name, dev_t dev, unsigned depth, struct ramet_err *err)
{
	struct stat st;
	fchmodat(parent, name, 0700, 0); /* else our own read-only directories stay */
	auto_close int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "open directory %s", name);
	if (fstat(fd, &st) < 0 || st.st_dev != dev)
		return err_set(err, RAMET_EIO, "another file system is mounted on %s", name);
	if (depth >= MAX_DEPTH)
		return err_set(err, RAMET_ELIMIT, "directories nest too deep at %s", name);
	int rc = remove_content(steal_fd(&fd), dev, depth + 1, err);
	if (rc < 0)
		return rc;
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0)
		return err_errno(err, RAMET_EIO, "remove directory %s", name);
	return 0;
}

static int remove_entry(
	int parent, const char *name, dev_t dev, unsigned depth, struct ramet_err *err)
{
	struct stat st;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(err, RAMET_EIO, "stat %s", name);
	if (st.st_dev != dev) {
		unmount(parent, name);
		if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_errno(err, RAMET_EIO, "stat %s", name);
	}
	if (S_ISDIR(st.st_mode))
		return remove_dir(parent, name, dev, depth, err);
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno == EBUSY) {
		unmount(parent, name);
		if (unlinkat(parent, name, 0) == 0)
			return 0;
	}
	return err_errno(err, RAMET_EIO, "remove %s", name);
}

int remove_tree(const char *path, struct ramet_err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(err, RAMET_EIO, "stat %s", path);
	int rc = remove_entry(AT_FDCWD, path, st.st_dev, 0, err);
	return rc < 0 ? err_prefix(err, "remove %s", path) : 0;
}
