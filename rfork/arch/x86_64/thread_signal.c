/* See thread.h: what a signal frame says of the system call that it interrupted. */
#include "rfork/arch/x86_64/thread.h"

#include <asm/unistd.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

/* The kernel has put the call's number back into rax, and rip before its two bytes. */
void *arch_signal_lock(const void *ucontext)
{
	static const uint8_t syscall_instruction[] = {0x0f, 0x05};
	const greg_t *regs = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
	int op = (int)regs[REG_RSI] & FUTEX_CMD_MASK;
	if (regs[REG_RAX] != __NR_futex ||
		(op != FUTEX_LOCK_PI && op != FUTEX_LOCK_PI2 && op != FUTEX_WAIT_REQUEUE_PI) ||
		memcmp((const void *)regs[REG_RIP], syscall_instruction, 2) != 0)
		return NULL;
	return (void *)regs[op == FUTEX_WAIT_REQUEUE_PI ? REG_R8 : REG_RDI];
}
