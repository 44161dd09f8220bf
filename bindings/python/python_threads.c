/* See python_threads.h: the kernel says where the calling thread's id is kept, and other threads
 * keep theirs at the same distance from what pthread_self() gives. */
#include "bindings/python/python_threads.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/prctl.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

static uintptr_t offset;

void python_threads_learn(void)
{
	uintptr_t address = 0;
	if (prctl(PR_GET_TID_ADDRESS, &address) == 0 && address)
		offset = address - (uintptr_t)pthread_self();
}

int python_threads_id(unsigned long ident)
{
	return offset ? *(const volatile int *)(ident + offset) : 0;
}
