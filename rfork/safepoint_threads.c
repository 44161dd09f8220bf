/* Bringing the other threads of a host to rest, and letting them go on. */
#include "rfork/safepoint_threads.h"

#include "rfork/arch/syscall.h"
#include "rfork/descriptor.h"
#include "rfork/safepoint_fault.h"
#include "rfork/safepoint_threads_internal.h"
#include "rfork/safepoint_threads_why.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif
#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif
#define PARK_SIGNAL 33
#define PARK_MAGIC 0x52740000u
#define PARK_EPOCHS 0xffffu
#define TICK_NS 1000000 /* how often new and ended threads are looked for */
#define RSEQ_LEN 32

struct safepoint_park safepoint_park;

/* the capturing thread's alone */
static struct {
	struct seed_sigaction before; /* what PARK_SIGNAL did */
	uint64_t patience_ns;
	uint32_t epoch;
	uint32_t pass;
	int task_fd;
	pid_t pid, self;
	bool leader_ended; /* the main thread has left: it is listed, and does nothing any more */
} park = {.patience_ns = SAFEPOINT_PARK_MS * 1000000ull};

/* those that were sent the signal */
static struct {
	pid_t tid[SAFEPOINT_MAX_THREADS];
	uint32_t pass[SAFEPOINT_MAX_THREADS];
	unsigned count;
} sent;

void safepoint_threads_patience(unsigned ms)
{
	park.patience_ns = ms * 1000000ull;
}

static uint64_t park_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* --- the parked thread --- */

static void describe_self(struct safepoint_thread *self)
{
	void *head = NULL;
	size_t len = 0;
	self->tid = self->tid_now = (pid_t)sys0(__NR_gettid);
	sys2(__NR_prctl, PR_GET_TID_ADDRESS, &self->tid_address);
	if (sys3(__NR_get_robust_list, 0, &head, &len) == 0) {
		self->robust_list = (uint64_t)(uintptr_t)head;
		self->robust_list_len = len;
	}
	sys2(__NR_prctl, PR_GET_NAME, self->name);
	sys2(__NR_arch_prctl, ARCH_GET_FS, &self->context.fs_base);
	sys2(__NR_arch_prctl, ARCH_GET_GS, &self->context.gs_base);
	if (!__rseq_size || !self->context.fs_base)
		return;
	/* A thread made without the C library has none: registering tells, and is undone. */
	uint64_t area = self->context.fs_base + (uint64_t)__rseq_offset;
	long rc = sys4(__NR_rseq, area, RSEQ_LEN, 0, RSEQ_SIG);
	if (rc == -EBUSY)
		self->rseq = area;
	else if (rc == 0)
		sys4(__NR_rseq, area, RSEQ_LEN, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

static bool add_self(struct safepoint_thread *self, uint32_t epoch)
{
	uint64_t list = atomic_load(&safepoint_park.list);
	do {
		if (list >> 48 != epoch)
			return false;
		self->next = (struct safepoint_thread *)(uintptr_t)(list & 0xffffffffffffull);
		self->depth = self->next ? self->next->depth + 1 : 1;
	} while (!atomic_compare_exchange_weak(
		&safepoint_park.list, &list, (uint64_t)epoch << 48 | (uint64_t)(uintptr_t)self));
	atomic_fetch_add(&safepoint_park.progress, 1);
	if (self->depth >= atomic_load(&safepoint_park.expected))
		sys3(__NR_futex, &safepoint_park.progress, FUTEX_WAKE_PRIVATE, 1);
	return true;
}

/* The frame that this function has here is where a thread lies in the seed, and where it begins in
 * each clone: by returning, through the kernel's signal frame, to what it did. */
static void park_here(uint32_t epoch, void *context)
{
	struct safepoint_thread self = {0};
	bool parked = true;
	describe_self(&self);
	bool clone = arch_context_save(&self.context) != 0;
	if (clone)
		safepoint_thread_begin(&self, context);
	else
		parked = add_self(&self, epoch);
	while (parked && atomic_load(&safepoint_park.gate) == epoch)
		sys4(__NR_futex, &safepoint_park.gate, FUTEX_WAIT_PRIVATE, epoch, 0);
	if (clone && safepoint_fault_hit("threads.vectors"))
		arch_signal_forget_vectors(context);
	if (!clone || !safepoint_fault_hit("threads.restart"))
		arch_signal_restart(context);
}

static void on_park(int signal, siginfo_t *info, void *context)
{
	uint64_t value = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
	if (info->si_code == SI_QUEUE && value >> 32 == PARK_MAGIC)
		park_here((uint32_t)value, context);
	else if (park.before.handler > 1) /* neither SIG_DFL nor SIG_IGN */
		((void (*)(int, siginfo_t *, void *))(uintptr_t)park.before.handler)(
			signal, info, context);
}

/* --- the capturing thread --- */

static void install(void)
{
	struct seed_sigaction action = {.handler = (uint64_t)(uintptr_t)on_park,
		.flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_RESTORER,
		.restorer = (uint64_t)(uintptr_t)arch_signal_return,
		.mask = ~0ull};
	struct seed_sigaction old = {0};
	sys4(__NR_rt_sigaction, PARK_SIGNAL, &action, &old, sizeof(old.mask));
	if (old.handler != action.handler)
		park.before = old;
}

/* Not while a signal of ours may still come: what it would do then is not known. */
static void uninstall(void)
{
	sys4(__NR_rt_sigaction, PARK_SIGNAL, &park.before, 0, sizeof(park.before.mask));
}

static unsigned parked_count(void)
{
	const struct safepoint_thread *first = safepoint_parked();
	return first ? first->depth : 0;
}

static bool is_parked(pid_t tid)
{
	for (const struct safepoint_thread *t = safepoint_parked(); t; t = t->next)
		if (t->tid == tid)
			return true;
	return false;
}

/* The kernel's count, taken at one moment: threads that are parked cannot make others. */
static bool all_parked(void)
{
	struct stat st;
	unsigned parked = parked_count() + 1 + park.leader_ended;
	return fstat(park.task_fd, &st) == 0 && st.st_nlink == parked + 2; /* "." and ".." */
}

/* 0, or negative errno */
static int send_signal(pid_t tid)
{
	if (sent.count == SAFEPOINT_MAX_THREADS)
		return -E2BIG;
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	info.si_signo = PARK_SIGNAL;
	info.si_code = SI_QUEUE;
	info.si_pid = park.pid;
	info.si_value.sival_ptr = (void *)((uintptr_t)PARK_MAGIC << 32 | park.epoch);
	sent.tid[sent.count] = tid;
	sent.pass[sent.count++] = park.pass;
	long rc = sys4(__NR_rt_tgsigqueueinfo, park.pid, tid, PARK_SIGNAL, &info);
	if (rc < 0)
		sent.count--;
	return rc == -ESRCH ? 0 : (int)rc; /* it has just ended */
}

static int take_thread(pid_t tid)
{
	if (tid == park.self)
		return 0;
	for (unsigned i = 0; i < sent.count; i++) {
		if (sent.tid[i] == tid) {
			sent.pass[i] = park.pass;
			return 0;
		}
	}
	return send_signal(tid);
}

static pid_t take_number(const char *text)
{
	pid_t number = 0;
	for (; *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (*text - '0');
	return number;
}

static void forget_ended(void)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < sent.count; i++) {
		if (sent.pass[i] == park.pass) {
			sent.tid[kept] = sent.tid[i];
			sent.pass[kept++] = park.pass;
		}
	}
	sent.count = kept;
}

/* one pass over /proc/self/task: whoever is new gets the signal. Their number, or negative errno.
 */
static int signal_all(pid_t *ret_failed)
{
	struct entry {
		uint64_t ino, off;
		uint16_t len;
		uint8_t type;
		char name[];
	};
	static char buffer[4096] __attribute__((aligned(8)));
	long n;
	unsigned before = sent.count;
	park.pass++;
	sys3(__NR_lseek, park.task_fd, 0, SEEK_SET);
	while ((n = sys3(__NR_getdents64, park.task_fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			const struct entry *e = (const void *)(buffer + at);
			pid_t tid = take_number(e->name);
			int rc = tid ? take_thread(tid) : 0;
			if (rc < 0) {
				*ret_failed = tid;
				return rc;
			}
			at += e->len;
		}
	}
	int found = (int)(sent.count - before);
	forget_ended();
	return n < 0 ? (int)n : found;
}

/* until the last one that was sent the signal has parked, or it is time to look again: at once if
 * some were new, for they may have made others */
static void await_progress(bool found)
{
	const struct timespec tick = {0, TICK_NS};
	uint32_t seen = atomic_load(&safepoint_park.progress);
	atomic_store(&safepoint_park.expected, sent.count);
	if (!found || parked_count() < sent.count)
		sys4(__NR_futex, &safepoint_park.progress, FUTEX_WAIT_PRIVATE, seen, &tick);
}

static pid_t find_straggler(void)
{
	for (unsigned i = 0; i < sent.count; i++)
		if (!is_parked(sent.tid[i]))
			return sent.tid[i];
	return 0;
}

/* 0, or negative errno and which thread it is about */
static int park_all(pid_t *ret_failed)
{
	uint64_t deadline = park_now() + park.patience_ns;
	while (!all_parked()) {
		int rc = signal_all(ret_failed);
		if (rc < 0)
			return rc;
		await_progress(rc > 0);
		if (!park.leader_ended && park.self != park.pid && !is_parked(park.pid))
			park.leader_ended = safepoint_threads_ended(park.pid);
		if (park_now() >= deadline && !all_parked()) {
			*ret_failed = find_straggler();
			return -ETIMEDOUT;
		}
	}
	return 0;
}

static void begin(void)
{
	park.epoch = park.epoch % PARK_EPOCHS + 1;
	park.pid = (pid_t)sys0(__NR_getpid);
	park.self = (pid_t)sys0(__NR_gettid);
	park.leader_ended = false;
	sent.count = 0;
	atomic_store(&safepoint_park.gate, park.epoch);
	atomic_store(&safepoint_park.list, (uint64_t)park.epoch << 48);
	install();
}

int safepoint_threads_park(struct ramet_err *err)
{
	struct safepoint_threads_why why = {.patience_ms = park.patience_ns / 1000000u};
	park.task_fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (park.task_fd < 0)
		return safepoint_threads_refuse(&why, -errno, err);
	struct stat st;
	if (fstat(park.task_fd, &st) == 0 && st.st_nlink == 3) { /* ".", ".." and this one */
		close(park.task_fd);
		return 0;
	}
	begin();
	int rc = park_all(&why.tid);
	if (rc < 0)
		safepoint_threads_look(&why);
	else
		uninstall();
	close(park.task_fd);
	if (rc == 0)
		return 0;
	safepoint_threads_release();
	return safepoint_threads_refuse(&why, rc, err);
}

pid_t safepoint_threads_id(pid_t parked)
{
	for (const struct safepoint_thread *t = safepoint_parked(); t; t = t->next)
		if (t->tid == parked)
			return t->tid_now;
	return 0;
}

bool safepoint_threads_any(void)
{
	return atomic_load(&safepoint_park.gate) != 0;
}

void safepoint_threads_release(void)
{
	if (atomic_load(&safepoint_park.gate) == 0)
		return;
	atomic_store(&safepoint_park.list, 0);
	atomic_store(&safepoint_park.gate, 0);
	sys3(__NR_futex, &safepoint_park.gate, FUTEX_WAKE_PRIVATE, 0x7fffffff);
}
