/* Leaving a shadow: save the thread, clone, and let the shadow write down the rest while the host
 * runs on. */
#include "rfork/safepoint.h"

#include "rfork/arch/syscall.h"

#include <asm/prctl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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

/* "thread 1234 (OpenBLAS)": the first that is not ours */
static int refuse_threads(struct ramet_err *err)
{
	char what[256] = "capture refused: the process has other threads";
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	while (dir && (e = readdir(dir))) {
		char path[64], name[32] = "";
		if (e->d_name[0] == '.' || strtol(e->d_name, NULL, 10) == gettid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", e->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, name, sizeof(name) - 1);
		if (fd >= 0)
			close(fd);
		name[n > 0 ? n - 1 : 0] = '\0';
		snprintf(what, sizeof(what),
			"capture refused: thread %.16s (%s) is running; end it before the "
			"import ends, start it in the handler, or keep the library that "
			"made it single-threaded (OPENBLAS_NUM_THREADS=1, OMP_NUM_THREADS=1)",
			e->d_name, name);
		break;
	}
	if (dir)
		closedir(dir);
	return refuse(err, RAMET_EREFUSED, 0, what);
}

static int only_thread(void)
{
	struct stat st;
	return stat("/proc/self/task", &st) == 0 && st.st_nlink == 3; /* ".", ".." and one */
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

/* What a clone would not have: the pointers the kernel keeps for this thread alone. */
static int describe_thread(int control_fd, struct ramet_err *err)
{
	struct seed_process *p = &state.process;
	state.magic = SAFEPOINT_MAGIC;
	state.size = sizeof(state);
	state.complete = 0;
	p->control_fd = control_fd;
	p->tid = gettid();
	p->state_addr = (uint64_t)(uintptr_t)&state;
	if (syscall(SYS_prctl, PR_GET_TID_ADDRESS, &p->tid_address, 0, 0, 0) < 0)
		return refuse(err, RAMET_ENOTSUP, errno,
			"capture: this kernel lacks CONFIG_CHECKPOINT_RESTORE");
	size_t len = 0;
	void *head = NULL;
	if (syscall(SYS_get_robust_list, 0, &head, &len) == 0) {
		p->robust_list = (uint64_t)(uintptr_t)head;
		p->robust_list_len = len;
	}
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &p->sigmask, 8);
	state.mapped_pages = safepoint_maps_pages();
	return 0;
}

int safepoint_capture(int control_fd, struct safepoint_shadow *ret_shadow, uint64_t *ret_first_ns,
	struct ramet_err *err)
{
	uint64_t begin = monotonic_ns();
	int ready[2], pidfd = -1;

	if (!only_thread())
		return refuse_threads(err);
	int rc = describe_thread(control_fd, err);
	if (rc < 0)
		return rc;
	if (pipe2(ready, O_CLOEXEC) < 0)
		return refuse(err, RAMET_EIO, errno, "capture: pipe");

	if (arch_context_save(&state.process.context) != 0) {
		*ret_first_ns = first_instruction_ns();
		return SAFEPOINT_CLONE;
	}
	/* A raw clone: no atfork handlers, which would break the other threads' state. The shadow
	 * is our parent's child, who reaps it. */
	long pid = syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, 0);
	if (pid == 0)
		shadow_run(ready);
	int clone_errno = errno;
	close(ready[1]);
	if (pid < 0) {
		close(ready[0]);
		return refuse(err, RAMET_EIO, clone_errno, "capture: clone of the shadow");
	}
	ret_shadow->pidfd = pidfd;
	ret_shadow->ready_fd = ready[0];
	ret_shadow->state = (uint64_t)(uintptr_t)&state;
	ret_shadow->stall_ns = monotonic_ns() - begin;
	return SAFEPOINT_HOST;
}
