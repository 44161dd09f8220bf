/* Whether pages are what the seed's own node said they are: by the checksums in the descriptor, or,
 * for images too large for that, by blocks of checksums that are read before the first of their
 * pages. */
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

bool pager_verify_sums(struct pager_slot *slot)
{
	const struct image *image = slot->seed->image;
	struct page_read *sums = &slot->sums;
	sums->count = 0;
	if (image->nblocks == 0)
		return false;
	for (unsigned i = 0; i < slot->read.count; i++) {
		uint32_t page = (uint32_t)image_sum_missing(image, slot->read.pages[i]);
		bool known = page == 0;
		for (unsigned j = 0; j < sums->count && !known; j++)
			known = sums->pages[j] == page;
		if (!known)
			sums->pages[sums->count++] = page;
	}
	sums->urgent = slot->read.urgent;
	sums->pack_first = PAGE_READ_NO_PACK;
	return sums->count > 0;
}

int pager_verify_take_sums(struct pager_slot *slot, uint32_t *ret_page)
{
	const struct page_read *sums = &slot->sums;
	int rc = 0;
	for (unsigned i = 0; i < sums->count && rc == 0; i++) {
		*ret_page = sums->pages[i];
		rc = image_sum_store(slot->seed->image, sums->pages[i], sums->dst + i * RFORK_PAGE);
	}
	return rc;
}

int pager_verify_pages(const struct pager_slot *slot, uint32_t *ret_page)
{
	const struct image *image = slot->seed->image;
	const struct page_read *read = &slot->read;
	if (slot->seed->pager->unchecked)
		return 0;
	for (unsigned i = 0; i < read->count; i++) {
		if (image_has(image, read->pages[i]) ||
			image_sum_ok(image, read->pages[i], read->dst + i * RFORK_PAGE))
			continue;
		*ret_page = read->pages[i];
		return RAMET_ECHECKSUM;
	}
	return 0;
}
