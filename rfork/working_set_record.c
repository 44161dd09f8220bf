/* Recording a working set from the page tables of a child (rfork/pagemap.h): a page that is
 * present was touched; one that is no longer the image's was written. */
#include "base/cleanup.h"
#include "rfork/descriptor.h"
#include "rfork/pagemap.h"
#include "rfork/working_set.h"
#include "rfork/working_set_internal.h"

static bool page_is_zero(const struct descriptor_view *desc, uint64_t page)
{
	return desc->zeros[page / 64] >> (page % 64) & 1;
}

static int record_entry(struct working_set_builder *builder, const struct descriptor_view *desc,
	uint64_t page, uint64_t entry)
{
	int rc = 0;
	if (!(entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
		return 0;
	if (!page_is_zero(desc, page))
		rc = working_set_builder_touch(builder, page);
	if (rc == 0 && !(entry & PAGEMAP_FILE))
		rc = working_set_builder_write(builder, page, 1, 1);
	return rc;
}

static int record_piece(struct working_set_builder *builder, struct pagemap *map,
	const struct descriptor_view *desc, const struct seed_piece *piece, struct ramet_err *err)
{
	for (uint64_t done = 0, count = 0; done < piece->pages; done += count) {
		const uint64_t *entries = NULL;
		int rc = pagemap_look(map, piece->start / RFORK_PAGE + done, piece->pages - done,
			&entries, &count, err);
		if (rc < 0)
			return rc;
		for (uint64_t i = 0; i < count; i++)
			if (record_entry(builder, desc, piece->image_page + done + i, entries[i]) <
				0)
				return err_nomem(err);
	}
	return 0;
}

int working_set_record(pid_t pid, const struct descriptor_view *desc, struct working_set **ret_set,
	struct ramet_err *err)
{
	CLEANUP(pagemap_close) struct pagemap map = {.fd = -1};
	struct working_set_builder builder;
	int rc = pagemap_open(&map, pid, err);
	if (rc < 0)
		return rc;
	if (working_set_builder_init(&builder, desc->header->image_pages) < 0)
		return err_nomem(err);
	for (uint32_t i = 0; rc == 0 && i < desc->npieces; i++)
		if (desc->pieces[i].kind == PIECE_IMAGE)
			rc = record_piece(&builder, &map, desc, &desc->pieces[i], err);
	if (rc == 0) {
		builder.set->calls = 1;
		*ret_set = working_set_builder_steal(&builder);
	}
	working_set_builder_fini(&builder);
	return rc;
}
