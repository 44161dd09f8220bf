/* A seed's pages on one node: a sparse memfd laid out as the descriptor says, which templates map
 * privately, and one dense mapping of it in the daemon (page n of the image at base + n * 4096),
 * which is what peers read. On the seed's own node it is complete from the start; elsewhere the
 * pager fills it (the node's page cache). */
#ifndef RFORK_IMAGE_H
#define RFORK_IMAGE_H

#include "base/cleanup.h"
#include "ramet/error.h"
#include "rfork/descriptor.h"
#include "rfork/layer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct image {
	struct descriptor_view desc; /* of desc_bytes */
	void *desc_bytes; /* read-only mapping of desc_fd */
	int desc_fd; /* sealed memfd */
	int fd; /* the pages, but for those of its base; sealed against shrinking */
	struct layer *layer; /* those of its base; NULL: it has none */
	unsigned char *base; /* dense: image_bytes(), or NULL when image_pages is 0 */
	uint64_t npages, nown; /* nown: without those of its base */
	uint64_t nblocks; /* of checksums, after the pages in the dense mapping; 0: see descriptor.h
			   */
	_Atomic uint64_t *blocks; /* bitmap: which of those are there */
	_Atomic uint64_t *present; /* bitmap by image page: valid in the memfd */
	atomic_uint_fast64_t npresent;
	atomic_uint refs;
};

/* image_create - an image for a descriptor (copied and checked): empty, with the pages that are all
 * zeros present */
int image_create(
	const void *descriptor, uint64_t len, struct image **ret_image, struct ramet_err *err);
/* image_create_on - the same, with the pages that this layer has, which is that of its base;
 * RAMET_EPROTO: it is not */
int image_create_on(struct layer *layer, const void *descriptor, uint64_t len,
	struct image **ret_image, struct ramet_err *err);
/* image_memfd - an empty memfd for the pages of a seed; debuggers see its name */
int image_memfd(const uint8_t seed_id[SEED_ID_BYTES], int *ret_fd, struct ramet_err *err);
/* image_adopt - an image for a descriptor whose pages are in fd already, or in the layer of its
 * base (NULL: it has none): every page is present. fd, from image_memfd(), is taken when it returns
 * 0. */
int image_adopt(const void *descriptor, uint64_t len, int fd, struct layer *layer,
	struct image **ret_image, struct ramet_err *err);
/* image_write - len bytes to offset of an image's memfd */
int image_write(int fd, const void *bytes, uint64_t len, uint64_t offset, struct ramet_err *err);
struct image *image_get(struct image *image);
void image_put(struct image *image); /* NULL is fine; the last put unmaps and closes */
DEFINE_CLEANUP(struct image, image_put)
#define auto_image AUTO(image_put)

/* what peers may read: pages, then blocks of checksums, which count as pages npages, npages + 1 …
 */
static inline uint64_t image_bytes(const struct image *image)
{
	return (image->npages + image->nblocks) * RFORK_PAGE;
}
static inline bool image_has(const struct image *image, uint64_t page)
{
	return atomic_load_explicit(&image->present[page / 64], memory_order_acquire) >>
		(page % 64) &
		1;
}
static inline bool image_complete(const struct image *image)
{
	return atomic_load_explicit(&image->npresent, memory_order_acquire) == image->npages;
}
/* marks a page whose bytes are in the memfd; true if it was not present before */
bool image_mark(struct image *image, uint64_t page);
/* image_store - pwrite pages [first, first + count) from src and mark them; 0, or RAMET_EIO */
int image_store(struct image *image, uint64_t first, uint64_t count, const void *src);
/* whether a page is elided: present from the start, but a hole of the memfd until somebody touches
 * it */
bool image_page_is_zero(const struct image *image, uint64_t page);
/* image_fill_zero - makes such a hole an ordinary page of zeros, so that faults on it end in the
 * kernel; any page that is there already stays as it is. 0, or RAMET_EIO */
int image_fill_zero(struct image *image, uint64_t page);
/* image_sum_missing - the block of checksums that a page cannot be checked without, as a page
 * number; 0: it is here (page 0 is never one) */
uint64_t image_sum_missing(const struct image *image, uint64_t page);
/* image_sum_store - the bytes of such a block; RAMET_ECHECKSUM if they are not */
int image_sum_store(struct image *image, uint64_t page, const void *bytes);
/* image_sum_ok - whether these are the bytes of the page; its checksum is here */
bool image_sum_ok(const struct image *image, uint64_t page, const void *bytes);
/* bytes of memory its own memfd really holds */
uint64_t image_resident(const struct image *image);

#endif
