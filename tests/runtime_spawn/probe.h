/* spawn_probe: its parts. */
#ifndef TESTS_RUNTIME_SPAWN_PROBE_H
#define TESTS_RUNTIME_SPAWN_PROBE_H

int probe_syscalls(void); /* tries what the filter refuses; prints "name errno" */

#endif
