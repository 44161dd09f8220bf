/* x86-64: clone(2) for threads whose stack is there already, and the way out of a signal handler.
 * Never clone3: system-call filters cannot see its flags and refuse it. */
#ifndef RFORK_ARCH_X86_64_THREAD_H
#define RFORK_ARCH_X86_64_THREAD_H

#include "rfork/arch/context.h"

/* arch_thread_make - a thread that continues where arch_context_save() saved ctx, which returns 1
 * there. ctx->rsp and what is above it must be as they were. tid: where its id is written, and
 * cleared when it ends; tls: its fs base; its gs base is up to itself. The thread's id, or negative
 * errno. */
long arch_thread_make(
	unsigned long flags, const struct arch_context *ctx, void *tid, unsigned long tls);
/* arch_thread_blank - a thread that ends at once, and touches no memory */
long arch_thread_blank(unsigned long flags);
/* arch_signal_return - sa_restorer for handlers that are installed without the C library */
void arch_signal_return(void);

#endif
