/* Making a tree of mounts read-only: in one call where the kernel has mount_setattr (5.12), else
 * mount by mount. */
#include "base/cleanup.h"
#include "runtime/spawn/sandbox_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RECURSIVE 0x8000 /* AT_RECURSIVE, which older headers lack */
#define ATTR_RDONLY 1u
#define ATTR_NOSUID 2u
#define ATTR_NODEV 4u

struct attributes { /* struct mount_attr */
	unsigned long long set, clear, propagation, userns_fd;
};

static int set_at_once(const char *target, int devices)
{
#ifdef SYS_mount_setattr
	struct attributes attr = {
		.set = ATTR_RDONLY | ATTR_NOSUID | (devices ? 0 : ATTR_NODEV),
		.propagation = MS_PRIVATE,
	};
	return (int)syscall(SYS_mount_setattr, AT_FDCWD, target, RECURSIVE, &attr, sizeof(attr));
#else
	(void)target, (void)devices;
	errno = ENOSYS;
	return -1;
#endif
}

/* The flags that a mount has must be given again, or a user namespace refuses the change. */
static unsigned long flags_of(const char *target)
{
	static const struct {
		unsigned long statvfs, mount;
	} names[] = {{ST_NOSUID, MS_NOSUID}, {ST_NODEV, MS_NODEV}, {ST_NOEXEC, MS_NOEXEC},
		{ST_NOATIME, MS_NOATIME}, {ST_NODIRATIME, MS_NODIRATIME},
		{ST_RELATIME, MS_RELATIME}};
	struct statvfs st;
	unsigned long flags = 0;
	if (statvfs(target, &st) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (st.f_flag & names[i].statvfs)
			flags |= names[i].mount;
	}
	return flags;
}

static int remount(const char *target, int devices)
{
	unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID |
		(devices ? 0 : MS_NODEV) | flags_of(target);
	return mount(NULL, target, NULL, flags, NULL);
}

static int set_one_by_one(const char *target, int devices)
{
	if (mount(NULL, target, NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -1;
	auto_free char *line = NULL;
	size_t cap = 0;
	for (const char *point; (point = sandbox_next_mount(f, target, &line, &cap));) {
		/* one that is covered by another, or gone, can be left: nobody can see it */
		if (remount(point, devices) < 0 && errno != EINVAL && errno != ENOENT)
			return -1;
	}
	return 0;
}

int sandbox_readonly(const char *target, int devices)
{
	if (set_at_once(target, devices) == 0)
		return 0;
	if (errno != ENOSYS)
		return -1;
	return set_one_by_one(target, devices);
}
