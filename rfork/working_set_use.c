/* What a recorded working set is good for: ranges to populate before a clone runs, and the pack
 * from which a peer fetches it in a few large reads. */
#include "rfork/descriptor.h"
#include "rfork/working_set.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GAP_PAGES 2 /* of stretches that become one where there are too many */

/* a stretch of written pages, in addresses */
struct stretch {
	uint64_t start, end;
	const struct seed_piece *piece;
};

struct stretches {
	struct stretch *items;
	size_t count;
};

static void stretch_add(struct stretches *all, struct stretch next, unsigned gap)
{
	if (all->count > 0) {
		struct stretch *last = &all->items[all->count - 1];
		if (last->piece == next.piece && next.start - last->end <= gap * RFORK_PAGE) {
			last->end = next.end;
			return;
		}
	}
	all->items[all->count++] = next;
}

static void close_gaps(struct stretches *all, unsigned gap)
{
	size_t count = all->count;
	all->count = 0;
	for (size_t i = 0; i < count; i++)
		stretch_add(all, all->items[i], gap);
}

/* one run may lie in several pieces */
static void stretches_add_run(struct stretches *all, const struct descriptor_view *desc,
	const struct working_set_write *run, size_t max)
{
	uint64_t page = run->page, end = page + run->count;
	while (page < end && all->count < max) {
		const struct seed_piece *piece = descriptor_piece_of_page(desc, page);
		if (!piece)
			return;
		uint64_t stop = MIN(end, piece->image_page + piece->pages);
		uint64_t start = piece->start + (page - piece->image_page) * RFORK_PAGE;
		if (piece->prot & PROT_WRITE)
			stretch_add(all,
				(struct stretch){start, start + (stop - page) * RFORK_PAGE, piece},
				0);
		page = stop;
	}
}

static int by_size(const void *a, const void *b)
{
	const struct stretch *x = a, *y = b;
	uint64_t xs = x->end - x->start, ys = y->end - y->start;
	return (xs < ys) - (xs > ys);
}

static int by_start(const void *a, const void *b)
{
	const struct stretch *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

unsigned working_set_populate(const struct working_set *set, const struct descriptor_view *desc,
	uint64_t (*ranges)[2], unsigned max)
{
	size_t room = (size_t)set->nwritten + desc->npieces;
	struct stretches all = {malloc(MAX(room, (size_t)1) * sizeof(struct stretch)), 0};
	if (!all.items)
		return 0; /* a hint that is not followed */
	for (uint32_t i = 0; i < set->nwritten; i++)
		if ((uint64_t)set->written[i].calls * 2 > set->calls)
			stretches_add_run(&all, desc, &set->written[i], room);
	/* A page that is populated in vain costs each clone more than another call of madvise(). */
	for (unsigned gap = 1; gap <= GAP_PAGES && all.count > max; gap++)
		close_gaps(&all, gap);
	if (all.count > max) {
		qsort(all.items, all.count, sizeof(*all.items), by_size);
		all.count = max;
		qsort(all.items, all.count, sizeof(*all.items), by_start);
	}
	for (size_t i = 0; i < all.count; i++) {
		ranges[i][0] = all.items[i].start;
		ranges[i][1] = all.items[i].end;
	}
	free(all.items);
	return (unsigned)all.count;
}

int working_set_pack(
	const struct working_set *set, const struct image *image, void *dst, struct ramet_err *err)
{
	if (set->image_pages != image->npages)
		return err_set(err, RAMET_EINVAL, "working set of another image");
	unsigned char *at = dst;
	for (uint32_t i = 0; i < set->ntouched; i++) {
		const struct working_set_run *run = &set->touched[i];
		for (uint32_t k = 0; k < run->count; k++)
			if (!image_has(image, run->page + k))
				return err_set(err, RAMET_EINVAL, "page %u is not in the image",
					run->page + k);
		size_t len = run->count * RFORK_PAGE;
		memcpy(at, image->base + run->page * RFORK_PAGE, len);
		at += len;
	}
	return 0;
}
