/* Recording a working set from the page tables of a child (/proc/<pid>/pagemap): a page that is
 * present was touched; one that is no longer the image's was written. */
#include "rfork/descriptor.h"
#include "rfork/working_set.h"
#include "rfork/working_set_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61) /* of a file or shared memory, so of the image */
#define PAGEMAP_CHUNK 512 /* entries of one read */

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

static int record_piece(struct working_set_builder *builder, int fd,
	const struct descriptor_view *desc, const struct seed_piece *piece, struct ramet_err *err)
{
	uint64_t entries[PAGEMAP_CHUNK];
	for (uint64_t done = 0; done < piece->pages;) {
		uint64_t want = MIN(piece->pages - done, (uint64_t)PAGEMAP_CHUNK);
		off_t at = (off_t)((piece->start / RFORK_PAGE + done) * sizeof(entries[0]));
		ssize_t n = pread(fd, entries, want * sizeof(entries[0]), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, RAMET_EIO, "read page tables of the recorded child");
		uint64_t got = (uint64_t)n / sizeof(entries[0]);
		if (got == 0) /* its address space has gone */
			return err_set(err, RAMET_ENOTFOUND, "the recorded child has ended");
		for (uint64_t i = 0; i < got; i++) {
			int rc = record_entry(
				builder, desc, piece->image_page + done + i, entries[i]);
			if (rc < 0)
				return err_nomem(err);
		}
		done += got;
	}
	return 0;
}

int working_set_record(pid_t pid, const struct descriptor_view *desc, struct working_set **ret_set,
	struct ramet_err *err)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	struct working_set_builder builder;
	int rc = working_set_builder_init(&builder, desc->header->image_pages);
	if (rc < 0)
		return err_nomem(err);
	for (uint32_t i = 0; rc == 0 && i < desc->npieces; i++)
		if (desc->pieces[i].kind == PIECE_IMAGE)
			rc = record_piece(&builder, fd, desc, &desc->pieces[i], err);
	if (rc == 0) {
		builder.set->calls = 1;
		*ret_set = working_set_builder_steal(&builder);
	}
	working_set_builder_fini(&builder);
	return rc;
}
