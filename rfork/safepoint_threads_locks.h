/* Locks that know their owner by its thread id, told of the new one in a clone whose threads could
 * not get the ids that they had. What a program's own recursive and error-checking mutexes know
 * stays as it was: nobody has a list of those. */
#ifndef RFORK_SAFEPOINT_THREADS_LOCKS_H
#define RFORK_SAFEPOINT_THREADS_LOCKS_H

#include <stdint.h>
#include <sys/types.h>

/* locks_begin - as the host starts: where the dynamic linker has its locks. It takes one. */
void locks_begin(void);
/* locks_renumber_robust - those in this list, before another thread runs */
void locks_renumber_robust(uint64_t list, pid_t old_tid, pid_t new_tid);
/* locks_renumber_loader - the dynamic linker's that parked threads hold, by safepoint_threads_id()
 */
void locks_renumber_loader(void);

#endif
