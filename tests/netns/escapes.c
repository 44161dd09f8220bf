/* Attempts to leave an instance, or to take what is not its own. Each tells how it ended: an
 * error's name, or "got through". A native function and, loaded by ctypes, a library for a Python
 * one. What they are to be tried on (pids, paths, addresses) comes as input, a line each: "kind
 * value". */
#include "ramet/function.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* not there in a Python host, whose symbols are bound at once; nor called */
#pragma weak ramet_input
#pragma weak ramet_output
#pragma weak ramet_answerf
#pragma weak ramet_fail

#define EXPORT __attribute__((visibility("default")))
#define OUTPUT_MAX 65536

static char input_text[OUTPUT_MAX], output_text[OUTPUT_MAX];

EXPORT int escape(struct ramet_invocation *call);
EXPORT int escape_run(const char *input, char *output, size_t cap);
EXPORT int share(struct ramet_invocation *call);

/* ends a child that a clone made in spite of all */
static long made(long pid)
{
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return pid < 0 ? -1 : 0;
}

static long clone_into(unsigned long flags)
{
	return made(syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0));
}

static long clone3_into(uint64_t flags)
{
	uint64_t args[11] = {flags, 0, 0, 0, SIGCHLD};
	return made(syscall(SYS_clone3, args, sizeof(args)));
}

static long opened(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static long wrote(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	long n = write(fd, text, strlen(text));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

static long in_proc(const char *pid, const char *what, int flags)
{
	char path[128];
	snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	return opened(open(path, flags | O_CLOEXEC));
}

/* --- namespaces, mounts and rights: nothing to try them on --- */

static long user_namespace(const char *v)
{
	return unshare(CLONE_NEWUSER);
}
static long net_namespace(const char *v)
{
	return unshare(CLONE_NEWNET);
}
static long mount_namespace(const char *v)
{
	return unshare(CLONE_NEWNS);
}
static long clone_user(const char *v)
{
	return clone_into(CLONE_NEWUSER);
}
static long clone_net(const char *v)
{
	return clone_into(CLONE_NEWUSER | CLONE_NEWNET);
}
static long clone3_user(const char *v)
{
	return clone3_into(CLONE_NEWUSER);
}
static long clone3_plain(const char *v)
{
	return clone3_into(0);
}
static long mount_tmpfs(const char *v)
{
	return mount("none", "/tmp", "tmpfs", 0, NULL);
}
static long mount_bind(const char *v)
{
	return mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL);
}
static long remount(const char *v)
{
	return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL);
}
static long unmount(const char *v)
{
	return umount2("/proc", MNT_DETACH);
}
static long change_root(const char *v)
{
	return chroot("/tmp");
}
static long make_device(const char *v)
{
	return mknod("/tmp/mem", S_IFCHR | 0600, 0x101);
}
static long become_root(const char *v)
{
	return setresuid(0, 0, 0);
}
static long become_other(const char *v)
{
	return setresgid(1, 1, 1);
}
static long join_init(const char *v)
{
	int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	long rc = setns(fd, 0);
	close(fd);
	return rc;
}
static long take_capabilities(const char *v)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
	return syscall(SYS_capset, &header, all);
}
static long allow_privileges(const char *v)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
}
static long write_root(const char *v)
{
	return opened(open("/escaped", O_CREAT | O_WRONLY, 0600));
}
static long write_etc(const char *v)
{
	return wrote("/etc/passwd", "");
}
static long write_sysctl(const char *v)
{
	return wrote("/proc/sys/kernel/hostname", "escaped");
}

/* --- limits --- */

static long raise_limit(const char *v)
{
	const int resource = atoi(v);
	struct rlimit limit;
	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return -1;
	if (limit.rlim_max == RLIM_INFINITY) {
		errno = ENODATA; /* nothing is above it */
		return -1;
	}
	limit.rlim_max++;
	return setrlimit((__rlimit_resource_t)resource, &limit);
}
static long be_nice(const char *v)
{
	return setpriority(PRIO_PROCESS, 0, -5);
}
static long real_time(const char *v)
{
	struct sched_param param = {.sched_priority = 1};
	return sched_setscheduler(0, SCHED_FIFO, &param);
}
static long leave_cgroup(const char *path)
{
	return wrote(path, "0");
}

/* --- other processes: pids as this machine knows them, and those of the sandbox --- */

static long see(const char *pid)
{
	return in_proc(pid, "status", O_RDONLY);
}
static long signal_it(const char *pid)
{
	return kill((pid_t)atoi(pid), 0);
}
static long trace(const char *pid)
{
	return ptrace(PTRACE_ATTACH, (pid_t)atoi(pid), NULL, NULL);
}
static long read_memory(const char *pid)
{
	return in_proc(pid, "mem", O_RDONLY);
}

static long write_memory(const char *pid)
{
	return in_proc(pid, "mem", O_RDWR);
}
static long see_root(const char *pid)
{
	return in_proc(pid, "root/etc/passwd", O_RDONLY);
}
static long read_vm(const char *pid)
{
	char byte;
	struct iovec to = {&byte, 1}, from = {(void *)input_text, 1};
	return process_vm_readv((pid_t)atoi(pid), &to, 1, &from, 1, 0) < 0 ? -1 : 0;
}
static long take_fd(const char *pid)
{
	long pidfd = syscall(SYS_pidfd_open, atoi(pid), 0);
	if (pidfd < 0)
		return -1;
	long fd = syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	int saved = errno;
	close((int)pidfd);
	errno = saved;
	return fd < 0 ? -1 : 0;
}

/* --- files, shared memory, sockets --- */

static long read_path(const char *path)
{
	return opened(open(path, O_RDONLY | O_CLOEXEC));
}
static long attach_shared(const char *key)
{
	return shmget((key_t)atoi(key), 0, 0) < 0 ? -1 : 0;
}
static long connect_to(const struct sockaddr *addr, socklen_t len)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	long rc = fd < 0 ? -1 : connect(fd, addr, len);
	int saved = errno;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return rc;
}
static long connect_local(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	return connect_to((const struct sockaddr *)&addr, sizeof(addr));
}
static long connect_net(const char *value) /* "10.0.0.1:7870" */
{
	char host[64];
	unsigned port = 0;
	struct sockaddr_in addr = {.sin_family = AF_INET};
	if (sscanf(value, "%63[^:]:%u", host, &port) != 2 ||
		inet_pton(AF_INET, host, &addr.sin_addr) != 1)
		return 0; /* a mistake of the test's: seen as got through */
	addr.sin_port = htons((uint16_t)port);
	return connect_to((const struct sockaddr *)&addr, sizeof(addr));
}

/* --- the page cache --- */

/* "got through" if any descriptor is a memfd: that of the page cache, or of anybody */
static long keep_cache(const char *v)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	long rc = -1;
	errno = ENOENT;
	while (dir && (e = readdir(dir))) {
		char target[128];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (strstr(target, "memfd:") || strstr(target, "userfaultfd"))
			rc = 0;
	}
	if (dir)
		closedir(dir);
	if (rc < 0)
		errno = ENOENT;
	return rc;
}

/* by the kernel's links to what is mapped: the first mapping of a memfd, for writing */
static long open_mapped(int flags)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	long rc = -1;
	errno = ENOENT;
	while (maps && fgets(line, sizeof(line), maps)) {
		char path[64];
		unsigned long start, end;
		if (!strstr(line, "memfd:") || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start, end);
		rc = opened(open(path, flags | O_CLOEXEC));
		break;
	}
	int saved = errno;
	if (maps)
		fclose(maps);
	errno = saved;
	return rc;
}
static long write_cache(const char *v)
{
	return open_mapped(O_RDWR);
}
static long read_cache(const char *v)
{
	return open_mapped(O_RDONLY);
}

static const struct {
	const char *kind; /* of input that it is tried on; NULL: once, on nothing */
	const char *name;
	long (*attempt)(const char *value);
} attempts[] = {
	{NULL, "user_namespace", user_namespace},
	{NULL, "net_namespace", net_namespace},
	{NULL, "mount_namespace", mount_namespace},
	{NULL, "clone_user", clone_user},
	{NULL, "clone_net", clone_net},
	{NULL, "clone3_user", clone3_user},
	{NULL, "clone3_plain", clone3_plain},
	{NULL, "mount_tmpfs", mount_tmpfs},
	{NULL, "mount_bind", mount_bind},
	{NULL, "remount", remount},
	{NULL, "unmount", unmount},
	{NULL, "change_root", change_root},
	{NULL, "make_device", make_device},
	{NULL, "become_root", become_root},
	{NULL, "become_other", become_other},
	{NULL, "join_init", join_init},
	{NULL, "take_capabilities", take_capabilities},
	{NULL, "allow_privileges", allow_privileges},
	{NULL, "write_root", write_root},
	{NULL, "write_etc", write_etc},
	{NULL, "write_sysctl", write_sysctl},
	{NULL, "be_nice", be_nice},
	{NULL, "real_time", real_time},
	{NULL, "keep_cache", keep_cache},
	{NULL, "write_cache", write_cache},
	{NULL, "read_cache", read_cache},
	{"limit", "raise_limit", raise_limit},
	{"cgroup", "leave_cgroup", leave_cgroup},
	{"pid", "see", see},
	{"pid", "signal", signal_it},
	{"pid", "trace", trace},
	{"pid", "read_memory", read_memory},
	{"pid", "write_memory", write_memory},
	{"pid", "see_root", see_root},
	{"pid", "read_vm", read_vm},
	{"pid", "take_fd", take_fd},
	{"init", "trace", trace},
	{"init", "read_memory", read_memory},
	{"init", "write_memory", write_memory},
	{"init", "see_root", see_root},
	{"init", "read_vm", read_vm},
	{"init", "take_fd", take_fd},
	{"path", "read", read_path},
	{"key", "attach_shared", attach_shared},
	{"socket", "connect_local", connect_local},
	{"address", "connect_net", connect_net},
};

/* Lines of "name value: outcome". Returns their length, or -1 if there is no room. */
int escape_run(const char *input, char *output, size_t cap)
{
	char *lines = strdup(input), *rest = lines;
	size_t len = 0;
	for (const char *line = "none -"; line; line = strsep(&rest, "\n")) {
		char kind[16], value[256];
		if (sscanf(line, "%15s %255s", kind, value) != 2)
			continue;
		for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
			if (strcmp(attempts[i].kind ? attempts[i].kind : "none", kind) != 0)
				continue;
			long rc = attempts[i].attempt(value);
			int n = snprintf(output + len, cap - len, "%s %s: %s\n", attempts[i].name,
				value, rc < 0 ? strerrorname_np(errno) : "got through");
			if (n < 0 || (size_t)n >= cap - len) {
				free(lines);
				return -1;
			}
			len += (size_t)n;
		}
	}
	free(lines);
	return (int)len;
}

int escape(struct ramet_invocation *call)
{
	size_t len;
	const void *data = ramet_input(call, &len);
	if (len >= sizeof(input_text))
		return ramet_fail(call, "input", "too long");
	memcpy(input_text, data, len);
	input_text[len] = '\0';
	int n = escape_run(input_text, output_text, sizeof(output_text));
	void *out = n < 0 ? NULL : ramet_output(call, (size_t)n, 1);
	if (!out)
		return ramet_fail(call, "output", "no room");
	memcpy(out, output_text, (size_t)n);
	return 0;
}

/* makes what another tenant is to look for: shared memory with the key 4711, and a file */
int share(struct ramet_invocation *call)
{
	int id = shmget(4711, 4096, IPC_CREAT | 0666);
	FILE *file = fopen("/tmp/secret", "we");
	if (id < 0 || !file || fputs("secret", file) < 0 || fclose(file) != 0)
		return ramet_fail(call, "share", strerror(errno));
	return ramet_answerf(call, "%d", (int)(shmget(4711, 0, 0) == id));
}
