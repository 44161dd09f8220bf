/* Working sets as bytes: a header, then the runs, all little-endian and of fixed width. What comes
 * in is a peer's and not to be trusted. */
#include "rfork/working_set.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "working sets travel in the byte order of little-endian machines"
#endif

#define WIRE_MAGIC 0x53574d52u /* "RMWS" */
#define WIRE_VERSION 1u

struct wire_header {
	uint32_t magic, version;
	uint64_t image_pages;
	uint32_t calls;
	uint32_t ntouched, nwritten;
	uint32_t reserved; /* 0 */
};

int working_set_encode(
	const struct working_set *set, void **ret_bytes, size_t *ret_len, struct ramet_err *err)
{
	const struct wire_header header = {
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.image_pages = set->image_pages,
		.calls = set->calls,
		.ntouched = set->ntouched,
		.nwritten = set->nwritten,
	};
	size_t touched = set->ntouched * sizeof(*set->touched);
	size_t written = set->nwritten * sizeof(*set->written);
	size_t len = sizeof(header) + touched + written;
	unsigned char *bytes = malloc(len);
	if (!bytes)
		return err_nomem(err);
	memcpy(bytes, &header, sizeof(header));
	if (touched > 0)
		memcpy(bytes + sizeof(header), set->touched, touched);
	if (written > 0)
		memcpy(bytes + sizeof(header) + touched, set->written, written);
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

static int read_header(const void *bytes, size_t len, uint64_t image_pages,
	struct wire_header *ret_header, struct ramet_err *err)
{
	struct wire_header header;
	if (len < sizeof(header))
		return err_set(err, RAMET_EPROTO, "working set of %zu bytes: too short", len);
	memcpy(&header, bytes, sizeof(header));
	if (header.magic != WIRE_MAGIC)
		return err_set(err, RAMET_EPROTO, "working set: wrong magic");
	if (header.version != WIRE_VERSION)
		return err_set(err, RAMET_EVERSION, "working set of version %u, this is %u",
			header.version, WIRE_VERSION);
	if (header.image_pages != image_pages)
		return err_set(err, RAMET_EPROTO, "working set of an image of %llu pages, not %llu",
			(unsigned long long)header.image_pages, (unsigned long long)image_pages);
	if (header.ntouched > WORKING_SET_MAX_RUNS || header.nwritten > WORKING_SET_MAX_RUNS ||
		header.reserved != 0)
		return err_set(err, RAMET_EPROTO, "working set: bad header");
	uint64_t want = sizeof(header) + header.ntouched * sizeof(struct working_set_run) +
		header.nwritten * sizeof(struct working_set_write);
	if (len != want)
		return err_set(err, RAMET_EPROTO, "working set of %zu bytes, not %llu", len,
			(unsigned long long)want);
	*ret_header = header;
	return 0;
}

static bool in_image(const struct working_set *set, uint32_t page, uint32_t count)
{
	return count > 0 && page < set->image_pages && count <= set->image_pages - page;
}

static int by_page(const void *a, const void *b)
{
	const struct working_set_run *x = a, *y = b;
	return (x->page > y->page) - (x->page < y->page);
}

static int check_touched(const struct working_set *set, struct ramet_err *err)
{
	if (set->ntouched == 0)
		return 0;
	auto_free struct working_set_run *sorted = calloc(set->ntouched, sizeof(*sorted));
	if (!sorted)
		return err_nomem(err);
	memcpy(sorted, set->touched, set->ntouched * sizeof(*sorted));
	qsort(sorted, set->ntouched, sizeof(*sorted), by_page);
	uint64_t end = 0;
	for (uint32_t i = 0; i < set->ntouched; i++) {
		if (!in_image(set, sorted[i].page, sorted[i].count) || sorted[i].page < end)
			return err_set(err, RAMET_EPROTO,
				"working set: touched pages %u+%u overlap, or lie beyond the image",
				sorted[i].page, sorted[i].count);
		end = (uint64_t)sorted[i].page + sorted[i].count;
	}
	return 0;
}

static int check_written(const struct working_set *set, struct ramet_err *err)
{
	uint64_t end = 0;
	for (uint32_t i = 0; i < set->nwritten; i++) {
		const struct working_set_write *run = &set->written[i];
		if (!in_image(set, run->page, run->count) || run->page < end || run->calls == 0 ||
			run->calls > set->calls)
			return err_set(err, RAMET_EPROTO, "working set: bad written run %u", i);
		end = (uint64_t)run->page + run->count;
	}
	return 0;
}

static void *copy_items(const unsigned char *bytes, size_t len)
{
	void *items = malloc(len ? len : 1);
	if (items && len > 0)
		memcpy(items, bytes, len);
	return items;
}

static int read_runs(struct working_set *set, const struct wire_header *header,
	const unsigned char *bytes, struct ramet_err *err)
{
	size_t touched = header->ntouched * sizeof(*set->touched);
	set->image_pages = header->image_pages;
	set->calls = header->calls;
	set->ntouched = header->ntouched;
	set->nwritten = header->nwritten;
	set->touched = copy_items(bytes, touched);
	set->written = copy_items(bytes + touched, header->nwritten * sizeof(*set->written));
	return set->touched && set->written ? 0 : err_nomem(err);
}

int working_set_decode(const void *bytes, size_t len, uint64_t image_pages,
	struct working_set **ret_set, struct ramet_err *err)
{
	struct wire_header header = {0};
	int rc = read_header(bytes, len, image_pages, &header, err);
	if (rc < 0)
		return rc;
	struct working_set *set = calloc(1, sizeof(*set));
	if (!set)
		return err_nomem(err);
	rc = read_runs(set, &header, (const unsigned char *)bytes + sizeof(header), err);
	if (rc == 0)
		rc = check_touched(set, err);
	if (rc == 0)
		rc = check_written(set, err);
	if (rc < 0)
		working_set_destroy(set);
	else
		*ret_set = set;
	return rc;
}
