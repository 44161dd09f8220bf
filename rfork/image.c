/* The page store of a seed: its two memfds (descriptor, pages), the dense view of the pages, and
 * the bitmap that says which are there. It knows nothing of where missing pages come from. */
#include "rfork/image.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_NAME_BYTES 32

static void image_destroy(struct image *image)
{
	if (!image)
		return;
	if (image->base)
		munmap(image->base, image_bytes(image));
	if (image->desc_bytes)
		munmap(image->desc_bytes, image->desc.header->total_len);
	close_keep_errno(image->desc_fd);
	close_keep_errno(image->fd);
	layer_put(image->layer);
	free(image->present);
	free(image->blocks);
	free(image);
}
DEFINE_CLEANUP(struct image, image_destroy)

/* a memfd that holds a copy of bytes and can never change again */
static int sealed_copy(
	const char *name, const void *bytes, uint64_t len, int *ret_fd, struct ramet_err *err)
{
	auto_close int fd = memfd_create(name, MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "memfd_create %s", name);
	for (uint64_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)bytes + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, RAMET_EIO, "write descriptor of %s", name);
		done += (uint64_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return err_errno(err, RAMET_EIO, "seal descriptor of %s", name);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* the view is of the sealed copy, so that nobody changes it after the check */
static int image_take_descriptor(struct image *image, const char *name, const void *descriptor,
	uint64_t len, struct ramet_err *err)
{
	int rc = sealed_copy(name, descriptor, len, &image->desc_fd, err);
	if (rc < 0)
		return rc;
	void *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, image->desc_fd, 0);
	if (bytes == MAP_FAILED)
		return err_errno(err, RAMET_EIO, "map descriptor of %s", name);
	rc = descriptor_open(bytes, len, &image->desc, err);
	if (rc < 0) {
		munmap(bytes, len);
		return rc;
	}
	image->desc_bytes = bytes;
	return 0;
}

static void image_name(const uint8_t *seed_id, char name[IMAGE_NAME_BYTES])
{
	snprintf(name, IMAGE_NAME_BYTES, "ramet-seed-%02x%02x%02x%02x", seed_id[0], seed_id[1],
		seed_id[2], seed_id[3]);
}

int image_memfd(const uint8_t seed_id[SEED_ID_BYTES], int *ret_fd, struct ramet_err *err)
{
	char name[IMAGE_NAME_BYTES];
	image_name(seed_id, name);
	int fd = memfd_create(name, MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "memfd_create %s", name);
	*ret_fd = fd;
	return 0;
}

static int image_size_file(const struct image *image, int fd, struct ramet_err *err)
{
	uint64_t bytes = image->desc.header->image_file_bytes;
	if (ftruncate(fd, (off_t)bytes) < 0)
		return err_errno(
			err, RAMET_EIO, "size an image to %llu bytes", (unsigned long long)bytes);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return err_errno(err, RAMET_EIO, "seal an image");
	return 0;
}

/* the memfd that a piece of the image is in */
static int piece_fd(const struct image *image, const struct seed_piece *piece)
{
	return piece->flags & PIECE_BASE ? image->layer->fd : image->fd;
}

/* one reservation, over which the pieces are mapped side by side */
static int image_map_dense(struct image *image, struct ramet_err *err)
{
	if (image->npages == 0)
		return 0;
	void *base = mmap(NULL, image_bytes(image), PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return err_errno(err, RAMET_ENOMEM, "reserve %llu pages of image",
			(unsigned long long)image->npages);
	image->base = base;
	for (uint32_t i = 0; i < image->desc.npieces; i++) {
		const struct seed_piece *piece = &image->desc.pieces[i];
		if (piece->kind != PIECE_IMAGE)
			continue;
		void *at = image->base + piece->image_page * RFORK_PAGE;
		if (mmap(at, piece->pages * RFORK_PAGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED | MAP_SHARED, piece_fd(image, piece),
			    (off_t)piece->offset) == MAP_FAILED)
			return err_errno(err, errno == ENOMEM ? RAMET_ENOMEM : RAMET_EIO,
				"map image piece %u of %u", i, image->desc.npieces);
	}
	if (image->nblocks > 0 &&
		mmap(image->base + image->npages * RFORK_PAGE, image->nblocks * RFORK_PAGE,
			PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, image->fd,
			(off_t)image->desc.header->sums_offset) == MAP_FAILED)
		return err_errno(err, RAMET_ENOMEM, "map the checksums of an image");
	return 0;
}

static int image_init_blocks(struct image *image, bool all, struct ramet_err *err)
{
	uint64_t words = image->nblocks / 64 + 1;
	image->blocks = calloc(words, sizeof(*image->blocks));
	if (!image->blocks)
		return err_nomem(err);
	for (uint64_t i = 0; i < words; i++)
		atomic_init(&image->blocks[i], all ? UINT64_MAX : 0);
	return 0;
}

static int image_init_present(struct image *image, bool all, struct ramet_err *err)
{
	uint64_t words = image->npages / 64 + 1;
	image->present = calloc(words, sizeof(*image->present));
	if (!image->present)
		return err_nomem(err);
	uint64_t count = 0;
	for (uint64_t at = 0; at < image->npages; at += 64) {
		uint64_t word = all ? UINT64_MAX : image->desc.zeros[at / 64];
		if (image->npages - at < 64)
			word &= (1ull << (image->npages - at)) - 1;
		atomic_init(&image->present[at / 64], word);
		count += (uint64_t)__builtin_popcountll(word);
	}
	atomic_init(&image->npresent, count);
	return 0;
}

/* that of its base, or a new one; what is there of it is present */
static int image_take_layer(struct image *image, struct layer *layer, struct ramet_err *err)
{
	if (image->desc.header->base_pages == 0)
		return layer ? err_set(err, RAMET_EPROTO, "descriptor: it has no base") : 0;
	int rc = 0;
	if (layer)
		image->layer = layer_get(layer);
	else
		rc = layer_create(&image->desc, &image->layer, err);
	return rc < 0 ? rc : layer_join(image->layer, &image->desc, err);
}

/* what the layer has already, and how much of the image is its own */
static void image_look_at_layer(struct image *image)
{
	image->nown = image->npages;
	for (uint32_t i = 0; i < image->desc.npieces; i++) {
		const struct seed_piece *piece = &image->desc.pieces[i];
		if (!(piece->flags & PIECE_BASE))
			continue;
		image->nown -= piece->pages;
		for (uint64_t k = 0; k < piece->pages; k++)
			if (layer_has(image->layer, piece->file + k))
				image_mark(image, piece->image_page + k);
	}
}

struct image_source {
	int fd; /* the pages; -1: a new memfd */
	struct layer *layer; /* NULL: a new one, if it is layered */
};

static int image_open(struct image *image, const uint8_t *id, const struct image_source *source,
	struct ramet_err *err)
{
	bool all = source->fd >= 0;
	image->npages = image->desc.header->image_pages;
	image->nblocks = descriptor_sum_blocks(image->desc.header);
	image->fd = source->fd;
	int rc = all ? 0 : image_memfd(id, &image->fd, err);
	if (rc == 0)
		rc = image_take_layer(image, source->layer, err);
	if (rc == 0)
		rc = image_size_file(image, image->fd, err);
	if (rc == 0)
		rc = image_map_dense(image, err);
	if (rc == 0)
		rc = image_init_present(image, all, err);
	if (rc == 0)
		rc = image_init_blocks(image, all, err);
	if (rc == 0)
		image_look_at_layer(image);
	if (rc < 0 && all)
		image->fd = -1; /* the caller's still */
	return rc;
}

static int image_make(const void *descriptor, uint64_t len, const struct image_source *source,
	struct image **ret_image, struct ramet_err *err)
{
	if (len < sizeof(struct descriptor_header) || len > DESCRIPTOR_MAX_BYTES)
		return err_set(
			err, RAMET_EPROTO, "descriptor of %llu bytes", (unsigned long long)len);
	AUTO(image_destroy) struct image *image = calloc(1, sizeof(*image));
	if (!image)
		return err_nomem(err);
	image->fd = image->desc_fd = -1;
	atomic_init(&image->refs, 1);

	/* not checked yet and perhaps not aligned, so only to make a name */
	uint8_t id[SEED_ID_BYTES];
	char name[IMAGE_NAME_BYTES];
	memcpy(id, (const char *)descriptor + offsetof(struct descriptor_header, seed_id),
		sizeof(id));
	image_name(id, name);

	int rc = image_take_descriptor(image, name, descriptor, len, err);
	if (rc == 0)
		rc = image_open(image, id, source, err);
	if (rc < 0)
		return rc;
	*ret_image = steal_ptr(&image);
	return 0;
}

int image_create(
	const void *descriptor, uint64_t len, struct image **ret_image, struct ramet_err *err)
{
	return image_make(descriptor, len, &(struct image_source){.fd = -1}, ret_image, err);
}

int image_create_on(struct layer *layer, const void *descriptor, uint64_t len,
	struct image **ret_image, struct ramet_err *err)
{
	const struct image_source source = {.fd = -1, .layer = layer};
	return image_make(descriptor, len, &source, ret_image, err);
}

int image_adopt(const void *descriptor, uint64_t len, int fd, struct layer *layer,
	struct image **ret_image, struct ramet_err *err)
{
	const struct image_source source = {.fd = fd, .layer = layer};
	return image_make(descriptor, len, &source, ret_image, err);
}

struct image *image_get(struct image *image)
{
	atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
	return image;
}

void image_put(struct image *image)
{
	if (image && atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel) == 1)
		image_destroy(image);
}

bool image_page_is_zero(const struct image *image, uint64_t page)
{
	return image->desc.zeros[page / 64] >> (page % 64) & 1;
}

bool image_mark(struct image *image, uint64_t page)
{
	uint64_t bit = 1ull << (page % 64);
	if (atomic_fetch_or_explicit(&image->present[page / 64], bit, memory_order_acq_rel) & bit)
		return false;
	atomic_fetch_add_explicit(&image->npresent, 1, memory_order_acq_rel);
	return true;
}

static int store_bytes(int fd, const void *src, uint64_t len, uint64_t offset)
{
	for (uint64_t done = 0; done < len;) {
		ssize_t n =
			pwrite(fd, (const char *)src + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RAMET_EIO;
		done += (uint64_t)n;
	}
	return 0;
}

int image_write(int fd, const void *bytes, uint64_t len, uint64_t offset, struct ramet_err *err)
{
	return store_bytes(fd, bytes, len, offset) < 0
		? err_errno(err, RAMET_EIO, "write to an image")
		: 0;
}

/* Pages of a base may have been stored for another image meanwhile: those stay. */
static int store_base(const struct image *image, const struct seed_piece *piece, uint64_t skip,
	uint64_t count, const void *src)
{
	for (uint64_t i = 0; i < count; i++) {
		const uint64_t page = piece->file + skip + i;
		if (layer_has(image->layer, page))
			continue;
		int rc = store_bytes(image->layer->fd, (const char *)src + i * RFORK_PAGE,
			RFORK_PAGE, piece->offset + (skip + i) * RFORK_PAGE);
		if (rc < 0)
			return rc;
		layer_mark(image->layer, page);
	}
	return 0;
}

int image_store(struct image *image, uint64_t first, uint64_t count, const void *src)
{
	if (first > image->npages || count > image->npages - first)
		return RAMET_EIO;
	if (fault_hit("image.store"))
		return RAMET_EIO;
	while (count > 0) {
		const struct seed_piece *piece = descriptor_piece_of_page(&image->desc, first);
		if (!piece)
			return RAMET_EIO;
		uint64_t skip = first - piece->image_page;
		uint64_t n = MIN(count, piece->pages - skip);
		int rc = piece->flags & PIECE_BASE ? store_base(image, piece, skip, n, src)
						   : store_bytes(image->fd, src, n * RFORK_PAGE,
							     piece->offset + skip * RFORK_PAGE);
		if (rc < 0)
			return rc;
		for (uint64_t page = first; page < first + n; page++)
			image_mark(image, page);
		src = (const char *)src + n * RFORK_PAGE;
		first += n;
		count -= n;
	}
	return 0;
}

int image_fill_zero(struct image *image, uint64_t page)
{
	const struct seed_piece *piece = descriptor_piece_of_page(&image->desc, page);
	if (!piece)
		return RAMET_EIO;
	off_t at = (off_t)(piece->offset + (page - piece->image_page) * RFORK_PAGE);
	while (fallocate(piece_fd(image, piece), FALLOC_FL_KEEP_SIZE, at, (off_t)RFORK_PAGE) < 0)
		if (errno != EINTR)
			return RAMET_EIO;
	return 0;
}

/* --- checksums --- */

static unsigned char *block_bytes(const struct image *image, uint64_t block)
{
	return image->base + (image->npages + block) * RFORK_PAGE;
}

uint64_t image_sum_missing(const struct image *image, uint64_t page)
{
	uint64_t block = page / DESCRIPTOR_BLOCK_SUMS;
	if (image->nblocks == 0 || image_page_is_zero(image, page) ||
		atomic_load_explicit(&image->blocks[block / 64], memory_order_acquire) >>
				(block % 64) &
			1)
		return 0;
	return image->npages + block;
}

int image_sum_store(struct image *image, uint64_t page, const void *bytes)
{
	uint64_t block = page - image->npages;
	if (hash64(bytes, RFORK_PAGE) != image->desc.sums[block])
		return RAMET_ECHECKSUM;
	uint64_t offset = image->desc.header->sums_offset + block * RFORK_PAGE;
	int rc = store_bytes(image->fd, bytes, RFORK_PAGE, offset);
	if (rc == 0)
		atomic_fetch_or_explicit(
			&image->blocks[block / 64], 1ull << (block % 64), memory_order_acq_rel);
	return rc;
}

bool image_sum_ok(const struct image *image, uint64_t page, const void *bytes)
{
	const uint64_t *sums = image->desc.sums;
	if (image_page_is_zero(image, page))
		return true; /* its bytes are never used */
	if (image->nblocks > 0) {
		sums = (const void *)block_bytes(image, page / DESCRIPTOR_BLOCK_SUMS);
		page %= DESCRIPTOR_BLOCK_SUMS;
	}
	return hash64(bytes, RFORK_PAGE) == sums[page];
}

uint64_t image_resident(const struct image *image)
{
	struct stat st;
	return fstat(image->fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}
