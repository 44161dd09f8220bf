/* madvise() and mremap() of a process that is forked by mapping its seed. The memory of a clone is
 * a private mapping of the seed's file, so MADV_DONTNEED would bring back the seed's bytes where
 * the application expects zeros, and a mapping that grows would show what lies behind it in the
 * file; libramet-host interposes the calls and puts anonymous memory there.
 *
 * Not seen here is what libc does within itself, and none of it relies on zeros: realloc() promises
 * nothing of the bytes it adds; malloc trims the
 * main heap by brk, and calloc() clears what MADV_DONTNEED may have touched in other heaps or by
 * malloc_trim(); stacks of ended threads are reused as they are; posix_madvise() ignores
 * POSIX_MADV_DONTNEED. Programs that make the system call themselves (Go's runtime) are not seen.
 */
#ifndef RUNTIME_HOST_INTERPOSE_H
#define RUNTIME_HOST_INTERPOSE_H

/* interpose_begin - as the host starts */
void interpose_begin(void);
/* interpose_in_clone - from now on the process is a clone; before that only MADV_DONTFORK is
 * ignored, since what is not forked could not be captured */
void interpose_in_clone(void);

#endif
