/* Building the root that sandboxes share: a tmpfs with one read-only bind per directory of the
 * machine's root. Few mounts, because each sandbox's namespace is a copy of all of them (about 1 µs
 * each). */
#include "runtime/spawn/sandbox_root.h"
#include "base/cleanup.h"
#include "runtime/spawn/sandbox_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Where the new root is put together: a directory that every machine has, that the new root does
 * not show, and that neither the store nor anything bound lies below. */
#define BASE "/sys"
#define TOPOLOGY "/sys/devices/system" /* of /sys, what thread libraries read */
#define VIEW BASE "/.view" /* while the root is put together */

#define TREE_CLONE 1u /* OPEN_TREE_CLONE */
#define MOVE_EMPTY_PATH 4u /* MOVE_MOUNT_F_EMPTY_PATH */

int sandbox_fail(struct sandbox_reply *reply, const char *what, const char *on)
{
	*reply = (struct sandbox_reply){.error = errno ? errno : EIO};
	snprintf(reply->what, sizeof(reply->what), "%.40s %.70s", what, on);
	return -1;
}

static int tree_clone(const char *path)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | O_CLOEXEC);
}

static int tree_attach(int tree, const char *target)
{
	return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_EMPTY_PATH);
}

static int make_dir(const char *path, mode_t mode, struct sandbox_reply *reply)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return sandbox_fail(reply, "create directory", path);
	return 0;
}

/* Attaches a tree that was cloned while its path could still be seen. */
static int attach_readonly(int tree, const char *target, struct sandbox_reply *reply)
{
	if (make_dir(target, 0755, reply) < 0)
		return -1;
	if (tree_attach(tree, target) < 0)
		return sandbox_fail(reply, "attach", target);
	if (sandbox_readonly(target, 0) < 0)
		return sandbox_fail(reply, "make read-only", target);
	return 0;
}

/* --- the directories of the machine --- */

static int is_own(const char *name)
{
	static const char *const own[] = {
		"proc", "sys", "dev", "run", "tmp", "ramet", "lost+found", ".", ".."};
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (strcmp(name, own[i]) == 0)
			return 1;
	}
	return 0;
}

/* One that cannot be read is bound all the same: its owner may read it. */
static int is_empty(const char *path)
{
	auto_closedir DIR *dir = opendir(path);
	if (!dir)
		return 0;
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return 0;
	}
	return 1;
}

static int show_dir(
	const char *source, const char *target, mode_t mode, struct sandbox_reply *reply)
{
	if (make_dir(target, mode & 07777, reply) < 0)
		return -1;
	if (is_empty(source))
		return 0;
	if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return sandbox_fail(reply, "bind", source);
	if (sandbox_readonly(target, 0) < 0)
		return sandbox_fail(reply, "make read-only", target);
	return 0;
}

/* over the machine's directory of that name, which may be missing or be no directory */
static int show_view_dir(const char *name, const char *source, const char *target, mode_t mode,
	struct sandbox_reply *reply)
{
	struct stat st;
	char view[sizeof(VIEW) + NAME_MAX + 2];
	if (lstat(source, &st) < 0 || !S_ISDIR(st.st_mode)) {
		snprintf(view, sizeof(view), VIEW "/%s", name);
		return show_dir(view, target, mode, reply);
	}
	if (make_dir(target, st.st_mode & 07777, reply) < 0 ||
		sandbox_view_show(VIEW, source, target, reply) < 0)
		return -1;
	if (sandbox_readonly(target, 0) < 0)
		return sandbox_fail(reply, "make read-only", target);
	return 0;
}

/* whose: "" for the machine's, VIEW for the view's */
static int show_entry(const char *whose, const char *name, struct sandbox_reply *reply)
{
	char source[sizeof(VIEW) + NAME_MAX + 2], target[sizeof(BASE) + NAME_MAX + 2];
	struct stat st;
	snprintf(source, sizeof(source), "%s/%s", whose, name);
	snprintf(target, sizeof(target), BASE "/%s", name);
	if (is_own(name) || lstat(source, &st) < 0 || lstat(target, &(struct stat){0}) == 0)
		return 0; /* what the view has was shown before */
	if (S_ISDIR(st.st_mode) && whose[0])
		return show_view_dir(name, source + sizeof(VIEW) - 1, target, st.st_mode, reply);
	if (S_ISDIR(st.st_mode))
		return show_dir(source, target, st.st_mode, reply);
	if (!S_ISLNK(st.st_mode))
		return 0;
	char link[PATH_MAX];
	ssize_t n = readlink(source, link, sizeof(link) - 1);
	if (n < 0)
		return sandbox_fail(reply, "read link", source);
	link[n] = '\0';
	if (symlink(link, target) < 0)
		return sandbox_fail(reply, "create link", target);
	return 0;
}

static int show_all(const char *whose, struct sandbox_reply *reply)
{
	const char *path = whose[0] ? whose : "/";
	auto_closedir DIR *dir = opendir(path);
	if (!dir)
		return sandbox_fail(reply, "list", path);
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (show_entry(whose, e->d_name, reply) < 0)
			return -1;
	}
	return 0;
}

static int make_dirs(char *path, size_t from, struct sandbox_reply *reply)
{
	for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int rc = slash == path + from ? 0 : make_dir(path, 0755, reply);
		*slash = '/';
		if (rc < 0)
			return rc;
	}
	return make_dir(path, 0755, reply);
}

/* What is the daemons' alone is hidden: sockets, configurations. The store, if it is there, stays
 * at its own path too, by which profilers look for the files that are mapped from it. */
static int hide(const char *dir, const char *store_dir, struct sandbox_reply *reply)
{
	char target[sizeof(BASE) + PATH_MAX], inside[sizeof(BASE) + PATH_MAX];
	struct stat st;
	snprintf(target, sizeof(target), BASE "%s", dir);
	if (lstat(target, &st) < 0) /* below what is not shown anyhow */
		return errno == ENOENT ? 0 : sandbox_fail(reply, "look at", target);
	size_t len = strlen(dir);
	bool holds = store_dir && strncmp(store_dir, dir, len) == 0 && store_dir[len] == '/';
	auto_close int store = holds ? tree_clone(store_dir) : -1;
	if (holds && store < 0)
		return sandbox_fail(reply, "clone the mount of", store_dir);
	if (mount("ramet", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") <
		0)
		return sandbox_fail(reply, "hide", dir);
	if (holds) {
		snprintf(inside, sizeof(inside), BASE "%s", store_dir);
		if (make_dirs(inside, strlen(target), reply) < 0 ||
			attach_readonly(store, inside, reply) < 0)
			return -1;
	}
	if (mount(NULL, target, NULL,
		    MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return sandbox_fail(reply, "make read-only", target);
	return 0;
}

/* Symbolic links on the way would lead past what is hidden. */
static int resolve(const char **dir, char real[PATH_MAX], struct sandbox_reply *reply)
{
	if (!*dir)
		return 0;
	if (!realpath(*dir, real))
		return sandbox_fail(reply, "resolve", *dir);
	*dir = real;
	return 0;
}

/* What the view has comes first, and so wins; the view itself is not seen in the end. */
static int show_view(int view_fd, struct sandbox_reply *reply)
{
	if (make_dir(VIEW, 0700, reply) < 0)
		return -1;
	if (tree_attach(view_fd, VIEW) < 0)
		return sandbox_fail(reply, "attach", "the view");
	close(view_fd);
	if (show_all(VIEW, reply) < 0)
		return -1;
	if (umount2(VIEW, MNT_DETACH) < 0 || rmdir(VIEW) < 0)
		return sandbox_fail(reply, "unmount", VIEW);
	return 0;
}

/* --- /dev --- */

static int make_device(
	const char *name, unsigned minor_number, unsigned major_number, struct sandbox_reply *reply)
{
	char host[32], target[32];
	snprintf(host, sizeof(host), "/dev/%s", name);
	snprintf(target, sizeof(target), BASE "/dev/%s", name);
	if (mknod(target, S_IFCHR | 0666, makedev(major_number, minor_number)) == 0)
		return 0;
	if (errno != EPERM)
		return sandbox_fail(reply, "create device", host);
	/* in a user namespace: show the machine's */
	int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0)
		return sandbox_fail(reply, "create", target);
	close(fd);
	if (mount(host, target, NULL, MS_BIND, NULL) < 0)
		return sandbox_fail(reply, "bind", host);
	return 0;
}

static int make_devices(struct sandbox_reply *reply)
{
	static const struct {
		const char *name;
		unsigned major_number, minor_number;
	} devices[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8},
		{"urandom", 1, 9}, {"tty", 5, 0}};
	/* Memory that is shared by name is the sandbox's own, like its /tmp. */
	static const char *const links[][2] = {{"/proc/self/fd", BASE "/dev/fd"},
		{"/proc/self/fd/0", BASE "/dev/stdin"}, {"/proc/self/fd/1", BASE "/dev/stdout"},
		{"/proc/self/fd/2", BASE "/dev/stderr"}, {"/tmp", BASE "/dev/shm"}};
	if (make_dir(BASE "/dev", 0755, reply) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		if (make_device(devices[i].name, devices[i].minor_number, devices[i].major_number,
			    reply) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (symlink(links[i][0], links[i][1]) < 0)
			return sandbox_fail(reply, "create link", links[i][1]);
	}
	return 0;
}

/* --- all of it --- */

static int make_own(struct sandbox_reply *reply)
{
	static const struct {
		const char *path;
		mode_t mode;
	} dirs[] = {{BASE "/proc", 0555}, {BASE "/tmp", 01777}, {BASE "/run", 0755},
		{BASE "/ramet", 0755}, {BASE "/sys", 0555}};
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (make_dir(dirs[i].path, dirs[i].mode, reply) < 0)
			return -1;
	}
	return make_devices(reply);
}

/* /sys itself would show far more than the CPUs, so of it only that. Its absence hurts nobody. */
static int show_topology(int tree, struct sandbox_reply *reply)
{
	if (tree < 0)
		return 0;
	if (make_dir(BASE "/sys/devices", 0755, reply) < 0)
		return -1;
	return attach_readonly(tree, BASE TOPOLOGY, reply);
}

/* In a user namespace the kernel mounts a new /proc only where another can be seen whole already.
 * This one ends up below the sandbox's own. */
static int show_proc(struct sandbox_reply *reply)
{
	if (geteuid() == 0)
		return 0;
	if (mount("/proc", BASE "/proc", NULL, MS_BIND | MS_REC, NULL) < 0)
		return sandbox_fail(reply, "bind", "/proc");
	return 0;
}

/* pivot_root() refuses to leave an initramfs; there the new root is moved over the old. */
static int enter_base(struct sandbox_reply *reply)
{
	if (chdir(BASE) < 0)
		return sandbox_fail(reply, "enter", BASE);
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return sandbox_fail(reply, "unmount", "the old root");
	} else if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
		return sandbox_fail(reply, "change the root to", BASE);
	}
	return chdir("/") < 0 ? sandbox_fail(reply, "enter", "/") : 0;
}

/* before anything is changed: what is at a path later may be another thing */
static int take_data(const char *const *data, int data_fd, struct sandbox_reply *reply)
{
	for (; *data; data++, data_fd++)
		if (sandbox_data_take(*data, data_fd, reply) < 0)
			return -1;
	return 0;
}

static int show_data(const char *const *data, int data_fd, struct sandbox_reply *reply)
{
	for (; *data; data++, data_fd++) {
		if (sandbox_data_show(BASE, *data, data_fd, reply) < 0)
			return -1;
		close(data_fd);
	}
	return 0;
}

int sandbox_root_enter(const char *store_dir, const char *hide_dir, int view_fd,
	const char *const *data, int data_fd, struct sandbox_reply *reply)
{
	char real_store[PATH_MAX], real_hide[PATH_MAX];
	umask(0);
	if (resolve(&store_dir, real_store, reply) < 0 || resolve(&hide_dir, real_hide, reply) < 0)
		return -1;
	if (unshare(CLONE_NEWNS) < 0)
		return sandbox_fail(reply, "unshare", "the mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return sandbox_fail(reply, "make private", "/");
	if (take_data(data, data_fd, reply) < 0)
		return -1;
	auto_close int topology = tree_clone(TOPOLOGY);
	auto_close int store = store_dir ? tree_clone(store_dir) : -1;
	if (store_dir && store < 0)
		return sandbox_fail(reply, "clone the mount of", store_dir);
	if (mount("ramet", BASE, "tmpfs", MS_NOSUID, "mode=755,size=1m") < 0)
		return sandbox_fail(reply, "mount tmpfs on", BASE);
	if (make_own(reply) < 0 || show_topology(topology, reply) < 0 ||
		(view_fd >= 0 && show_view(view_fd, reply) < 0) || show_all("", reply) < 0 ||
		show_proc(reply) < 0)
		return -1;
	if (hide_dir && hide(hide_dir, store_dir, reply) < 0)
		return -1;
	if (store_dir && attach_readonly(store, BASE "/ramet", reply) < 0)
		return -1;
	if (show_data(data, data_fd, reply) < 0)
		return -1;
	if (mount(NULL, BASE, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) < 0)
		return sandbox_fail(reply, "make read-only", BASE);
	return enter_base(reply);
}
