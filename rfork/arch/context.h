/* The registers that a cooperative safepoint must keep, for the architecture being built. */
#ifndef RFORK_ARCH_CONTEXT_H
#define RFORK_ARCH_CONTEXT_H

#if defined(__x86_64__)
#include "rfork/arch/x86_64/context.h"
#else
#error "rfork knows x86-64 only: add rfork/arch/<arch>/"
#endif

#endif
