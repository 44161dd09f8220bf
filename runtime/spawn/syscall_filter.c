/* Building the filter with libseccomp and reading it back as instructions: the stub has no library
 * to load one with. */
#include "runtime/spawn/syscall_filter.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>

#ifdef RAMET_HAVE_SECCOMP
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMESPACE_FLAGS 7

static const uint64_t namespace_flags[NAMESPACE_FLAGS] = {CLONE_NEWNS, CLONE_NEWCGROUP,
	CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};

static void ctx_release(const scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		int rc = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, action, nr, 0);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int refuse_some(scmp_filter_ctx ctx)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < NAMESPACE_FLAGS; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i]));
	if (rc == 0) /* asking is fine */
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(personality), 1,
			SCMP_A0_32(SCMP_CMP_NE, 0xffffffffu, 0));
	return rc < 0
		? rc
		: add_names(ctx, SCMP_ACT_ERRNO(EPERM), syscalls_refused, syscalls_refused_count);
}

/* no thread, and no process in new namespaces; files to be read alone */
static int allow_some(scmp_filter_ctx ctx)
{
	uint64_t not_clone = CLONE_VM;
	const uint64_t not_open = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
	for (size_t i = 0; i < NAMESPACE_FLAGS; i++)
		not_clone |= namespace_flags[i];
	int rc = seccomp_rule_add(
		ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, not_clone, 0));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, not_open, 0));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, not_open, 0));
	return rc < 0 ? rc
		      : add_names(ctx, SCMP_ACT_ALLOW, syscalls_isolates, syscalls_isolates_count);
}

static int add_rules(scmp_filter_ctx ctx, enum syscall_set set)
{
	static const char *const begin[] = {"execve"};
	/* clone3 hides its flags from a filter; ENOSYS makes the C library fall back to clone */
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc == 0)
		rc = set == SYSCALLS_ANY ? refuse_some(ctx) : allow_some(ctx);
	if (rc == 0 && set == SYSCALLS_ISOLATES_BEGIN)
		rc = add_names(ctx, SCMP_ACT_ALLOW, begin, ARRAY_LEN(begin));
	return rc;
}

static int read_back(int fd, struct syscall_filter *ret_filter, struct ramet_err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_errno(err, RAMET_EIO, "stat the exported filter");
	size_t len = (size_t)st.st_size;
	auto_free struct sock_filter *filter = malloc(len);
	if (!filter)
		return err_nomem(err);
	if (len == 0 || len % sizeof(*filter) || len / sizeof(*filter) > BPF_MAXINSNS ||
		pread(fd, filter, len, 0) != (ssize_t)len)
		return err_set(err, RAMET_EIO, "the exported filter has %zu bytes", len);
	ret_filter->len = (unsigned)(len / sizeof(*filter));
	ret_filter->filter = steal_ptr(&filter);
	return 0;
}

static int build(enum syscall_set set, struct syscall_filter *ret_filter, struct ramet_err *err)
{
	CLEANUP(ctx_release)
	scmp_filter_ctx ctx =
		seccomp_init(set == SYSCALLS_ANY ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return err_nomem(err);
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* since 2.5: a binary tree */
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = add_rules(ctx, set);
	auto_close int fd = rc == 0 ? memfd_create("seccomp", MFD_CLOEXEC) : -1;
	if (fd >= 0)
		rc = seccomp_export_bpf(ctx, fd);
	if (rc < 0 || fd < 0) {
		errno = rc < 0 ? -rc : errno;
		return err_errno(err, RAMET_EIO, "build the system-call filter");
	}
	return read_back(fd, ret_filter, err);
}
#else
static int build(enum syscall_set set, struct syscall_filter *ret_filter, struct ramet_err *err)
{
	(void)set;
	(void)ret_filter;
	return err_set(err, RAMET_ENOTSUP,
		"no system-call filter: built without libseccomp (package libseccomp-dev)");
}
#endif

int syscall_filter_build(
	enum syscall_set set, struct syscall_filter *ret_filter, struct ramet_err *err)
{
	if (prctl(PR_GET_SECCOMP) < 0 && errno == EINVAL)
		return err_set(err, RAMET_ENOTSUP,
			"no system-call filter: the kernel is built without CONFIG_SECCOMP_FILTER");
	return build(set, ret_filter, err);
}

void syscall_filter_fini(struct syscall_filter *filter)
{
	free(filter->filter);
	*filter = (struct syscall_filter){0};
}

int syscall_filter_load(const struct syscall_filter *filter)
{
	if (!filter->filter)
		return 0;
	struct sock_fprog prog = {.len = (unsigned short)filter->len, .filter = filter->filter};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}
