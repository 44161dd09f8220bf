/* One clone: the template's copy of itself joins its sandbox, takes its identity, drops its rights,
 * and becomes the captured thread. All that clones have in common was set in the template
 * (stub_build.c). */
#include "rfork/stub/stub.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>

#define MADV_POPULATE_WRITE_NR 23
#define CLONE_FAILED \
	120 /* exit status of a clone that could not be set up: ramet-spawn reports it */

static void drop_rights(const struct stub_clone *c)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	if (sys2(__NR_setgroups, 0, 0) < 0 || sys3(__NR_setresgid, c->gid, c->gid, c->gid) < 0 ||
		sys3(__NR_setresuid, c->uid, c->uid, c->uid) < 0)
		stub_exit(CLONE_FAILED);
	if (c->uid == 0 && sys2(__NR_capset, &header, none) < 0)
		stub_exit(CLONE_FAILED);
	sys5(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0,
		0); /* else /proc/self would be unreadable after the switch */
}

static void reopen_files(const struct descriptor_header *h)
{
	const struct seed_fd *fds = stub_section(h, &h->fds);
	const char *strings = stub_section(h, &h->strings);
	for (uint32_t i = 0; i < h->fds.count; i++) {
		long fd = sys4(__NR_openat, -100, strings + fds[i].path,
			fds[i].flags & ~(uint32_t)(O_CREAT | O_TRUNC), 0);
		if (fd < 0)
			stub_exit(CLONE_FAILED);
		sys3(__NR_lseek, fd, fds[i].offset, 0);
		if (fd != fds[i].fd) {
			sys3(__NR_dup3, fd, fds[i].fd, fds[i].flags & O_CLOEXEC);
			sys1(__NR_close, fd);
		}
	}
}

/* A hint: ranges that are not mapped are passed over, and before Linux 5.14 all of it is. */
static void populate(const struct stub_clone *c)
{
	for (uint32_t i = 0; i < c->npopulate; i++)
		if (sys3(__NR_madvise, c->populate[i][0], c->populate[i][1] - c->populate[i][0],
			    MADV_POPULATE_WRITE_NR) == -EINVAL)
			return;
}

static void become(const struct stub_clone *c, int sandbox, const struct descriptor_header *h)
	__attribute__((noreturn));
static void become(const struct stub_clone *c, int sandbox, const struct descriptor_header *h)
{
	const struct seed_process *p = &h->process;
	const char *cwd = stub_section(h, &h->strings);

	if (sandbox >= 0 && sys2(__NR_setns, sandbox, CLONE_NEWNS) < 0)
		stub_exit(CLONE_FAILED);
	sys3(__NR_close_range, STUB_CONTROL_FD + 1, ~0u, 0);
	sys3(__NR_fcntl, STUB_CONTROL_FD, F_SETFD, FD_CLOEXEC); /* not for programs it runs */
	if (c->flags & STUB_DROP)
		drop_rights(c);
	if (cwd[1] != '\0' || sandbox < 0)
		sys1(__NR_chdir, cwd);
	if (h->fds.count)
		reopen_files(h);
	if (p->robust_list)
		sys2(__NR_set_robust_list, p->robust_list, p->robust_list_len);
	if (p->rseq) {
		/* The kernel reads it, then writes: written first, its page is one fault, not two.
		 */
		*(volatile uint32_t *)p->rseq = 0;
		sys4(__NR_rseq, p->rseq, p->rseq_len, 0, p->rseq_sig);
	}
	populate(c);
	sys4(__NR_rt_sigprocmask, SIG_SETMASK, &p->sigmask, 0, 8);
	stub_resume(&p->context);
}

int stub_clone(
	const struct stub_message *msg, const struct stub_seed *seed, struct stub_reply *reply)
{
	const struct stub_clone *c = &msg->clone;
	const struct seed_process *p = &seed->header->process;
	int sandbox = -1;
	long pid;

	reply->step = STUB_STEP_PROTOCOL;
	unsigned want = 3 + !!(c->flags & STUB_SANDBOX);
	if (msg->nfds != want || c->npopulate > STUB_MAX_POPULATE || msg->fds[0] != 1 ||
		msg->fds[1] != 2 || msg->fds[2] != 3) {
		pid = -EPROTO;
		goto out;
	}
	if (c->flags & STUB_SANDBOX) {
		sandbox = msg->fds[3];
		reply->step = STUB_STEP_SANDBOX;
		pid = sys2(__NR_setns, sandbox, CLONE_NEWPID);
		if (pid < 0)
			goto out;
	}
	reply->step = STUB_STEP_CLONE;
	pid = sys5(__NR_clone, CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
		0, 0, p->tid_address, 0);
	if (pid == 0)
		become(c, sandbox, seed->header);
out:
	sys3(__NR_close_range, 1, 61, 0);
	return (int)pid;
}
