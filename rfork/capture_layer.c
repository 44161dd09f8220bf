/* Cutting image pieces into what the base has and what is the image's own: see capture_layer.h. */
#include "rfork/capture_layer.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <string.h>

#define RUN_MIN 4u /* pages of the base in a row that are worth a piece */
#define RUN_MAX (1u << 20) /* no image is as large */
#define MORE_PIECES 256u /* than the same image without a base has, at most */

void capture_layer_fini(struct capture_layer *layer)
{
	buf_fini(&layer->same);
}

static bool holds(const struct seed_piece *piece, uint64_t addr)
{
	return piece && addr >= piece->start && addr - piece->start < piece->pages * RFORK_PAGE;
}

/* the piece of the base's image that has this address; addresses come in order */
static const struct seed_piece *base_piece(struct capture_layer *layer, uint64_t addr)
{
	if (!holds(layer->piece, addr))
		layer->piece = descriptor_piece_of_addr(&layer->base->desc, addr);
	return layer->piece && layer->piece->kind == PIECE_IMAGE ? layer->piece : NULL;
}

static uint64_t page_at(const struct seed_piece *piece, uint64_t addr)
{
	return piece->image_page + (addr - piece->start) / RFORK_PAGE;
}

static bool is_same(const struct capture_layer *layer, uint64_t page)
{
	return page / 8 < layer->same.len && layer->same.data[page / 8] >> (page % 8) & 1;
}

bool capture_layer_same(
	struct capture_layer *layer, uint64_t addr, uint64_t image_page, const void *bytes)
{
	const struct seed_piece *piece = layer->base ? base_piece(layer, addr) : NULL;
	if (!piece)
		return false;
	const uint64_t page = page_at(piece, addr);
	if (image_page_is_zero(layer->base, page) ||
		memcmp(bytes, layer->base->base + page * RFORK_PAGE, RFORK_PAGE) != 0)
		return false;
	const size_t need = image_page / 8 + 1;
	if (layer->same.len < need) {
		const size_t more = need - layer->same.len;
		void *room = buf_extend(&layer->same, more);
		if (!room)
			return false; /* it is stored */
		memset(room, 0, more);
	}
	layer->same.data[image_page / 8] |= (unsigned char)(1u << (image_page % 8));
	return true;
}

/* --- cutting --- */

struct splitter {
	struct capture_layer *layer;
	const struct descriptor_build *b;
	uint64_t least; /* pages with bytes that a run of the base must have */
	struct buf *out; /* NULL: only counted */
	uint64_t count;
	bool any; /* of them are the base's */
};

struct run { /* pages [first, end) of a piece that are the base's */
	uint64_t first, end;
	uint64_t bytes; /* of these, not zeros */
	uint64_t base_page, offset;
};

static bool is_zero(const struct descriptor_build *b, uint64_t page)
{
	const uint64_t *zeros = (const uint64_t *)(const void *)b->zeros.data;
	return page / 64 < b->zeros.len / sizeof(*zeros) && zeros[page / 64] >> (page % 64) & 1;
}

/* whether a page of a piece is what the base has there; *ret_base: where */
static bool of_base(struct splitter *s, const struct seed_piece *piece, uint64_t k,
	const struct seed_piece **ret_base)
{
	const uint64_t addr = piece->start + k * RFORK_PAGE;
	const struct seed_piece *base = base_piece(s->layer, addr);
	*ret_base = base;
	if (!base)
		return false;
	const uint64_t page = piece->image_page + k;
	return is_same(s->layer, page) ||
		(is_zero(s->b, page) && image_page_is_zero(s->layer->base, page_at(base, addr)));
}

/* the next run from page k on; false: there is none */
static bool next_run(
	struct splitter *s, const struct seed_piece *piece, uint64_t k, struct run *ret)
{
	const struct seed_piece *base = NULL, *other = NULL;
	while (k < piece->pages && !of_base(s, piece, k, &base))
		k++;
	if (k == piece->pages)
		return false;
	const uint64_t addr = piece->start + k * RFORK_PAGE;
	*ret = (struct run){.first = k,
		.base_page = page_at(base, addr),
		.offset = base->offset + (addr - base->start)};
	for (; k < piece->pages && of_base(s, piece, k, &other) && other == base; k++)
		ret->bytes += !is_zero(s->b, piece->image_page + k);
	ret->end = k;
	return true;
}

static void emit(struct splitter *s, struct seed_piece piece)
{
	s->count++;
	s->any |= !!(piece.flags & PIECE_BASE);
	if (s->out)
		buf_append(s->out, &piece, sizeof(piece));
}

/* pages [first, end) of a piece, still the image's own */
static void emit_own(
	struct splitter *s, const struct seed_piece *piece, uint64_t first, uint64_t end)
{
	struct seed_piece own = *piece;
	if (first == end)
		return;
	own.start += first * RFORK_PAGE;
	own.pages = end - first;
	own.image_page += first;
	own.offset += first * RFORK_PAGE;
	emit(s, own);
}

/* A mapping that grows shows what follows in its memfd: zeros, but for a base's from which this
 * process has cut something off. */
static bool was_cut(struct splitter *s, const struct seed_piece *piece)
{
	const struct seed_piece *base = NULL;
	return of_base(s, piece, piece->pages - 1, &base) &&
		piece->start + piece->pages * RFORK_PAGE != base->start + base->pages * RFORK_PAGE;
}

static void split_piece(struct splitter *s, const struct seed_piece *piece)
{
	struct run run;
	uint64_t done = 0;
	if (was_cut(s, piece)) {
		emit(s, *piece);
		return;
	}
	for (uint64_t k = 0; next_run(s, piece, k, &run); k = run.end) {
		if (run.bytes < s->least)
			continue;
		struct seed_piece base = *piece;
		emit_own(s, piece, done, run.first);
		base.start += run.first * RFORK_PAGE;
		base.pages = run.end - run.first;
		base.image_page += run.first;
		base.offset = run.offset;
		base.file = (uint32_t)run.base_page;
		base.flags |= PIECE_BASE;
		emit(s, base);
		done = run.end;
	}
	emit_own(s, piece, done, piece->pages);
}

static void split(struct splitter *s)
{
	const struct seed_piece *pieces =
		(const struct seed_piece *)(const void *)s->b->pieces.data;
	s->count = 0;
	for (size_t i = 0; i < s->b->pieces.len / sizeof(*pieces); i++) {
		if (pieces[i].kind == PIECE_IMAGE)
			split_piece(s, &pieces[i]);
		else
			emit(s, pieces[i]);
	}
}

/* --- what was not stored, and is in no piece of the base --- */

static int store_rest(struct capture_layer *layer, const struct descriptor_build *b, int image_fd,
	uint64_t *stored, struct ramet_err *err)
{
	const struct seed_piece *pieces = (const struct seed_piece *)(const void *)b->pieces.data;
	for (size_t i = 0; i < b->pieces.len / sizeof(*pieces); i++) {
		const struct seed_piece *p = &pieces[i];
		if (p->kind != PIECE_IMAGE || (p->flags & PIECE_BASE))
			continue;
		for (uint64_t k = 0; k < p->pages; k++) {
			const uint64_t addr = p->start + k * RFORK_PAGE;
			if (!is_same(layer, p->image_page + k))
				continue;
			const uint64_t page = page_at(base_piece(layer, addr), addr);
			int rc = image_write(image_fd, layer->base->base + page * RFORK_PAGE,
				RFORK_PAGE, p->offset + k * RFORK_PAGE, err);
			if (rc < 0)
				return rc;
			(*stored)++;
		}
	}
	return 0;
}

static void name_base(struct descriptor_build *b, const struct descriptor_header *base)
{
	memcpy(b->header.base_id, base->seed_id, sizeof(b->header.base_id));
	b->header.base_epoch = base->epoch;
	b->header.base_pages = base->image_pages;
	b->header.base_file_bytes = base->image_file_bytes;
}

int capture_layer_split(struct capture_layer *layer, struct descriptor_build *b, int image_fd,
	uint64_t *ret_stored, struct ramet_err *err)
{
	struct splitter s = {.layer = layer, .b = b, .least = RUN_MIN};
	const size_t before = b->pieces.len / sizeof(struct seed_piece);
	CLEANUP(buf_fini) struct buf cut = {0};
	*ret_stored = 0;
	if (!layer->base)
		return 0;
	if (b->header.image_pages > DESCRIPTOR_MAX_SUMS)
		s.least = RUN_MAX + 1; /* its checksums lie in its own memfd: so does all of it */
	for (split(&s); s.count > before + MORE_PIECES && s.least <= RUN_MAX; split(&s))
		s.least *= 2;
	s.out = &cut;
	s.any = false;
	split(&s);
	if (cut.oom)
		return err_nomem(err);
	if (s.any)
		name_base(b, layer->base->desc.header);
	struct buf whole = b->pieces;
	b->pieces = cut;
	cut = whole;
	return store_rest(layer, b, image_fd, ret_stored, err);
}
