/* x86-64: what the System V ABI asks a callee to preserve, and the segment bases. */
#ifndef RFORK_ARCH_X86_64_CONTEXT_H
#define RFORK_ARCH_X86_64_CONTEXT_H

#include <stdint.h>

struct arch_context {
	uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip; /* 0 … 56 */
	uint32_t mxcsr;					  /* 64 */
	uint16_t fcw, reserved;				  /* 68 */
	uint64_t fs_base, gs_base;			  /* 72, 80 */
};

/* Saves the caller's context and returns 0; in a clone the same call returns 1. Like setjmp: the frame it was called
 * from must still be live. Leaves fs_base and gs_base alone. */
int arch_context_save(struct arch_context *ctx) __attribute__((returns_twice));

#endif
