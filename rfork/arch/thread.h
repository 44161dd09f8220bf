/* Making threads again with the registers they had, for the architecture being built. */
#ifndef RFORK_ARCH_THREAD_H
#define RFORK_ARCH_THREAD_H

#if defined(__x86_64__)
#include "rfork/arch/x86_64/thread.h"
#else
#error "rfork knows x86-64 only: add rfork/arch/<arch>/"
#endif

#endif
