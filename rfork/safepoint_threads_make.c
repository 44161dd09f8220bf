/* The threads of a clone: each continues in the handler in which its original was parked. Runs on
 * the captured thread, first, and on each new one until it waits for the release. */
#include "rfork/safepoint_threads.h"

#include "rfork/arch/syscall.h"
#include "rfork/safepoint.h"
#include "rfork/safepoint_fault.h"
#include "rfork/safepoint_threads_internal.h"
#include "rfork/safepoint_threads_locks.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/rseq.h>

#define RSEQ_LEN 32
#define MAX_BLANKS 256 /* ids used up to get at another, a few µs each */

#define THREAD_FLAGS \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

/* The shadow sorts by id: see skip_ids(). */
void safepoint_threads_describe(void)
{
	struct safepoint_thread *sorted = NULL, *next;
	if (!atomic_load(&safepoint_park.gate))
		return;
	for (struct safepoint_thread *t = safepoint_parked(); t; t = next) {
		struct safepoint_thread **at = &sorted;
		next = t->next;
		while (*at && (*at)->tid < t->tid)
			at = &(*at)->next;
		t->next = *at;
		*at = t;
	}
	atomic_store(&safepoint_park.list, (uint64_t)(uintptr_t)sorted);
}

/* --- threads --- */

/* A new PID namespace gives ids out in ascending order. Those that are missing between two threads
 * are used up, if they are not too many. */
static void skip_ids(pid_t wanted, pid_t last, unsigned *io_blanks)
{
	if (wanted <= last || wanted - last - 1 > (pid_t)*io_blanks ||
		safepoint_fault_hit("threads.ids"))
		return;
	for (; last + 1 < wanted && arch_thread_blank() == -EFAULT; last++)
		(*io_blanks)--;
}

static long make_thread(const struct safepoint_thread *t)
{
	unsigned long flags = THREAD_FLAGS | CLONE_SETTLS;
	if (t->tid_address)
		flags |= CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	long tid = arch_thread_make(
		flags, &t->context, (void *)(uintptr_t)t->tid_address, t->context.fs_base);
	if (tid > 0)
		locks_renumber_robust(t->robust_list, t->tid, (pid_t)tid);
	return tid;
}

static int refuse(const struct safepoint_thread *t, int error, struct ramet_err *err)
{
	err->code = RAMET_ELIMIT;
	err->sys = error;
	snprintf(err->msg, sizeof(err->msg),
		"thread %d (%.15s) of the captured process cannot be made again: %s", (int)t->tid,
		t->name,
		error == EAGAIN ? "no more threads are allowed (limits.pids, RLIMIT_NPROC)"
				: "out of memory");
	return RAMET_ELIMIT;
}

static int make_all(pid_t last, struct safepoint_shadow *ret_shadow, struct ramet_err *err)
{
	unsigned blanks = MAX_BLANKS;
	for (struct safepoint_thread *t = safepoint_parked(); t; t = t->next) {
		skip_ids(t->tid, last, &blanks);
		long tid = make_thread(t);
		if (tid < 0)
			return refuse(t, (int)-tid, err);
		last = t->tid_now = (pid_t)tid;
		ret_shadow->threads++;
		ret_shadow->renumbered += last != t->tid;
	}
	return 0;
}

int safepoint_threads_make(const struct safepoint_threads_captured *captured,
	struct safepoint_shadow *ret_shadow, struct ramet_err *err)
{
	const uint64_t all = ~0ull;
	uint64_t mask;
	pid_t self = captured->tid;
	if (captured->tid_address) /* the kernel has written it */
		self = *(const pid_t *)(uintptr_t)captured->tid_address;
	locks_renumber_robust(captured->robust_list, captured->tid, self);
	if (!captured->others || safepoint_fault_hit("threads.make"))
		return 0;
	/* A new thread has the mask of its maker until it leaves its handler. */
	sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(all));
	int rc = make_all(self, ret_shadow, err);
	if (rc == 0 && ret_shadow->renumbered)
		locks_renumber_loader();
	sys4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof(all));
	return rc;
}

void safepoint_thread_begin(const struct safepoint_thread *self, const void *context)
{
	void *lock = arch_signal_lock(context);
	/* The kernel does not wait for userfaultfd to bring the page of such a lock: EFAULT, and
	 * the C library ends the process. */
	if (lock && !safepoint_fault_hit("threads.lock"))
		atomic_fetch_or((_Atomic uint32_t *)lock, 0);
	if (self->context.gs_base)
		sys2(__NR_arch_prctl, ARCH_SET_GS, self->context.gs_base);
	if (self->robust_list)
		sys2(__NR_set_robust_list, self->robust_list, self->robust_list_len);
	if (self->rseq && !safepoint_fault_hit("threads.rseq"))
		sys4(__NR_rseq, self->rseq, RSEQ_LEN, 0, RSEQ_SIG);
	if (!safepoint_fault_hit("threads.name"))
		sys2(__NR_prctl, PR_SET_NAME, self->name);
}
