/* madvise() of a process that is forked by mapping its seed. The memory of a clone is a private mapping
 * of the seed's file, so MADV_DONTNEED would bring back the seed's bytes where the application expects
 * zeros; libramet-host interposes the call. Calls from within libc do not pass here; there are none
 * that matter: a host has one thread, so one malloc arena, which shrinks by brk, and no stacks of
 * threads to give back. */
#ifndef RUNTIME_HOST_DONTNEED_H
#define RUNTIME_HOST_DONTNEED_H

/* dontneed_in_clone - from now on the process is a clone; before that only MADV_DONTFORK is ignored,
 * since what is not forked could not be captured */
void dontneed_in_clone(void);

#endif
