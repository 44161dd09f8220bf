/* What processes may ask of the kernel, by what runs in them. */
#ifndef RUNTIME_SPAWN_SYSCALL_SETS_H
#define RUNTIME_SPAWN_SYSCALL_SETS_H

#include <stddef.h>

/* Code of an app as it likes: all but what is listed below as refused. Code of an app in isolates
 * alone: nothing but what hosts, templates and engines need; such a host is begun with one more,
 * and gives that up before it loads anything (runtime/host/host_confine.h). */
enum syscall_set { SYSCALLS_ANY, SYSCALLS_ISOLATES, SYSCALLS_ISOLATES_BEGIN };
#define SYSCALL_SETS 3

/* Names, count of them. Those that this kernel or machine does not have are left out. */
extern const char *const syscalls_refused[]; /* of SYSCALLS_ANY */
extern const size_t syscalls_refused_count;
extern const char *const syscalls_isolates[]; /* all others are refused */
extern const size_t syscalls_isolates_count;

#endif
