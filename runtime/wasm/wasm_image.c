/* What an instance was, to be brought back: its globals (they lie in the instance), its tables, and
 * those pages of its memory that are not zero. Bringing it back maps fresh zero pages where the
 * memory was zero, which lets go of all that was written there, and copies those pages of the image
 * that differ by now. It asks nothing of how the kernel holds the memory: in a clone that is a
 * private mapping of the seed's file. */
#include "runtime/wasm/wasm_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE WASM_COPY
#define GAPS_MAX 64 /* a system call each */

struct table_image {
	void *data;
	uint32_t size;
};

struct wasm_image {
	void *instance;
	struct table_image *tables;
	unsigned ntables;
	size_t size; /* of the memory */
	size_t bytes; /* isolate->bytes */
	uint32_t *numbers; /* of pages */
	unsigned char *pages; /* their bytes, one after the other: mapped */
	size_t npages;
	size_t ngaps; /* between them, before and behind */
};

static size_t count_pages(const unsigned char *base, size_t size)
{
	size_t count = 0;
	for (size_t at = 0; at < size; at += PAGE)
		count += !wasm_is_zero(base + at);
	return count;
}

static int take_memory(const struct wasm_isolate *isolate, struct wasm_image *image)
{
	const unsigned char *base = isolate->memory.base;
	image->size = isolate->memory.seen ? isolate->memory.seen->size : 0;
	size_t count = count_pages(base, image->size);
	if (count == 0)
		return 0;
	image->numbers = malloc(count * sizeof(*image->numbers));
	void *pages = mmap(
		NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return RAMET_ENOMEM;
	image->pages = pages;
	image->npages = count;
	if (!image->numbers)
		return RAMET_ENOMEM;
	size_t next = 0;
	for (size_t at = 0; at < image->size && next < count; at += PAGE) {
		if (wasm_is_zero(base + at))
			continue;
		if (next == 0 || image->numbers[next - 1] + 1 != at / PAGE)
			image->ngaps++;
		memcpy(image->pages + next * PAGE, base + at, PAGE);
		image->numbers[next++] = (uint32_t)(at / PAGE);
	}
	return 0;
}

static int take_tables(const struct wasm_isolate *isolate, struct wasm_image *image)
{
	image->tables = calloc(isolate->ntables + 1u, sizeof(*image->tables));
	if (!image->tables)
		return RAMET_ENOMEM;
	for (unsigned i = 0; i < isolate->ntables; i++) {
		const struct wasm_table *table = &isolate->tables[i];
		size_t bytes = *table->size * table->element;
		void *copy = malloc(bytes + 1);
		if (!copy)
			return RAMET_ENOMEM;
		memcpy(copy, *table->data, bytes);
		image->tables[image->ntables++] = (struct table_image){copy, *table->size};
	}
	return 0;
}

int wasm_image_take(struct wasm_isolate *isolate)
{
	size_t bytes = isolate->file->module->instance_bytes;
	wasm_image_free(isolate);
	struct wasm_image *image = calloc(1, sizeof(*image));
	if (!image)
		return RAMET_ENOMEM;
	isolate->image = image;
	image->bytes = isolate->bytes;
	image->instance = malloc(bytes + 1);
	int rc = image->instance ? take_tables(isolate, image) : RAMET_ENOMEM;
	if (rc == 0)
		rc = take_memory(isolate, image);
	if (rc < 0) {
		wasm_image_free(isolate);
		return rc;
	}
	memcpy(image->instance, isolate->instance, bytes);
	isolate->used = false;
	return 0;
}

void wasm_image_free(struct wasm_isolate *isolate)
{
	struct wasm_image *image = isolate->image;
	isolate->image = NULL;
	if (!image)
		return;
	for (unsigned i = 0; i < image->ntables; i++)
		free(image->tables[i].data);
	if (image->pages)
		munmap(image->pages, image->npages * PAGE);
	free(image->tables);
	free(image->numbers);
	free(image->instance);
	free(image);
}

size_t wasm_image_bytes(const struct wasm_isolate *isolate)
{
	return isolate->image ? isolate->image->npages * PAGE : 0;
}

/* --- bringing it back --- */

static int map_zeros(unsigned char *at, size_t bytes, int prot)
{
	return bytes == 0 ||
			mmap(at, bytes, prot,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
				0) != MAP_FAILED
		? 0
		: RAMET_ENOMEM;
}

static void copy_page(unsigned char *base, const struct wasm_image *image, size_t i)
{
	unsigned char *page = base + (size_t)image->numbers[i] * PAGE;
	if (memcmp(page, image->pages + i * PAGE, PAGE) != 0)
		memcpy(page, image->pages + i * PAGE, PAGE);
}

/* zeros between the image's pages, where there are few such places, or else everywhere */
static int restore_zeros(unsigned char *base, const struct wasm_image *image)
{
	size_t from = 0;
	if (image->ngaps > GAPS_MAX)
		return map_zeros(base, image->size, PROT_READ | PROT_WRITE);
	for (size_t i = 0; i <= image->npages; i++) {
		size_t to = i < image->npages ? (size_t)image->numbers[i] * PAGE : image->size;
		if (map_zeros(base + from, to - from, PROT_READ | PROT_WRITE) < 0)
			return RAMET_ENOMEM;
		from = to + PAGE;
	}
	return 0;
}

static int restore_memory(struct wasm_isolate *isolate, const struct wasm_image *image)
{
	struct wasm_memory *memory = &isolate->memory;
	if (!memory->seen)
		return 0;
	int rc = map_zeros(memory->base + image->size, memory->reserved - image->size, PROT_NONE);
	if (rc == 0)
		rc = restore_zeros(memory->base, image);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < image->npages; i++)
		copy_page(memory->base, image, i);
	memory->seen->data = memory->base; /* it may have grown elsewhere */
	return 0;
}

/* a table is never smaller than it was */
static void restore_tables(struct wasm_isolate *isolate, const struct wasm_image *image)
{
	for (unsigned i = 0; i < image->ntables; i++) {
		const struct wasm_table *table = &isolate->tables[i];
		memcpy(*table->data, image->tables[i].data, image->tables[i].size * table->element);
		*table->size = image->tables[i].size;
	}
}

int wasm_image_restore(struct wasm_isolate *isolate)
{
	const struct wasm_image *image = isolate->image;
	void *tables[WASM_TABLES_MAX];
	if (!image)
		return RAMET_EINVAL;
	for (unsigned i = 0; i < isolate->ntables; i++)
		tables[i] = *isolate->tables[i].data;
	memcpy(isolate->instance, image->instance, isolate->file->module->instance_bytes);
	for (unsigned i = 0; i < isolate->ntables; i++)
		*isolate->tables[i].data = tables[i];
	isolate->bytes = image->bytes;
	restore_tables(isolate, image);
	int rc = restore_memory(isolate, image);
	isolate->spoilt = rc < 0;
	isolate->used = false;
	isolate->epoch = 0;
	return rc;
}
