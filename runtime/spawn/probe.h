/* What the kernel lets this process do for templates; the rest of hello comes from trying. */
#ifndef RUNTIME_SPAWN_PROBE_H
#define RUNTIME_SPAWN_PROBE_H

#include <stdbool.h>
#include <stddef.h>

struct probe {
	bool userfaultfd; /* missing pages of shared memory, faults from the kernel, EVENT_FORK */
	bool uffd_wp; /* write-protection mode on shared memory: exact recording */
	bool timens; /* time namespaces */
	char missing[256]; /* for people, "; " between; "" nothing */
};
void probe_kernel(struct probe *ret_probe);

/* probe_note - append a text to such a list; what does not fit is cut */
void probe_note(char *list, size_t cap, const char *text);

#endif
