/* Unpacking archives to disk, and deleting what was unpacked. An archive may come from a peer: all
 * is checked again, and every step is made relative to an open directory, without following links.
 */
#include "cluster/bundle_archive.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_CAP (VERSION_HEX + 32)

struct unpack {
	struct wire_msg *msg;
	struct app_version *version;
	const struct wire_value *files;
	uint32_t count;
};

static void unpack_fini(struct unpack *unpack)
{
	app_version_put(unpack->version);
	wire_free(unpack->msg);
}

static int unpack_open(const char *version, const void *data, size_t len, struct unpack *unpack,
	struct ramet_err *err)
{
	const struct wire_limits limits = {
		.bytes = BUNDLE_ARCHIVE_MAX,
		.depth = CLIENT_WIRE_DEPTH,
		.items = CLIENT_WIRE_ITEMS,
	};
	const struct wire_value *meta;
	int rc = bundle_check_name(version, data, len, err);
	if (rc < 0)
		return rc;
	rc = wire_parse(data, len, limits, &unpack->msg, err);
	if (rc == 0)
		rc = wire_get_map(wire_root(unpack->msg), "meta", &meta, err);
	if (rc == 0)
		rc = app_version_parse(meta, version, &unpack->version, err);
	if (rc == 0)
		rc = wire_get_array(
			wire_root(unpack->msg), "files", &unpack->files, &unpack->count, err);
	return rc < 0 ? err_prefix(err, "bundle %.12s", version) : 0;
}

static int own(const struct app_version *version, int fd, mode_t mode, struct ramet_err *err)
{
	/* only root can give files away; without root all tenants are the daemon's own uid */
	if (geteuid() == 0 && fchown(fd, version->uid, version->gid) < 0)
		return err_errno(err, RAMET_EIO, "give a bundle's file to user %u", version->uid);
	if (fchmod(fd, mode) < 0)
		return err_errno(err, RAMET_EIO, "set the mode of a bundle's file");
	return 0;
}

/* opens the directory of a relative path, making what is missing; *ret_name is the last part */
static int open_parent(
	int root_fd, char *path, int *ret_fd, const char **ret_name, struct ramet_err *err)
{
	auto_close int dir = dup(root_fd);
	char *part = path;
	for (char *slash; (slash = strchr(part, '/')); part = slash + 1) {
		*slash = 0;
		if (dir >= 0 && mkdirat(dir, part, 0700) < 0 && errno != EEXIST)
			return err_errno(err, RAMET_EIO, "make directory %s of a bundle", part);
		int next = openat(dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return err_errno(err, RAMET_EIO, "open directory %s of a bundle", part);
		close_reset(&dir);
		dir = next;
	}
	if (dir < 0)
		return err_errno(err, RAMET_EIO, "open a bundle's directory");
	*ret_fd = steal_fd(&dir);
	*ret_name = part;
	return 0;
}

static int write_all(int fd, const void *data, size_t len, struct ramet_err *err)
{
	const char *at = data;
	while (len > 0) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, RAMET_EIO, "write a bundle's file");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int unpack_file(const struct app_version *version, int root_fd, const struct wire_value *map,
	struct ramet_err *err)
{
	char path[CLIENT_PATH_MAX + 1];
	const void *data = NULL;
	const char *name = "";
	size_t len = 0;
	bool executable = false;
	auto_close int dir = -1;
	if (!map || !wire_is_map(map))
		return err_set(err, RAMET_EPROTO, "files: a map was expected");
	int rc = wire_get_str(map, "path", path, sizeof(path), err);
	if (rc == 0)
		rc = bundle_path_check(path, strlen(path), err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "executable", false, &executable, err);
	if (rc == 0)
		rc = wire_get_bin(map, "data", &data, &len, err);
	if (rc == 0)
		rc = open_parent(root_fd, path, &dir, &name, err);
	if (rc < 0)
		return rc;

	auto_close int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "make file %s of a bundle", name);
	rc = write_all(fd, data, len, err);
	if (rc < 0)
		return rc;
	return own(version, fd, executable ? 0500 : 0400, err);
}

/* Calls fn for every entry below dir_fd, children before their directory; takes dir_fd. Depth is
 * bounded by what bundle_path_check() lets in. */
static int walk(int dir_fd, unsigned depth,
	int (*fn)(void *user, int dir_fd, const char *name, bool dir), void *user)
{
	auto_closedir DIR *dir = fdopendir(dir_fd);
	if (!dir) {
		close_keep_errno(dir_fd);
		return -1;
	}
	const struct dirent *entry;
	while ((entry = readdir(dir))) {
		struct stat st;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -1;
		if (S_ISDIR(st.st_mode)) {
			int fd = openat(dirfd(dir), entry->d_name,
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd >= 0)
				fchmod(fd, 0700);
			if (fd < 0 || depth == 0 || walk(fd, depth - 1, fn, user) < 0)
				return -1;
		}
		if (fn(user, dirfd(dir), entry->d_name, S_ISDIR(st.st_mode)) < 0)
			return -1;
	}
	return 0;
}

static int seal_dir(void *user, int dir_fd, const char *name, bool dir)
{
	const struct app_version *version = user;
	if (!dir)
		return 0;
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -1 : own(version, fd, 0500, NULL);
}

static int delete_entry(void *user, int dir_fd, const char *name, bool dir)
{
	return unlinkat(dir_fd, name, dir ? AT_REMOVEDIR : 0);
}

static int delete_tree(int apps_fd, const char *name)
{
	int fd = openat(apps_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : unlinkat(apps_fd, name, 0);
	fchmod(fd, 0700);
	if (walk(fd, BUNDLE_MAX_DEPTH, delete_entry, NULL) < 0)
		return -1;
	return unlinkat(apps_fd, name, AT_REMOVEDIR);
}

static int unpack_all(
	const struct unpack *unpack, int apps_fd, const char *temporary, struct ramet_err *err)
{
	if (mkdirat(apps_fd, temporary, 0700) < 0)
		return err_errno(err, RAMET_EIO, "make directory %s in the store", temporary);
	auto_close int root =
		openat(apps_fd, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return err_errno(err, RAMET_EIO, "open directory %s in the store", temporary);
	for (uint32_t i = 0; i < unpack->count; i++) {
		int rc = unpack_file(unpack->version, root, wire_at(unpack->files, i), err);
		if (rc < 0)
			return rc;
	}
	if (walk(dup(root), BUNDLE_MAX_DEPTH, seal_dir, unpack->version) < 0)
		return err_errno(
			err, RAMET_EIO, "set the modes of bundle %.12s", unpack->version->id);
	return own(unpack->version, root, 0500, err);
}

static int write_archive(
	int apps_fd, const char *name, const void *archive, size_t len, struct ramet_err *err)
{
	auto_close int fd =
		openat(apps_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "make %s in the store", name);
	return write_all(fd, archive, len, err);
}

static int install(int apps_fd, const struct unpack *unpack, const void *archive, size_t len,
	struct ramet_err *err)
{
	const char *version = unpack->version->id;
	char tree[NAME_CAP], file[NAME_CAP], final[NAME_CAP];
	snprintf(tree, sizeof(tree), "%s.tmp.%d", version, (int)gettid());
	snprintf(file, sizeof(file), "%s.arc.%d", version, (int)gettid());
	snprintf(final, sizeof(final), "%s.bundle", version);
	int rc = unpack_all(unpack, apps_fd, tree, err);
	if (rc == 0)
		rc = write_archive(apps_fd, file, archive, len, err);
	if (rc == 0 && renameat(apps_fd, file, apps_fd, final) < 0)
		rc = err_errno(err, RAMET_EIO, "name %s in the store", final);
	/* the directory comes last: who sees it finds all of it. Another thread may have been
	 * first. */
	if (rc == 0 && renameat(apps_fd, tree, apps_fd, version) < 0 && errno != EEXIST &&
		errno != ENOTEMPTY)
		rc = err_errno(err, RAMET_EIO, "name %s in the store", version);
	if (rc < 0)
		unlinkat(apps_fd, file, 0);
	delete_tree(apps_fd, tree);
	return rc;
}

int bundle_install(const char *apps_dir, const char *version, const void *archive, size_t len,
	struct ramet_err *err)
{
	struct unpack unpack = {0};
	auto_close int apps = open(apps_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (apps < 0)
		return err_errno(err, RAMET_EIO, "open %s", apps_dir);
	if (!version_valid(version))
		return err_set(err, RAMET_EPROTO, "a version is named by %u hexadecimal digits",
			VERSION_HEX);
	if (faccessat(apps, version, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	int rc = unpack_open(version, archive, len, &unpack, err);
	if (rc == 0)
		rc = install(apps, &unpack, archive, len, err);
	unpack_fini(&unpack);
	return rc;
}

int bundle_delete(const char *apps_dir, const char *version, struct ramet_err *err)
{
	char file[NAME_CAP];
	auto_close int apps = open(apps_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (apps < 0)
		return err_errno(err, RAMET_EIO, "open %s", apps_dir);
	snprintf(file, sizeof(file), "%s.bundle", version);
	if (delete_tree(apps, version) < 0 || (unlinkat(apps, file, 0) < 0 && errno != ENOENT))
		return err_errno(err, RAMET_EIO, "delete %.12s from %s", version, apps_dir);
	return 0;
}
