/* System calls without libc, for the architecture being built: for the stub, and for code of hosts
 * that should touch few pages. */
#ifndef RFORK_ARCH_SYSCALL_H
#define RFORK_ARCH_SYSCALL_H

#if defined(__x86_64__)
#include "rfork/arch/x86_64/syscall.h"
#else
#error "rfork knows x86-64 only: add rfork/arch/<arch>/"
#endif

#endif
