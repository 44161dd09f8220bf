/* Where the stack is: what no C says, and __builtin_frame_address() costs a frame pointer for. */
#ifndef RUNTIME_WASM_MODULE_STACK_H
#define RUNTIME_WASM_MODULE_STACK_H

#include <stdint.h>

static inline __attribute__((always_inline)) uintptr_t wasm_stack_pointer(void)
{
#if defined(__x86_64__)
	uintptr_t at;
	__asm__("mov %%rsp, %0" : "=r"(at));
	return at;
#else
	return (uintptr_t)__builtin_frame_address(0);
#endif
}

#endif
