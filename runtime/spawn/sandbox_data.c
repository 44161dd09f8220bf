/* Showing an app's data in the root that its sandboxes share. Linked into ramet-sandbox only. */
#include "base/cleanup.h"
#include "runtime/spawn/sandbox_proto.h"
#include "runtime/spawn/sandbox_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <linux/openat2.h>, <linux/mount.h>, which libc's headers may not know */
#define SYSCALL_OPENAT2 437
#define TREE_CLONE 1u /* OPEN_TREE_CLONE */
#define RECURSIVE 0x8000u /* AT_RECURSIVE */
#define NO_SYMLINKS 4u /* RESOLVE_NO_SYMLINKS */
#define MOVE_FROM_EMPTY 4u /* MOVE_MOUNT_F_EMPTY_PATH */
#define MOVE_TO_EMPTY 0x40u /* MOVE_MOUNT_T_EMPTY_PATH */

struct how { /* struct open_how */
	uint64_t flags, mode, resolve;
};

static int open_point(const char *point)
{
	struct how how = {.flags = O_PATH | O_CLOEXEC, .resolve = NO_SYMLINKS};
	return (int)syscall(SYSCALL_OPENAT2, AT_FDCWD, point, &how, sizeof(how));
}

/* Of what the machine's directories do not show, as below /run: made where the root is our own. */
static int make_point(char *point, size_t base_len, const struct stat *st)
{
	for (char *slash = strchr(point + base_len + 1, '/'); slash;
		slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int rc = mkdir(point, 0755);
		*slash = '/';
		if (rc < 0 && errno != EEXIST)
			return -1;
	}
	if (S_ISDIR(st->st_mode))
		return mkdir(point, 0755);
	int fd = open(point, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? -1 : close(fd);
}

/* Opened here, not by ramet-spawn: only what is in our own mount namespace can be cloned where we
 * are root in a user namespace. The descriptor says what the tenant was allowed to read. */
int sandbox_data_take(const char *path, int fd, struct sandbox_reply *reply)
{
	struct stat given, found;
	auto_close int own = open_point(path);
	if (own < 0 || fstat(own, &found) < 0 || fstat(fd, &given) < 0)
		return sandbox_fail(reply, "open", path);
	if (found.st_dev != given.st_dev || found.st_ino != given.st_ino) {
		errno = EXDEV;
		return sandbox_fail(reply, "open again", path);
	}
	auto_close int tree = (int)syscall(SYS_open_tree, own, "",
		TREE_CLONE | O_CLOEXEC | (unsigned)AT_EMPTY_PATH | RECURSIVE);
	if (tree < 0)
		return sandbox_fail(reply, "clone the mount of", path);
	return dup3(tree, fd, O_CLOEXEC) < 0 ? sandbox_fail(reply, "keep", path) : 0;
}

int sandbox_data_show(const char *base, const char *path, int tree_fd, struct sandbox_reply *reply)
{
	char target[PATH_MAX];
	struct stat st;
	if (snprintf(target, sizeof(target), "%s%s", base, path) >= (int)sizeof(target)) {
		errno = ENAMETOOLONG;
		return sandbox_fail(reply, "show", path);
	}
	if (fstat(tree_fd, &st) < 0)
		return sandbox_fail(reply, "look at", path);
	auto_close int point = open_point(target);
	if (point < 0 && errno == ENOENT) {
		if (make_point(target, strlen(base), &st) < 0)
			return sandbox_fail(reply, "make a place for", path);
		point = open_point(target);
	}
	if (point < 0)
		return sandbox_fail(reply, "find the place of", path);
	if (syscall(SYS_move_mount, tree_fd, "", point, "", MOVE_FROM_EMPTY | MOVE_TO_EMPTY) < 0)
		return sandbox_fail(reply, "attach", path);
	if (sandbox_readonly(target, 0) < 0)
		return sandbox_fail(reply, "make read-only", path);
	return 0;
}
