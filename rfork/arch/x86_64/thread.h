/* x86-64: clone(2) for threads whose stack is there already, and the way out of a signal handler.
 * Never clone3: system-call filters cannot see its flags and refuse it. */
#ifndef RFORK_ARCH_X86_64_THREAD_H
#define RFORK_ARCH_X86_64_THREAD_H

#include "rfork/arch/context.h"

#include <stdint.h>

/* arch_thread_make - a thread that continues where arch_context_save() saved ctx, which returns 1
 * there. ctx->rsp and what is above it must be as they were. tid: where its id is written, and
 * cleared when it ends; tls: its fs base; its gs base is up to itself. The thread's id, or negative
 * errno. */
long arch_thread_make(
	unsigned long flags, const struct arch_context *ctx, void *tid, unsigned long tls);
/* arch_thread_blank - uses up an id: the kernel gives the clone up when it cannot say where its
 * pidfd is, which is after it has got its id, and before it could run. -EFAULT, or another negative
 * errno. */
long arch_thread_blank(void);
/* arch_signal_return - sa_restorer for handlers that are installed without the C library */
void arch_signal_return(void);
/* arch_signal_restart - begins again what the kernel does not although SA_RESTART says so: system
 * calls that wait, where the C library made them. Waiting times begin anew, too, but for those that
 * the kernel counts down (sleeps that tell their rest, select(), ppoll()) and points in time. */
void arch_signal_restart(void *ucontext);
/* arch_signal_forget_vectors - floating point and vectors are those of a new process after the
 * handler's return */
void arch_signal_forget_vectors(void *ucontext);
/* arch_signal_stack - where the stack pointer was when the signal came */
uintptr_t arch_signal_stack(const void *ucontext);
/* arch_signal_lock - what a signal handler's return will wait for again, if that is a lock by
 * futex(FUTEX_LOCK_PI) and its kin; else NULL. ucontext: the handler's third argument. */
void *arch_signal_lock(const void *ucontext);

#endif
