/* The working set of a seed: the pages that calls touch, in the order in which they are best
 * fetched, and the pages that they write, with how many of the recorded calls did. A hint, never
 * needed for correctness; it travels with the descriptor, so decoding checks everything.
 * No locks: a set belongs to one thread at a time. */
#ifndef RFORK_WORKING_SET_H
#define RFORK_WORKING_SET_H

#include "base/cleanup.h"
#include "base/err.h"
#include "rfork/image.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKING_SET_MAX_RUNS (1u << 18) /* of each kind; what goes beyond is left out */

struct working_set_run {
	uint32_t page, count; /* pages of the image */
};

struct working_set_write {
	uint32_t page, count;
	uint32_t calls; /* that wrote all of these pages */
};

struct working_set {
	uint64_t image_pages;
	uint32_t calls; /* recordings in it */
	uint32_t ntouched, nwritten;
	struct working_set_run *touched; /* disjoint; pages of zeros are left out */
	struct working_set_write *written; /* by page, disjoint */
};

/* working_set_create - of pages in the order of their first touch (a pager's log); one recording,
 * nothing written. Pages beyond the image or named twice are left out. */
int working_set_create(uint64_t image_pages, const uint32_t *pages, uint64_t count,
	struct working_set **ret_set, struct ramet_err *err);
void working_set_destroy(struct working_set *set); /* NULL is fine */
DEFINE_CLEANUP(struct working_set, working_set_destroy)
#define auto_working_set AUTO(working_set_destroy)

/* working_set_record - from the page tables of a stopped or idle child of a "record" template (its
 * userfaultfd is registered MODE_WP with nothing protected, so nothing is mapped around a fault).
 * Blocks; needs the right to ptrace the child. */
int working_set_record(pid_t pid, const struct descriptor_view *desc, struct working_set **ret_set,
	struct ramet_err *err);
/* working_set_merge - adds other's recordings: new pages behind those that are there. set is
 * unchanged on failure. RAMET_EINVAL: they are of different images. */
int working_set_merge(
	struct working_set *set, const struct working_set *other, struct ramet_err *err);

uint64_t working_set_pages(const struct working_set *set); /* touched */
/* working_set_flatten - the touched pages in order; pages has room for working_set_pages() */
void working_set_flatten(const struct working_set *set, uint32_t *pages);

/* Flat bytes, for the wire. ret_bytes is malloc'd. */
int working_set_encode(
	const struct working_set *set, void **ret_bytes, size_t *ret_len, struct ramet_err *err);
/* working_set_decode - RAMET_EPROTO (malformed, or of an image of another size), RAMET_EVERSION */
int working_set_decode(const void *bytes, size_t len, uint64_t image_pages,
	struct working_set **ret_set, struct ramet_err *err);

/* working_set_populate - address ranges {start, end} that more than half of the calls write, to be
 * populated before a clone runs: gaps of up to 2 pages closed, only writable memory, the largest
 * ones if there are more than max. Returns how many; they are in order. */
unsigned working_set_populate(const struct working_set *set, const struct descriptor_view *desc,
	uint64_t (*ranges)[2], unsigned max);
/* working_set_pack - the touched pages, in order, to dst (working_set_pages() * 4096 bytes).
 * RAMET_EINVAL when the image is another one or lacks a page. */
int working_set_pack(
	const struct working_set *set, const struct image *image, void *dst, struct ramet_err *err);

#endif
