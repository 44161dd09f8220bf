/* Probes of this machine: each asks the kernel for the very thing, not for its version. */
#include "cmd/ramet/doctor_probe.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "transport/rdma_advice.h"
#include "transport/verbs_device.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define SAY(field, ...) snprintf(r->field, sizeof(r->field), __VA_ARGS__)

static void set(struct probe_result *r, enum probe_state state, const char *detail,
	const char *remedy, const char *cost)
{
	r->state = state;
	SAY(detail, "%s", detail);
	SAY(remedy, "%s", remedy);
	SAY(cost, "%s", cost);
}

static bool capable(unsigned cap)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	return data[cap / 32].effective & 1u << cap % 32;
}

/* the number in a file of /proc/sys, or fallback */
static long sysctl_number(const char *path, long fallback)
{
	auto_free char *text = NULL;
	if (file_read(path, 64, &text, NULL, NULL) < 0)
		return fallback;
	return strtol(text, NULL, 10);
}

static void probe_kernel(struct probe_result *r)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	if (major > 5 || (major == 5 && minor >= 10))
		set(r, PROBE_OK, u.release, "", "");
	else
		set(r, PROBE_MISSING, u.release, "Linux 5.10 or newer", "Ramet does not run");
}

static int open_userfaultfd(void)
{
	int flags = O_CLOEXEC | O_NONBLOCK;
	int fd = (int)syscall(SYS_userfaultfd, flags);
#ifdef USERFAULTFD_IOC_NEW
	if (fd < 0) {
		auto_close int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
		if (dev >= 0)
			fd = ioctl(dev, USERFAULTFD_IOC_NEW, flags);
	}
#endif
	return fd;
}

static void probe_pager(struct probe_result *r)
{
	static const char *const cost =
		"instances on other nodes start after all pages have come (pager: eager)";
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK};
	auto_close int fd = open_userfaultfd();
	if (fd < 0)
		set(r, PROBE_MISSING, strerror(errno),
			"run rametd as root, or set vm.unprivileged_userfaultfd=1 and give it "
			"CAP_SYS_PTRACE",
			cost);
	else if (ioctl(fd, UFFDIO_API, &api) < 0)
		set(r, PROBE_MISSING, "userfaultfd without EVENT_FORK",
			"run rametd as root, or with CAP_SYS_PTRACE", cost);
	else
		set(r, PROBE_OK, "userfaultfd with EVENT_FORK", "", "");
}

/* 0, or why there is none */
static int try_user_namespace(void)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? errno : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

static void probe_sandbox(struct probe_result *r)
{
	int why = capable(CAP_SYS_ADMIN) ? 0 : try_user_namespace();
	if (capable(CAP_SYS_ADMIN)) {
		set(r, PROBE_OK, "namespaces as root", "", "");
	} else if (why == 0) {
		set(r, PROBE_WARN, "only inside user namespaces", "run rametd as root",
			"one tenant only: the user who runs it");
	} else {
		set(r, PROBE_MISSING, "",
			"run rametd as root, or set user.max_user_namespaces above 0 and (Debian, "
			"Ubuntu) kernel.unprivileged_userns_clone=1, "
			"kernel.apparmor_restrict_unprivileged_userns=0; in a container, allow "
			"unshare(CLONE_NEWUSER)",
			"instances run without sandbox, as the user who runs rametd, and see the "
			"machine's processes and files");
		SAY(detail, "no user namespaces: %s", strerror(why));
	}
}

static void probe_network(struct probe_result *r)
{
	bool ip = access("/sbin/ip", X_OK) == 0 || access("/usr/sbin/ip", X_OK) == 0 ||
		access("/usr/bin/ip", X_OK) == 0;
	if (ip && capable(CAP_NET_ADMIN) && capable(CAP_SYS_ADMIN))
		set(r, PROBE_OK, "network namespaces for the nodes of ramet up", "", "");
	else
		set(r, PROBE_WARN, ip ? "no right to make network namespaces" : "no program \"ip\"",
			ip ? "run ramet up as root" : "install the package iproute2",
			"nodes of ramet up share the loopback interface");
}

static void probe_timens(struct probe_result *r)
{
	if (access("/proc/self/ns/time", F_OK) == 0)
		set(r, PROBE_OK, "clones continue their parent's clocks", "", "");
	else
		set(r, PROBE_WARN, "no time namespaces", "a kernel with CONFIG_TIME_NS",
			"monotonic clocks jump in remote forks");
}

static bool cgroup_writable(const char *path)
{
	return access(path, W_OK) == 0;
}

static void probe_cgroup(struct probe_result *r)
{
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
		if (cgroup_writable("/sys/fs/cgroup/cgroup.subtree_control")) {
			set(r, PROBE_OK, "cgroup v2", "", "");
			return;
		}
	} else if (cgroup_writable("/sys/fs/cgroup/memory/cgroup.procs")) {
		set(r, PROBE_OK, "cgroup v1", "", "");
		return;
	}
	set(r, PROBE_WARN, "control groups cannot be written",
		"run rametd as root, or delegate a group to it (systemd: Delegate=yes)",
		"memory and process limits are not enforced by the kernel");
}

static void probe_memlock(struct probe_result *r)
{
	struct rlimit limit;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY || capable(CAP_IPC_LOCK)) {
		set(r, PROBE_OK, "unlimited", "", "");
		return;
	}
	set(r, PROBE_WARN, "", "LimitMEMLOCK=infinity, or a line in /etc/security/limits.d",
		"segments for RDMA cannot be pinned; TCP does not need it");
	SAY(detail, "locked memory is limited to %llu KiB",
		(unsigned long long)limit.rlim_cur / 1024);
}

static void probe_debuggers(struct probe_result *r)
{
	long scope = sysctl_number("/proc/sys/kernel/yama/ptrace_scope", 0);
	if (scope == 0 || capable(CAP_SYS_PTRACE))
		set(r, PROBE_OK, "gdb and profilers may attach", "", "");
	else
		set(r, PROBE_WARN, "kernel.yama.ptrace_scope restricts attaching",
			"kernel.yama.ptrace_scope=0, or attach as root",
			"no gdb or py-spy on instances");
}

static void probe_rdma(struct probe_result *r)
{
	struct rdma_advice advice;
	rdma_advise(&advice);
	if (!verbs_built())
		set(r, PROBE_WARN, "this program was built without RDMA",
			"build with libibverbs and librdmacm (libibverbs-dev, librdmacm-dev)",
			"pages travel over TCP");
	else if (!advice.devices)
		set(r, PROBE_WARN, advice.detail, "an InfiniBand or RoCE adapter, or rdma_rxe",
			"pages travel over TCP");
	else
		set(r, advice.remedy[0] ? PROBE_WARN : PROBE_OK, advice.detail, advice.remedy,
			advice.cost);
}

static void probe_python(struct probe_result *r)
{
	if (access("/usr/bin/python3", X_OK) == 0)
		set(r, PROBE_OK, "/usr/bin/python3", "", "");
	else
		set(r, PROBE_WARN, "no /usr/bin/python3",
			"install python3, or name another interpreter (python:)",
			"Python functions need one on the node that initialises them");
}

static const struct {
	const char *name;
	void (*fn)(struct probe_result *r);
} probes[] = {
	{"kernel", probe_kernel},
	{"pager", probe_pager},
	{"sandbox", probe_sandbox},
	{"clocks", probe_timens},
	{"limits", probe_cgroup},
	{"network", probe_network},
	{"memlock", probe_memlock},
	{"rdma", probe_rdma},
	{"debuggers", probe_debuggers},
	{"python", probe_python},
};

size_t doctor_probe_count(void)
{
	return ARRAY_LEN(probes);
}

void doctor_probe(size_t index, struct probe_result *ret_result)
{
	memset(ret_result, 0, sizeof(*ret_result));
	ret_result->name = probes[index].name;
	probes[index].fn(ret_result);
}

const char *probe_state_name(enum probe_state state)
{
	static const char *const names[] = {"ok", "warn", "missing"};
	return (size_t)state < ARRAY_LEN(names) ? names[state] : "?";
}
