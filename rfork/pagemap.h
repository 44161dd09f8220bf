/* Reading page tables from /proc/<pid>/pagemap, one mapping after the other. The kernel walks to
 * the end of a range of 2 MiB however little is asked for, so what it has is kept: where mappings
 * are small, hundreds of them take one read. Nothing is looked at again: what changes is not seen.
 */
#ifndef RFORK_PAGEMAP_H
#define RFORK_PAGEMAP_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61) /* of a file or shared memory */

#define PAGEMAP_WALK 512 /* pages: what the kernel walks at once */
#define PAGEMAP_ENTRIES (8u * PAGEMAP_WALK)

struct pagemap {
	int fd; /* -1: not open */
	uint64_t first, count; /* pages that entries are of, by address / 4096 */
	uint64_t entries[PAGEMAP_ENTRIES];
};

int pagemap_open(struct pagemap *map, pid_t pid, struct ramet_err *err);
void pagemap_close(struct pagemap *map); /* also one that is not open */
/* pagemap_look - entries of pages [page, page + *ret_count): at least one, at most `most`; valid
 * until the next call. RAMET_ENOTFOUND: the process has ended. */
int pagemap_look(struct pagemap *map, uint64_t page, uint64_t most, const uint64_t **ret_entries,
	uint64_t *ret_count, struct ramet_err *err);

#endif
