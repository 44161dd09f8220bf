/* Checking a descriptor before use: nothing in it is believed that was not checked here. Building
 * one is rfork/descriptor_build.c. */
#include "rfork/descriptor.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)

static int section_check(const struct descriptor_header *h, const struct descriptor_section *s,
	uint64_t item, uint32_t max, const char *name, struct ramet_err *err)
{
	if (s->count > max)
		return err_set(
			err, RAMET_EPROTO, "descriptor: %u %s, at most %u", s->count, name, max);
	if (s->offset % 8 || s->offset < sizeof(*h) || s->offset > h->total_len ||
		(uint64_t)s->count * item > h->total_len - s->offset)
		return err_set(err, RAMET_EPROTO, "descriptor: section %s lies outside it", name);
	return 0;
}

static int strings_check(const struct descriptor_view *v, struct ramet_err *err)
{
	if (v->nstrings == 0 || v->strings[v->nstrings - 1] != '\0')
		return err_set(err, RAMET_EPROTO, "descriptor: strings are not terminated");
	return 0;
}

static int string_check(
	const struct descriptor_view *v, uint32_t offset, const char *what, struct ramet_err *err)
{
	if (offset >= v->nstrings)
		return err_set(err, RAMET_EPROTO,
			"descriptor: the path of a %s lies outside the strings", what);
	if (v->strings[offset] != '/')
		return err_set(
			err, RAMET_EPROTO, "descriptor: the path of a %s is not absolute", what);
	return 0;
}

static int piece_range_check(const struct seed_piece *p, uint32_t i, struct ramet_err *err)
{
	if (p->start % RFORK_PAGE || p->pages == 0 || p->pages > RFORK_USER_END / RFORK_PAGE ||
		p->start < 0x10000 || p->start >= RFORK_USER_END ||
		p->pages * RFORK_PAGE > RFORK_USER_END - p->start)
		return err_set(err, RAMET_EPROTO,
			"descriptor: piece %u is not a range of user addresses", i);
	if (p->start < RFORK_GAP_END && p->start + p->pages * RFORK_PAGE > RFORK_GAP_START)
		return err_set(
			err, RAMET_EPROTO, "descriptor: piece %u lies in the reserved gap", i);
	if (p->prot & ~PROT_ALL || p->offset % RFORK_PAGE || p->offset > (uint64_t)INT64_MAX)
		return err_set(err, RAMET_EPROTO,
			"descriptor: piece %u has a bad protection or offset", i);
	return 0;
}

/* what the image pieces that were looked at have, and where the last ones of both layers end */
struct image_extent {
	uint64_t pages, end;
	uint64_t base_page, base_end;
};

static int image_piece_check(
	const struct descriptor_view *v, uint32_t i, struct image_extent *e, struct ramet_err *err)
{
	const struct seed_piece *p = &v->pieces[i];
	const bool base = p->flags & PIECE_BASE;
	const uint64_t bytes = p->pages * RFORK_PAGE;
	const uint64_t end = base ? e->base_end : e->end;
	const uint64_t limit = base ? v->header->base_file_bytes : v->header->image_file_bytes;
	if (p->image_page != e->pages)
		return err_set(
			err, RAMET_EPROTO, "descriptor: piece %u: image pages are not dense", i);
	if (p->offset < end || p->offset > limit || bytes > limit - p->offset)
		return err_set(err, RAMET_EPROTO, "descriptor: piece %u lies outside the %s file",
			i, base ? "base's" : "image");
	if (base &&
		(p->file < e->base_page || p->file > v->header->base_pages ||
			p->pages > v->header->base_pages - p->file))
		return err_set(err, RAMET_EPROTO,
			"descriptor: piece %u is of pages that its base does not have", i);
	e->pages += p->pages;
	if (base) {
		e->base_page = p->file + p->pages;
		e->base_end = p->offset + bytes;
	} else {
		e->end = p->offset + bytes;
	}
	return 0;
}

static int piece_kind_check(
	const struct descriptor_view *v, uint32_t i, struct image_extent *e, struct ramet_err *err)
{
	const struct seed_piece *p = &v->pieces[i];
	uint64_t bytes = p->pages * RFORK_PAGE;
	if ((p->flags & PIECE_SHARED) && (p->kind != PIECE_FILE || (p->prot & PROT_WRITE)))
		return err_set(err, RAMET_EPROTO, "descriptor: piece %u is shared and writable", i);
	if ((p->flags & ~PIECE_FLAGS) || ((p->flags & PIECE_WIPE) && p->kind != PIECE_ANON) ||
		((p->flags & PIECE_BASE) && p->kind != PIECE_IMAGE))
		return err_set(
			err, RAMET_EPROTO, "descriptor: piece %u has bad flags %#x", i, p->flags);
	switch (p->kind) {
	case PIECE_IMAGE:
		return image_piece_check(v, i, e, err);
	case PIECE_FILE:
		if (p->file >= v->nfiles)
			return err_set(err, RAMET_EPROTO, "descriptor: piece %u names no file", i);
		if (bytes > (uint64_t)INT64_MAX - p->offset)
			return err_set(
				err, RAMET_EPROTO, "descriptor: piece %u ends past any file", i);
		return 0;
	case PIECE_ANON:
	case PIECE_VDSO:
		return 0;
	default:
		return err_set(err, RAMET_EPROTO, "descriptor: piece %u is of unknown kind %u", i,
			p->kind);
	}
}

static int pieces_check(const struct descriptor_view *v, struct ramet_err *err)
{
	struct image_extent extent = {0};
	uint64_t end = 0;
	for (uint32_t i = 0; i < v->npieces; i++) {
		const struct seed_piece *p = &v->pieces[i];
		int rc = piece_range_check(p, i, err);
		if (rc < 0)
			return rc;
		if (p->start < end)
			return err_set(err, RAMET_EPROTO,
				"descriptor: piece %u overlaps the one before", i);
		end = p->start + p->pages * RFORK_PAGE;
		rc = piece_kind_check(v, i, &extent, err);
		if (rc < 0)
			return rc;
	}
	if (v->header->sums_offset && v->header->sums_offset < extent.end)
		return err_set(
			err, RAMET_EPROTO, "descriptor: its checksums lie within its image pieces");
	if (extent.pages != v->header->image_pages)
		return err_set(err, RAMET_EPROTO,
			"descriptor: its pieces hold %llu image pages, its header says %llu",
			(unsigned long long)extent.pages,
			(unsigned long long)v->header->image_pages);
	return 0;
}

static int files_check(const struct descriptor_view *v, struct ramet_err *err)
{
	for (uint32_t i = 0; i < v->nfiles; i++) {
		int rc = string_check(v, v->files[i].path, "mapped file", err);
		if (rc < 0)
			return rc;
	}
	return string_check(v, 0, "working directory", err);
}

/* where checksums that are not in the descriptor lie in the image file */
static int sums_check(const struct descriptor_header *h, struct ramet_err *err)
{
	uint64_t blocks = descriptor_sum_blocks(h);
	if (h->sums.count != (blocks ? blocks : h->image_pages))
		return err_set(err, RAMET_EPROTO, "descriptor: %u checksums for %llu pages",
			h->sums.count, (unsigned long long)h->image_pages);
	if (h->sums_offset % RFORK_PAGE || h->sums_offset > h->image_file_bytes ||
		blocks * RFORK_PAGE > h->image_file_bytes - h->sums_offset)
		return err_set(
			err, RAMET_EPROTO, "descriptor: its checksums lie outside the image file");
	return 0;
}

static int header_check(const struct descriptor_header *h, uint64_t len, struct ramet_err *err)
{
	if (memcmp(h->magic, DESCRIPTOR_MAGIC, sizeof(h->magic)) != 0)
		return err_set(
			err, RAMET_EPROTO, "descriptor: these bytes are not one (wrong magic)");
	if (h->version != DESCRIPTOR_VERSION)
		return err_set(err, RAMET_EVERSION,
			"descriptor: version %u, this build reads version %u", h->version,
			DESCRIPTOR_VERSION);
	if (h->total_len != len)
		return err_set(err, RAMET_EPROTO, "descriptor: truncated: %llu of %u bytes",
			(unsigned long long)len, h->total_len);
	size_t covered = offsetof(struct descriptor_header, checksum) + sizeof(h->checksum);
	if (hash64((const char *)h + covered, len - covered) != h->checksum)
		return err_set(
			err, RAMET_ECHECKSUM, "descriptor: its bytes differ from its checksum");
	if (h->page_size != RFORK_PAGE)
		return err_set(err, RAMET_EPROTO, "descriptor: pages of %llu bytes",
			(unsigned long long)h->page_size);
	if (h->image_pages > DESCRIPTOR_MAX_IMAGE_PAGES ||
		h->image_file_bytes > (uint64_t)INT64_MAX)
		return err_set(err, RAMET_EPROTO, "descriptor: an image of %llu pages is too large",
			(unsigned long long)h->image_pages);
	if (h->base_pages > DESCRIPTOR_MAX_SUMS || h->base_file_bytes > (uint64_t)INT64_MAX ||
		(h->base_pages > 0 && h->sums_offset > 0))
		return err_set(err, RAMET_EPROTO, "descriptor: a base of %llu pages is too large",
			(unsigned long long)h->base_pages);
	if (memchr(h->class_text, 0, sizeof(h->class_text)) == NULL ||
		memchr(h->process.comm, 0, sizeof(h->process.comm)) == NULL)
		return err_set(err, RAMET_EPROTO, "descriptor: a text is not terminated");
	if (h->process.control_fd != 3)
		return err_set(err, RAMET_EPROTO, "descriptor: control descriptor %d, not 3",
			h->process.control_fd);
	return 0;
}

int descriptor_open(
	const void *bytes, uint64_t len, struct descriptor_view *ret_view, struct ramet_err *err)
{
	const struct descriptor_header *h = bytes;
	if (len < sizeof(*h) || len > DESCRIPTOR_MAX_BYTES)
		return err_set(err, RAMET_EPROTO, "descriptor: truncated or oversized: %llu bytes",
			(unsigned long long)len);
	int rc = header_check(h, len, err);
	if (rc < 0)
		return rc;
	uint64_t words = (h->image_pages + 63) / 64;
	const struct {
		const struct descriptor_section *section;
		uint64_t item;
		uint64_t max;
		const char *name;
	} sections[] = {
		{&h->pieces, sizeof(struct seed_piece), DESCRIPTOR_MAX_PIECES, "pieces"},
		{&h->files, sizeof(struct seed_file), DESCRIPTOR_MAX_FILES, "files"},
		{&h->auxv, 16, 64, "auxv pairs"},
		{&h->zeros, 8, words, "words of zero pages"},
		{&h->sums, 8, DESCRIPTOR_MAX_SUMS, "checksums"},
		{&h->strings, 1, DESCRIPTOR_MAX_BYTES, "bytes of strings"},
	};
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		rc = section_check(h, sections[i].section, sections[i].item,
			(uint32_t)sections[i].max, sections[i].name, err);
		if (rc < 0)
			return rc;
	}
	if (h->zeros.count != words)
		return err_set(err, RAMET_EPROTO,
			"descriptor: %u words of zero pages for %llu pages", h->zeros.count,
			(unsigned long long)h->image_pages);
	rc = sums_check(h, err);
	if (rc < 0)
		return rc;
	const char *base = bytes;
	struct descriptor_view v = {.header = h,
		.pieces = (const void *)(base + h->pieces.offset),
		.files = (const void *)(base + h->files.offset),
		.auxv = (const void *)(base + h->auxv.offset),
		.zeros = (const void *)(base + h->zeros.offset),
		.sums = (const void *)(base + h->sums.offset),
		.strings = base + h->strings.offset,
		.npieces = h->pieces.count,
		.nfiles = h->files.count,
		.nauxv = h->auxv.count,
		.nstrings = h->strings.count};
	if ((rc = strings_check(&v, err)) < 0 || (rc = files_check(&v, err)) < 0 ||
		(rc = pieces_check(&v, err)) < 0)
		return rc;
	*ret_view = v;
	return 0;
}

const struct seed_piece *descriptor_piece_of_addr(const struct descriptor_view *view, uint64_t addr)
{
	uint32_t lo = 0, hi = view->npieces;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (view->pieces[mid].start + view->pieces[mid].pages * RFORK_PAGE <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < view->npieces && view->pieces[lo].start <= addr ? &view->pieces[lo] : NULL;
}

const struct seed_piece *descriptor_piece_of_page(const struct descriptor_view *view, uint64_t page)
{
	/* Only image pieces have image pages, and those increase with the address: find the last
	 * that starts at or before the page, stepping over the others. */
	uint32_t lo = 0, hi = view->npieces;
	const struct seed_piece *found = NULL;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2, probe = mid;
		while (probe < hi && view->pieces[probe].kind != PIECE_IMAGE)
			probe++;
		if (probe == hi || view->pieces[probe].image_page > page) {
			hi = mid;
		} else {
			found = &view->pieces[probe];
			lo = probe + 1;
		}
	}
	return found && page - found->image_page < found->pages ? found : NULL;
}
