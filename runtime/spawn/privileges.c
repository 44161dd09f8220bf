/* Capabilities by raw system calls: the library for them is not worth a dependency, and is not
 * async-signal-safe. */
#include "runtime/spawn/privileges.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_WORDS 2
#define CAP_BITS 64

struct caps {
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[CAP_WORDS];
};

bool privileges_have(unsigned cap)
{
	struct caps caps = {.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
	return syscall(SYS_capget, &caps.header, caps.data) == 0 &&
		caps.data[cap / 32].effective & 1u << cap % 32;
}

int privileges_keep(void)
{
	struct caps caps = {.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
	if (syscall(SYS_capget, &caps.header, caps.data) < 0)
		return -1;
	for (unsigned i = 0; i < CAP_WORDS; i++)
		caps.data[i].inheritable = caps.data[i].permitted;
	if (syscall(SYS_capset, &caps.header, caps.data) < 0)
		return -1;
	for (unsigned cap = 0; cap < CAP_BITS; cap++) {
		if (caps.data[cap / 32].permitted & (1u << cap % 32) &&
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -1;
	}
	return 0;
}

static int drop_caps(void)
{
	/* Without CAP_SETPCAP there is none to lose by exec but those of set-uid programs, which
	 * no_new_privs ends. */
	unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
		SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	if (prctl(PR_SET_SECUREBITS, bits) < 0 && errno != EPERM)
		return -1;
	for (unsigned long cap = 0; cap < CAP_BITS; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EINVAL && errno != EPERM)
			return -1;
	}
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

int privileges_drop(uid_t uid, gid_t gid, bool groups)
{
	struct caps none = {.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
	if (drop_caps() < 0 || (groups && syscall(SYS_setgroups, 0, NULL) < 0))
		return -1;
	/* The C library would change all threads that it believes to be there, and after a raw
	 * clone wait for them for ever. */
	if (syscall(SYS_setresgid, gid, gid, gid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0)
		return -1;
	if (syscall(SYS_capset, &none.header, none.data) < 0)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int privileges_open_as(uid_t uid, gid_t gid, const char *path)
{
	setfsgid(gid);
	setfsuid(uid); /* and the capabilities that override access rights are gone meanwhile */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int error = errno;
	setfsuid(geteuid());
	setfsgid(getegid());
	errno = error;
	return fd;
}

static int write_map(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

int privileges_enter_userns(void)
{
	char uids[48], gids[48];
	snprintf(uids, sizeof(uids), "%u %u 1\n", geteuid(), geteuid());
	snprintf(gids, sizeof(gids), "%u %u 1\n", getegid(), getegid());
	if (unshare(CLONE_NEWUSER) < 0)
		return -1;
	if (write_map("/proc/self/setgroups", "deny") < 0 ||
		write_map("/proc/self/uid_map", uids) < 0 ||
		write_map("/proc/self/gid_map", gids) < 0)
		return -1;
	return 0;
}
