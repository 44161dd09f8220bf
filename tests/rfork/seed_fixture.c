/* Building descriptors and pages for tests. */
#include "tests/rfork/seed_fixture.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* lays sections one behind the other; without bytes it only counts */
struct layout {
	unsigned char *bytes;
	size_t len;
};

static struct descriptor_section put(
	struct layout *layout, const void *data, size_t size, uint32_t count)
{
	struct descriptor_section section = {(uint32_t)layout->len, count};
	if (layout->bytes && size * count > 0)
		memcpy(layout->bytes + layout->len, data, size * count);
	layout->len = (layout->len + size * count + 7) / 8 * 8;
	return section;
}

static uint32_t lay_pieces(const struct fixture *fixture, struct seed_piece *pieces,
	uint64_t *ret_pages, uint64_t *ret_bytes)
{
	uint64_t pages = 0, offset = 0;
	for (unsigned i = 0; i < fixture->npieces; i++) {
		const struct fixture_piece *from = &fixture->pieces[i];
		pieces[i] = (struct seed_piece){.start = from->start,
			.pages = from->pages,
			.kind = from->kind,
			.prot = from->prot};
		if (from->kind != PIECE_IMAGE)
			continue;
		pieces[i].image_page = pages;
		pages += from->pages;
		if (from->base) {
			pieces[i].flags = PIECE_BASE;
			pieces[i].file = from->base_page;
			pieces[i].offset =
				(uint64_t)(from->base_page + from->base_shift) * RFORK_PAGE;
			continue;
		}
		pieces[i].offset = offset;
		offset += (from->pages + FIXTURE_GAP_PAGES) * RFORK_PAGE;
	}
	*ret_pages = pages;
	*ret_bytes = offset;
	return fixture->npieces;
}

#define BLOCK DESCRIPTOR_BLOCK_SUMS

/* one for each page, up to whole blocks */
static uint64_t *page_sums(uint64_t pages)
{
	uint64_t words[RFORK_PAGE / 8];
	uint64_t *sums = calloc((pages / BLOCK + 1) * BLOCK, sizeof(*sums));
	for (uint64_t page = 0; sums && page < pages; page++) {
		fixture_fill(page, words);
		sums[page] = hash64(words, sizeof(words));
	}
	return sums;
}

static void lay_sums(
	const struct fixture *fixture, struct descriptor_header *header, struct layout *layout)
{
	auto_free uint64_t *sums = page_sums(header->image_pages);
	uint32_t count = (uint32_t)header->image_pages;
	if (!sums)
		abort();
	if (fixture->apart) {
		header->sums_offset = header->image_file_bytes;
		count = (uint32_t)((header->image_pages + BLOCK - 1) / BLOCK);
		header->image_file_bytes += count * RFORK_PAGE;
		for (uint32_t i = 0; i < count; i++)
			sums[i] = hash64(sums + (size_t)i * BLOCK, RFORK_PAGE);
	}
	header->sums = put(layout, sums, sizeof(*sums), count);
}

/* the blocks of an image that has its checksums apart */
static bool store_sums(struct image *image)
{
	auto_free uint64_t *sums = page_sums(image->npages);
	for (uint64_t i = 0; sums && i < image->nblocks; i++)
		if (image_sum_store(image, image->npages + i, sums + i * BLOCK) < 0)
			return false;
	return sums != NULL;
}

static void lay(const struct fixture *fixture, struct layout *layout)
{
	struct seed_piece pieces[FIXTURE_MAX_PIECES];
	struct descriptor_header header = {
		.magic = DESCRIPTOR_MAGIC,
		.version = DESCRIPTOR_VERSION,
		.seed_id = {0xab, 0xcd, 0xef, 0x01},
		.epoch = 1,
		.class_text = "test",
		.page_size = RFORK_PAGE,
		.base_id = {fixture->base_pages > 0},
		.base_epoch = fixture->base_pages > 0,
		.base_pages = fixture->base_pages,
		.base_file_bytes = fixture->base_pages * RFORK_PAGE,
		.process = {.tid = 1, .control_fd = 3, .comm = "fixture"},
	};
	uint32_t npieces =
		lay_pieces(fixture, pieces, &header.image_pages, &header.image_file_bytes);
	header.process.state_addr = fixture->pieces[0].start;
	uint64_t words = (header.image_pages + 63) / 64;
	uint64_t *zeros = calloc(words + 1, sizeof(*zeros));
	static const uint64_t auxv[2] = {0, 0};
	if (!zeros)
		abort();
	zeros[0] = fixture->zeros;
	layout->len = sizeof(header);
	header.pieces = put(layout, pieces, sizeof(pieces[0]), npieces);
	header.files = put(layout, NULL, sizeof(struct seed_file), 0);
	header.auxv = put(layout, auxv, 2 * sizeof(auxv[0]), 1);
	header.zeros = put(layout, zeros, sizeof(zeros[0]), (uint32_t)words);
	lay_sums(fixture, &header, layout);
	header.strings = put(layout, "/", 1, 2);
	header.total_len = (uint32_t)layout->len;
	free(zeros);
	if (layout->bytes) {
		memcpy(layout->bytes, &header, sizeof(header));
		size_t from = offsetof(struct descriptor_header, checksum) + sizeof(uint64_t);
		header.checksum = hash64(layout->bytes + from, layout->len - from);
		memcpy(layout->bytes, &header, sizeof(header));
	}
}

void *fixture_descriptor(const struct fixture *fixture, size_t *ret_len)
{
	struct layout layout = {0};
	lay(fixture, &layout);
	layout.bytes = calloc(1, layout.len);
	if (!layout.bytes)
		return NULL;
	lay(fixture, &layout);
	*ret_len = layout.len;
	return layout.bytes;
}

uint64_t fixture_word(uint64_t page, unsigned word)
{
	return (page + 1) * 0x9e3779b97f4a7c15ull ^ word;
}

void fixture_fill(uint64_t page, void *dst)
{
	uint64_t *words = dst;
	for (unsigned i = 0; i < RFORK_PAGE / 8; i++)
		words[i] = fixture_word(page, i);
}

bool fixture_check(uint64_t page, const void *bytes)
{
	const uint64_t *words = bytes;
	for (unsigned i = 0; i < RFORK_PAGE / 8; i++)
		if (words[i] != fixture_word(page, i))
			return false;
	return true;
}

struct image *fixture_image(const struct fixture *fixture, bool complete)
{
	struct ramet_err err = {0};
	size_t len = 0;
	auto_free void *bytes = fixture_descriptor(fixture, &len);
	auto_image struct image *image = NULL;
	if (!bytes || image_create(bytes, len, &image, &err) < 0) {
		printf("  no image: %s\n", err.msg);
		return NULL;
	}
	uint64_t words[RFORK_PAGE / 8];
	for (uint64_t page = 0; complete && page < image->npages; page++) {
		if (image_has(image, page))
			continue;
		fixture_fill(page, words);
		if (image_store(image, page, 1, words) < 0)
			return NULL;
	}
	if (complete && !store_sums(image))
		return NULL;
	return steal_ptr(&image);
}

struct fixture fixture_simple(uint64_t pages)
{
	return (struct fixture){
		.pieces = {{FIXTURE_BASE, pages, PIECE_IMAGE, PROT_READ | PROT_WRITE}},
		.npieces = 1,
	};
}
