/* What /proc/<pid>/pagemap says: its entries, and PAGEMAP_SCAN of Linux 6.7, which headers may
 * lack and which skips what is not there, however large. See
 * Documentation/admin-guide/mm/pagemap.rst. */
#ifndef RFORK_PAGEMAP_H
#define RFORK_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61)

struct pagemap_region {
	uint64_t start, end, categories;
};
struct pagemap_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pagemap_scan)
#define PAGEMAP_IS_FILE (1u << 2)
#define PAGEMAP_IS_PRESENT (1u << 3)
#define PAGEMAP_IS_SWAPPED (1u << 4)
#define PAGEMAP_IS_PFNZERO (1u << 5)

/* a scan for pages that are the process's own: present or swapped, not a file's, not the zero page
 */
static inline struct pagemap_scan pagemap_scan_own(
	uint64_t start, uint64_t end, struct pagemap_region *regions, uint64_t count)
{
	return (struct pagemap_scan){.size = sizeof(struct pagemap_scan),
		.start = start,
		.end = end,
		.vec = (uint64_t)(uintptr_t)regions,
		.vec_len = count,
		.category_inverted = PAGEMAP_IS_FILE | PAGEMAP_IS_PFNZERO,
		.category_mask = PAGEMAP_IS_FILE | PAGEMAP_IS_PFNZERO,
		.category_anyof_mask = PAGEMAP_IS_PRESENT | PAGEMAP_IS_SWAPPED,
		.return_mask = PAGEMAP_IS_PRESENT};
}

/* the same of a plain entry */
static inline bool pagemap_own(uint64_t entry)
{
	return entry & PAGEMAP_SWAPPED || (entry & PAGEMAP_PRESENT && !(entry & PAGEMAP_FILE));
}

#endif
