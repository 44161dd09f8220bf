/* The writing half of the descriptor's format; descriptor.c is the reading half. */
#include "rfork/descriptor_build.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Distance between image pieces in the memfd: a mapping that mremap grows shows zeros, not its
 * neighbour's bytes. */
#define PIECE_SPACING (1ull << 36)

void descriptor_build_init(struct descriptor_build *b, const char *cwd)
{
	memset(b, 0, sizeof(*b));
	memcpy(b->header.magic, DESCRIPTOR_MAGIC, sizeof(b->header.magic));
	b->header.version = DESCRIPTOR_VERSION;
	b->header.page_size = RFORK_PAGE;
	descriptor_build_string(b, cwd);
}

void descriptor_build_fini(struct descriptor_build *b)
{
	struct buf *all[] = {&b->pieces, &b->files, &b->auxv, &b->zeros, &b->sums, &b->strings};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		buf_fini(all[i]);
}

uint32_t descriptor_build_string(struct descriptor_build *b, const char *text)
{
	uint32_t at = (uint32_t)b->strings.len;
	buf_append(&b->strings, text, strlen(text) + 1);
	return at;
}

/* the last piece of the image, at `offset` and `pages` long, is `more` pages longer than before */
static void image_grows(struct descriptor_build *b, uint64_t offset, uint64_t pages, uint64_t more)
{
	b->header.image_pages += more;
	b->header.image_file_bytes = offset + pages * RFORK_PAGE;
	b->next_offset = (b->header.image_file_bytes / PIECE_SPACING + 1) * PIECE_SPACING;
	if (fault_hit("descriptor.spacing"))
		b->next_offset = b->header.image_file_bytes;
}

void descriptor_build_piece(struct descriptor_build *b, struct seed_piece piece)
{
	if (piece.kind == PIECE_IMAGE) {
		piece.image_page = b->header.image_pages;
		piece.offset = b->next_offset;
		image_grows(b, piece.offset, piece.pages, piece.pages);
	}
	buf_append(&b->pieces, &piece, sizeof(piece));
}

/* the piece that an image piece would be one with, or NULL */
static struct seed_piece *joined_by(
	const struct descriptor_build *b, const struct seed_piece *piece)
{
	struct seed_piece *pieces = (struct seed_piece *)(void *)b->pieces.data;
	size_t count = b->pieces.len / sizeof(*pieces);
	struct seed_piece *last = count ? &pieces[count - 1] : NULL;
	bool joins = last && last->kind == PIECE_IMAGE && last->prot == piece->prot &&
		last->flags == piece->flags &&
		last->start + last->pages * RFORK_PAGE == piece->start;
	return joins ? last : NULL;
}

uint64_t descriptor_build_join_offset(
	const struct descriptor_build *b, const struct seed_piece *piece)
{
	const struct seed_piece *last = joined_by(b, piece);
	return last ? last->offset + last->pages * RFORK_PAGE : b->next_offset;
}

void descriptor_build_join_piece(struct descriptor_build *b, struct seed_piece piece)
{
	struct seed_piece *last = joined_by(b, &piece);
	if (!last) {
		descriptor_build_piece(b, piece);
		return;
	}
	last->pages += piece.pages;
	image_grows(b, last->offset, last->pages, piece.pages);
}

static void zeros_extend(struct descriptor_build *b, uint64_t pages)
{
	static const uint64_t none;
	while (!b->zeros.oom && b->zeros.len / sizeof(none) < (pages + 63) / 64)
		buf_append(&b->zeros, &none, sizeof(none));
}

void descriptor_build_zero(struct descriptor_build *b, uint64_t page)
{
	zeros_extend(b, page + 1);
	if (!b->zeros.oom)
		((uint64_t *)(void *)b->zeros.data)[page / 64] |= 1ull << (page % 64);
}

static void sums_extend(struct descriptor_build *b, uint64_t count)
{
	size_t len = count * sizeof(uint64_t);
	if (b->sums.oom || b->sums.len >= len)
		return;
	size_t from = b->sums.len;
	void *room = buf_extend(&b->sums, len - from);
	if (room)
		memset(room, 0, len - from);
}

void descriptor_build_sum(struct descriptor_build *b, uint64_t page, uint64_t sum)
{
	sums_extend(b, page);
	buf_append(&b->sums, &sum, sizeof(sum));
}

/* checksums that are too many become the end of the image, in whole blocks; *roots: the blocks' */
static void sums_apart(struct descriptor_build *b, struct buf *roots)
{
	struct descriptor_header *h = &b->header;
	uint64_t blocks = (h->image_pages + DESCRIPTOR_BLOCK_SUMS - 1) / DESCRIPTOR_BLOCK_SUMS;
	sums_extend(b, blocks * DESCRIPTOR_BLOCK_SUMS);
	if (b->sums.oom)
		return;
	h->sums_offset = b->next_offset;
	h->image_file_bytes = h->sums_offset + blocks * RFORK_PAGE;
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t sum = hash64(b->sums.data + i * RFORK_PAGE, RFORK_PAGE);
		buf_append(roots, &sum, sizeof(sum));
	}
}

uint32_t descriptor_build_file(struct descriptor_build *b, const char *path, uint32_t flags)
{
	struct seed_file *files = (struct seed_file *)(void *)b->files.data;
	uint32_t count = (uint32_t)(b->files.len / sizeof(*files));
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp((const char *)b->strings.data + files[i].path, path) == 0) {
			files[i].flags |= flags;
			return i;
		}
	}
	struct seed_file file = {.path = descriptor_build_string(b, path), .flags = flags};
	buf_append(&b->files, &file, sizeof(file));
	return count;
}

static void append_section(
	struct buf *out, const struct buf *part, size_t item, struct descriptor_section *section)
{
	static const char zeros[8];
	buf_append(out, zeros, (8 - out->len % 8) % 8);
	section->offset = (uint32_t)out->len;
	section->count = (uint32_t)(part->len / item);
	buf_append(out, part->data, part->len);
}

int descriptor_build_seal(struct descriptor_build *b, struct buf *out, struct ramet_err *err)
{
	struct descriptor_header *h = &b->header;
	CLEANUP(buf_fini) struct buf roots = {0};
	zeros_extend(b, h->image_pages);
	sums_extend(b, h->image_pages);
	if (h->image_pages > DESCRIPTOR_MAX_SUMS ||
		(h->image_pages > 0 && fault_hit("descriptor.sums_apart")))
		sums_apart(b, &roots);
	buf_append(out, h, sizeof(*h));
	append_section(out, &b->pieces, sizeof(struct seed_piece), &h->pieces);
	append_section(out, &b->files, sizeof(struct seed_file), &h->files);
	append_section(out, &b->auxv, 16, &h->auxv);
	append_section(out, &b->zeros, 8, &h->zeros);
	append_section(out, h->sums_offset ? &roots : &b->sums, 8, &h->sums);
	append_section(out, &b->strings, 1, &h->strings);
	if (out->oom || b->pieces.oom || b->files.oom || b->auxv.oom || b->zeros.oom ||
		b->sums.oom || roots.oom || b->strings.oom)
		return err_nomem(err);
	if (out->len > DESCRIPTOR_MAX_BYTES)
		return err_set(err, RAMET_ELIMIT, "the descriptor would have %zu bytes, at most %u",
			out->len, DESCRIPTOR_MAX_BYTES);
	h->total_len = (uint32_t)out->len;
	memcpy(out->data, h, sizeof(*h));
	size_t covered = offsetof(struct descriptor_header, checksum) + sizeof(h->checksum);
	h->checksum = hash64(out->data + covered, out->len - covered);
	memcpy(out->data, h, sizeof(*h));
	struct descriptor_view view;
	return descriptor_open(out->data, out->len, &view, err);
}
