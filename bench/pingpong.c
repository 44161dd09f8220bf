/* Bare ping-pongs: the floor under a call. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE 64
#define WARM_ROUNDS 20
/* a call of 64 bytes writes three lines (ring, slot, data), its answer two */
#define REQUEST_LINES 2
#define ANSWER_LINES 1

struct line {
	_Alignas(LINE) _Atomic uint32_t word;
	uint32_t filler[15];
};

struct shared {
	struct line request[REQUEST_LINES], ask, answer[ANSWER_LINES], reply;
};

struct pingpong {
	enum pingpong_kind kind;
	struct shared *shared;
	uint32_t round;
	pid_t pid;
};

static void write_lines(struct line *lines, unsigned n, uint32_t value)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < 15; k++)
			*(volatile uint32_t *)&lines[i].filler[k] = value;
}

static uint32_t read_lines(const struct line *lines, unsigned n)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < 15; k++)
			sum += *(const volatile uint32_t *)&lines[i].filler[k];
	return sum;
}

static void await(struct pingpong *p, struct line *line, uint32_t value)
{
	uint32_t now;
	while ((now = atomic_load_explicit(&line->word, memory_order_acquire)) != value)
		if (p->kind == PINGPONG_FUTEX)
			syscall(SYS_futex, &line->word, FUTEX_WAIT, now, NULL, NULL, 0);
		else
			__builtin_ia32_pause();
}

static void tell(struct pingpong *p, struct line *line, uint32_t value)
{
	atomic_store_explicit(&line->word, value, memory_order_release);
	if (p->kind == PINGPONG_FUTEX)
		syscall(SYS_futex, &line->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void serve(struct pingpong *p, int cpu)
{
	volatile uint32_t sink = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)invoke_pin(0, cpu, NULL);
	for (uint32_t round = 1;; round++) {
		await(p, &p->shared->ask, round);
		sink += read_lines(p->shared->request, REQUEST_LINES);
		write_lines(p->shared->answer, ANSWER_LINES, round);
		tell(p, &p->shared->reply, round);
	}
}

int pingpong_start(
	enum pingpong_kind kind, int peer_cpu, struct pingpong **ret, struct ramet_err *err)
{
	auto_free struct pingpong *p = calloc(1, sizeof(*p));
	if (!p)
		return err_nomem(err);
	p->kind = kind;
	p->shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->shared == MAP_FAILED)
		return err_nomem(err);
	p->pid = fork();
	if (p->pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (p->pid == 0)
		serve(p, peer_cpu);
	*ret = steal_ptr(&p);
	return 0;
}

double pingpong_round(struct pingpong *p)
{
	uint64_t begin = now_ns();
	p->round++;
	write_lines(p->shared->request, REQUEST_LINES, p->round);
	tell(p, &p->shared->ask, p->round);
	await(p, &p->shared->reply, p->round);
	uint32_t sum = read_lines(p->shared->answer, ANSWER_LINES);
	uint64_t end = now_ns();
	return sum ? (double)(end - begin) / 1e3 : 0;
}

void pingpong_rest(struct pingpong *p)
{
	(void)kill(p->pid, SIGSTOP);
}

void pingpong_resume(struct pingpong *p)
{
	(void)kill(p->pid, SIGCONT);
	for (unsigned i = 0; i < WARM_ROUNDS; i++)
		(void)pingpong_round(p);
}

void pingpong_stop(struct pingpong *p)
{
	if (!p)
		return;
	kill(p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	munmap(p->shared, sizeof(struct shared));
	free(p);
}
