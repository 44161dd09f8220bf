/* Descriptors of seeds, with a checksum that is right, so that what lies behind it is reached. What is
 * accepted must be safe to use: every lookup that users make is made. */
#include "tests/fuzz/fuzz.h"

#include "base/hash.h"
#include "rfork/descriptor.h"

#include <stdlib.h>
#include <string.h>

static volatile size_t used; /* so that reading is not left out */

static size_t use(const struct descriptor_view *view)
{
	size_t sum = 0;
	for (uint32_t i = 0; i < view->nfiles; i++)
		sum += strlen(descriptor_string(view, view->files[i].path));
	for (uint32_t i = 0; i < view->npieces; i++) {
		const struct seed_piece *piece = &view->pieces[i];
		if (descriptor_piece_of_addr(view, piece->start) != piece)
			abort();
		if ((piece->flags & PIECE_BASE) &&
			(piece->kind != PIECE_IMAGE ||
				piece->file + piece->pages > view->header->base_pages))
			abort();
		if (piece->kind == PIECE_IMAGE &&
			descriptor_piece_of_page(view, piece->image_page) != piece)
			abort();
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const size_t covered =
		offsetof(struct descriptor_header, checksum) + sizeof(uint64_t);
	struct descriptor_view view;
	if (len == 0)
		return 0;
	void *bytes = aligned_alloc(8, (len + 7) & ~(size_t)7);
	if (!bytes)
		return 0;
	memcpy(bytes, data, len);
	if (len >= sizeof(struct descriptor_header) && data[len - 1] % 8 != 0) {
		struct descriptor_header *h = bytes;
		memcpy(h->magic, DESCRIPTOR_MAGIC, sizeof(h->magic));
		h->version = DESCRIPTOR_VERSION;
		h->total_len = (uint32_t)len;
		h->page_size = RFORK_PAGE;
		h->checksum = hash64((const char *)bytes + covered, len - covered);
	}
	if (descriptor_open(bytes, len, &view, NULL) == 0)
		used += use(&view);
	free(bytes);
	return 0;
}
