/* A library whose constructor runs until it is let go, for state_threads_kept.c: meanwhile its
 * thread holds the dynamic linker's lock. */
#include <sched.h>
#include <stdatomic.h>

extern atomic_int waiting_library_loads, waiting_library_go; /* of the program */

__attribute__((constructor)) static void wait_to_go(void)
{
	waiting_library_loads = 1;
	while (!waiting_library_go)
		sched_yield();
}
