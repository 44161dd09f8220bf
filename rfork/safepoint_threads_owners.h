/* Locks of the program that know their owner by its thread id: recursive, error-checking and
 * priority-inheriting mutexes, and read-write locks held for writing. Nobody has a list of them, so
 * a shadow looks through its own memory for locks that one of its threads holds; a clone in which
 * threads have other ids tells these locks. */
#ifndef RFORK_SAFEPOINT_THREADS_OWNERS_H
#define RFORK_SAFEPOINT_THREADS_OWNERS_H

#include <stdbool.h>
#include <sys/types.h>

/* owners_find - in the shadow; self: the captured thread's id. Whether there are any. */
bool owners_find(pid_t self);
/* owners_renumber - in a clone where owners_find() found some, before another thread runs; from and
 * to: the captured thread's id. False: the shadow found more than it could note. */
bool owners_renumber(pid_t from, pid_t to);

#endif
