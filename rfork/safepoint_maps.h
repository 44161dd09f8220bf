/* Mappings that clone(2) leaves out (MADV_DONTFORK): the shadow lacks them, and so would the seed.
 * Part of a host, like safepoint.h. */
#ifndef RFORK_SAFEPOINT_MAPS_H
#define RFORK_SAFEPOINT_MAPS_H

#include <stdint.h>
#include <sys/types.h>

struct safepoint_missing {
	uint64_t pages; /* of the host that the shadow lacks; 0: it is whole */
	uint64_t start; /* of the first such mapping; 0: not found */
	char name[96]; /* its path, or empty */
};

/* safepoint_maps_pages - the size of this process's address space: one read, cheap enough for the
 * path on which a host stands still. 0: not known. */
uint64_t safepoint_maps_pages(void);
/* safepoint_maps_compare - in the shadow: what it lacks of the `pages` its host had. host: the
 * host's pid, asked for the name of what is missing only if something is. */
void safepoint_maps_compare(uint64_t pages, pid_t host, struct safepoint_missing *ret);

#endif
