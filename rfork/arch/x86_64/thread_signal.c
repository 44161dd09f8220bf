/* See thread.h: what a signal frame says of the system call that it interrupted. */
#include "rfork/arch/x86_64/thread.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

static const uint8_t syscall_instruction[] = {0x0f, 0x05};

static bool waits(uint32_t nr)
{
	static const uint16_t waiting[] = {__NR_clock_nanosleep, __NR_epoll_pwait,
		__NR_epoll_pwait2, __NR_epoll_wait, __NR_futex, __NR_msgrcv, __NR_msgsnd,
		__NR_nanosleep, __NR_pause, __NR_poll, __NR_ppoll, __NR_pselect6,
		__NR_rt_sigsuspend, __NR_rt_sigtimedwait, __NR_select, __NR_semop, __NR_semtimedop};
	for (size_t i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++)
		if (waiting[i] == nr)
			return true;
	return false;
}

/* The number of the call that ended before rip: "mov $nr, %eax" right before "syscall", or with one
 * instruction of four bytes between, as the C library has it. */
static bool find_number(const uint8_t *rip, uint32_t *ret_nr)
{
	static const int places[] = {-7, -11};
	if (memcmp(rip - 2, syscall_instruction, 2) != 0)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *at = rip + places[i];
		memcpy(ret_nr, at + 1, sizeof(*ret_nr));
		if (*at == 0xb8 && waits(*ret_nr))
			return true;
	}
	return false;
}

/* A sleep has left word of what remains of it, if it was asked to. */
static void sleep_the_rest(greg_t *regs, uint32_t nr)
{
	if (nr == __NR_nanosleep && regs[REG_RSI])
		regs[REG_RDI] = regs[REG_RSI];
	else if (nr == __NR_clock_nanosleep && regs[REG_RSI] == 0 && regs[REG_R10])
		regs[REG_RDX] = regs[REG_R10];
}

void arch_signal_restart(void *ucontext)
{
	greg_t *regs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;
	uint32_t nr;
	if (regs[REG_RAX] != -EINTR || !find_number((const uint8_t *)regs[REG_RIP], &nr))
		return;
	sleep_the_rest(regs, nr);
	regs[REG_RAX] = nr;
	regs[REG_RIP] -= (greg_t)sizeof(syscall_instruction);
}

void arch_signal_forget_vectors(void *ucontext)
{
	((ucontext_t *)ucontext)->uc_mcontext.fpregs = NULL;
}

uintptr_t arch_signal_stack(const void *ucontext)
{
	return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RSP];
}

/* The kernel has put the call's number back into rax, and rip before its two bytes. */
void *arch_signal_lock(const void *ucontext)
{
	const greg_t *regs = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
	int op = (int)regs[REG_RSI] & FUTEX_CMD_MASK;
	if (regs[REG_RAX] != __NR_futex ||
		(op != FUTEX_LOCK_PI && op != FUTEX_LOCK_PI2 && op != FUTEX_WAIT_REQUEUE_PI) ||
		memcmp((const void *)regs[REG_RIP], syscall_instruction, 2) != 0)
		return NULL;
	return (void *)regs[op == FUTEX_WAIT_REQUEUE_PI ? REG_R8 : REG_RDI];
}
