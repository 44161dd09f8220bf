/* Leaving a shadow: save the thread, clone, and let the shadow write down the rest while the host
 * runs on. */
#include "rfork/safepoint.h"

#include "rfork/arch/syscall.h"
#include "rfork/safepoint_keep.h"
#include "rfork/safepoint_limits.h"
#include "rfork/safepoint_threads.h"
#include "rfork/safepoint_threads_locks.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif
#define SEED_RSEQ_LEN 32 /* what glibc registers: the size of the first version */

static struct safepoint_state state;

static uint64_t monotonic_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The first thing that a clone does: the C library's way there leads through six pages that it has
 * not touched yet, each a fault. */
static uint64_t first_instruction_ns(void)
{
	struct timespec ts = {0};
	sys2(__NR_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int refuse(struct ramet_err *err, int code, int sys, const char *what)
{
	if (err) {
		err->code = code;
		err->sys = sys;
		snprintf(err->msg, sizeof(err->msg), "%s%s%s", what, sys ? ": " : "",
			sys ? strerror(sys) : "");
	}
	return code;
}

/* In the shadow: what clone(2) copied, and so need not be read while the host waits. */
static void shadow_describe(void)
{
	struct seed_process *p = &state.process;
	stack_t alt;
	safepoint_maps_compare(state.mapped_pages, p->tid, &state.missing);
	for (int sig = 1; sig <= 64; sig++)
		syscall(SYS_rt_sigaction, sig, NULL, &p->sigactions[sig - 1], 8);
	if (sigaltstack(NULL, &alt) == 0 && !(alt.ss_flags & SS_DISABLE)) {
		p->altstack_sp = (uint64_t)(uintptr_t)alt.ss_sp;
		p->altstack_size = alt.ss_size;
		p->altstack_flags = (uint32_t)alt.ss_flags;
	} else {
		p->altstack_size = 0;
	}
	p->umask = (uint32_t)umask(0);
	syscall(SYS_arch_prctl, ARCH_GET_FS, &p->context.fs_base);
	syscall(SYS_arch_prctl, ARCH_GET_GS, &p->context.gs_base);
	p->rseq = 0;
	if (__rseq_size) {
		p->rseq = p->context.fs_base + (uint64_t)__rseq_offset;
		p->rseq_len = SEED_RSEQ_LEN;
		p->rseq_sig = RSEQ_SIG;
	}
	prctl(PR_GET_NAME, p->comm);
	state.brk = (uint64_t)syscall(SYS_brk, 0);
	safepoint_threads_describe();
	state.complete = 1;
}

static void shadow_run(const int ready[2]) __attribute__((noreturn));
static void shadow_run(const int ready[2])
{
	uint64_t all = ~0ull;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	syscall(SYS_close, ready[0]);
	state.ready_fd = ready[1];
	shadow_describe();
	char byte = 1;
	if (syscall(SYS_write, ready[1], &byte, 1) != 1)
		syscall(SYS_exit_group, 1);
	for (;;)
		syscall(SYS_pause);
}

/* What a clone would not have: the pointers the kernel keeps for this thread alone. False: this
 * kernel lacks CONFIG_CHECKPOINT_RESTORE. */
static bool describe_thread(int control_fd)
{
	struct seed_process *p = &state.process;
	state.magic = SAFEPOINT_MAGIC;
	state.size = sizeof(state);
	state.complete = 0;
	p->control_fd = control_fd;
	p->tid = gettid();
	p->state_addr = (uint64_t)(uintptr_t)&state;
	if (syscall(SYS_prctl, PR_GET_TID_ADDRESS, &p->tid_address, 0, 0, 0) < 0)
		return false;
	size_t len = 0;
	void *head = NULL;
	if (syscall(SYS_get_robust_list, 0, &head, &len) == 0) {
		p->robust_list = (uint64_t)(uintptr_t)head;
		p->robust_list_len = len;
	}
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &p->sigmask, 8);
	state.mapped_pages = safepoint_maps_pages();
	return true;
}

void safepoint_begin(void)
{
	limits_begin();
	locks_begin();
}

/* in a clone, on the stack of its parent; kept: it has more to get back than its threads */
static int begin_clone(bool kept, const struct safepoint_threads_captured *captured,
	struct safepoint_shadow *ret_shadow, struct ramet_err *err)
{
	int rc = kept ? keep_restore(err) : 0;
	if (rc == 0)
		rc = safepoint_threads_make(captured, ret_shadow, err);
	if (rc == 0 && kept)
		rc = keep_restore_events(err);
	return rc < 0 ? SAFEPOINT_CLONE_FAILED : SAFEPOINT_CLONE;
}

/* Other threads are parked: nothing here allocates or takes a lock. What failed is *ret_what, with
 * errno. */
static int leave_shadow(int control_fd, bool kept, struct safepoint_shadow *ret_shadow,
	uint64_t *ret_first_ns, const char **ret_what, struct ramet_err *err)
{
	int ready[2], pidfd = -1;

	*ret_what = "capture: this kernel lacks CONFIG_CHECKPOINT_RESTORE";
	if (!describe_thread(control_fd))
		return RAMET_ENOTSUP;
	*ret_what = "capture: pipe";
	if (pipe2(ready, O_CLOEXEC) < 0)
		return RAMET_EIO;

	const struct safepoint_threads_captured captured = {
		.tid_address = state.process.tid_address,
		.robust_list = state.process.robust_list,
		.tid = state.process.tid,
		.others = safepoint_threads_any()};
	ret_shadow->threads = ret_shadow->renumbered = 0;
	if (arch_context_save(&state.process.context) != 0) {
		*ret_first_ns = first_instruction_ns();
		return begin_clone(kept, &captured, ret_shadow, err);
	}
	/* A raw clone: no atfork handlers, which would break the other threads' state. The shadow
	 * is our parent's child, who reaps it. */
	*ret_what = "capture: clone of the shadow";
	long pid = syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, 0);
	if (pid == 0)
		shadow_run(ready);
	int clone_errno = errno;
	close(ready[1]);
	if (pid < 0) {
		close(ready[0]);
		errno = clone_errno;
		return RAMET_EIO;
	}
	ret_shadow->pidfd = pidfd;
	ret_shadow->ready_fd = ready[0];
	ret_shadow->state = (uint64_t)(uintptr_t)&state;
	return SAFEPOINT_HOST;
}

int safepoint_capture(int control_fd, struct safepoint_shadow *ret_shadow, uint64_t *ret_first_ns,
	struct ramet_err *err)
{
	uint64_t begin = monotonic_ns();
	const char *what = NULL;
	bool kept = false;
	int rc = safepoint_threads_park(err);
	if (rc < 0)
		return rc;
	state.process.control_fd = control_fd;
	rc = keep_save(&state, &kept, err);
	if (rc == 0)
		rc = leave_shadow(control_fd, kept, ret_shadow, ret_first_ns, &what, err);
	if (rc == SAFEPOINT_CLONE || rc == SAFEPOINT_CLONE_FAILED)
		return rc;
	int sys = errno;
	keep_drop();
	safepoint_threads_release();
	if (rc < 0)
		return what ? refuse(err, rc, sys, what) : rc;
	ret_shadow->stall_ns = monotonic_ns() - begin;
	return rc;
}

void safepoint_release(void)
{
	safepoint_threads_release();
}
