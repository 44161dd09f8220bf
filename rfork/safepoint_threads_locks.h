/* Robust mutexes, told of their owner's new id in a clone whose threads could not get the ids that
 * they had. For other locks see safepoint_threads_owners.h. */
#ifndef RFORK_SAFEPOINT_THREADS_LOCKS_H
#define RFORK_SAFEPOINT_THREADS_LOCKS_H

#include <stdint.h>
#include <sys/types.h>

/* locks_renumber_robust - those in this list, before another thread runs */
void locks_renumber_robust(uint64_t list, pid_t old_tid, pid_t new_tid);

#endif
