/* What the two halves of safepoint_threads.h share: parking, in the host, and making again, in
 * clones. */
#ifndef RFORK_SAFEPOINT_THREADS_INTERNAL_H
#define RFORK_SAFEPOINT_THREADS_INTERNAL_H

#include "rfork/arch/thread.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* A parked thread: lives in its handler's frame, on its own stack, so that there is no table to
 * fill. What is not here the kernel keeps in the signal frame above it: registers, mask, alternate
 * stack, floating point and vectors. */
struct safepoint_thread {
	struct safepoint_thread *next;
	struct arch_context context; /* within the handler, with fs_base and gs_base */
	uint64_t tid_address, robust_list, robust_list_len;
	uint64_t rseq; /* 0: not registered */
	uint32_t depth; /* of the list from here on */
	pid_t tid, tid_now; /* in the host, and in this process */
	char name[16];
};

struct safepoint_park {
	/* Epoch << 48 | address of the thread that parked last. A thread adds itself only while the
	 * epoch is that of the signal it got, so one that comes too late adds nothing. */
	_Atomic uint64_t list;
	_Atomic uint32_t gate; /* futex: the epoch while threads wait, else 0 */
	_Atomic uint32_t progress; /* futex: counts parked threads when the last expected comes */
	_Atomic uint32_t expected;
};
extern struct safepoint_park safepoint_park;

static inline struct safepoint_thread *safepoint_parked(void)
{
	uint64_t list = atomic_load(&safepoint_park.list);
	return (struct safepoint_thread *)(uintptr_t)(list & 0xffffffffffffull);
}

/* safepoint_thread_begin - what a thread that was made again does first. context: the third
 * argument of the handler that it is in. */
void safepoint_thread_begin(const struct safepoint_thread *self, const void *context);

#endif
