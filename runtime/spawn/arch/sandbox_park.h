/* Where an init of a sandbox stays (x86-64). Its stack is another's as soon as it has told its
 * parent, so from there on nothing may use it: one block of instructions, which ends the C part. */
#ifndef RUNTIME_SPAWN_ARCH_SANDBOX_PARK_H
#define RUNTIME_SPAWN_ARCH_SANDBOX_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>

/* sandbox_park - write len bytes of data to fd, close it, and then sleep for ever (stay), or end
 * with status 1 */
static inline _Noreturn void sandbox_park(int fd, const void *data, size_t len, bool stay)
{
	register long number __asm__("rax") = SYS_write;
	register long a1 __asm__("rdi") = fd;
	register const void *a2 __asm__("rsi") = data;
	register size_t a3 __asm__("rdx") = len;
	__asm__ volatile("syscall\n\t"
			 "cmp %[len], %%rax\n\t"
			 "jne 2f\n\t"
			 "mov %[close], %%eax\n\t"
			 "syscall\n\t"
			 "test %[stay], %[stay]\n\t"
			 "jz 2f\n\t"
			 "1: mov %[pause], %%eax\n\t"
			 "syscall\n\t"
			 "jmp 1b\n\t"
			 "2: mov $1, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n\t"
			 : "+r"(number)
			 : "r"(a1), "r"(a2), "r"(a3), [len] "r"(len), [stay] "r"((long)stay),
			 [close] "i"(SYS_close), [pause] "i"(SYS_pause), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	__builtin_unreachable();
}

#endif
