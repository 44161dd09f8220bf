/* Where a child's addresses came from: an instance that moves or unmaps parts of its seed
 * (userfaultfd's REMAP and UNMAP) faults at addresses that the descriptor does not know. A map
 * holds only what differs from the descriptor. */
#ifndef RFORK_PAGER_RANGES_H
#define RFORK_PAGER_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#define PAGER_RANGES_MAX 131072u /* about twice the mappings that Linux lets a process have */
#define PAGER_RANGE_NONE UINT64_MAX

struct pager_range {
	uint64_t start, end;
	uint64_t origin; /* address in the seed of what is at start; PAGER_RANGE_NONE: nothing */
};

/* Zero-initialise. */
struct pager_ranges {
	struct pager_range *items; /* by start, not overlapping */
	uint32_t count, cap;
};

void pager_ranges_fini(struct pager_ranges *ranges);
/* pager_ranges_origin - the address in the seed, or PAGER_RANGE_NONE */
uint64_t pager_ranges_origin(const struct pager_ranges *ranges, uint64_t addr);
/* All return 0, RAMET_ENOMEM, or RAMET_ELIMIT when there are too many ranges; after an error the
 * map is of no use. */
int pager_ranges_unmap(struct pager_ranges *ranges, uint64_t start, uint64_t end);
int pager_ranges_move(struct pager_ranges *ranges, uint64_t from, uint64_t to, uint64_t len);
int pager_ranges_copy(struct pager_ranges *ranges, const struct pager_ranges *src);

#endif
