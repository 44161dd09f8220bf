/* Working sets in memory: building them, and merging recordings. */
#include "rfork/working_set.h"

#include "rfork/working_set_internal.h"

#include <stdlib.h>
#include <string.h>

int working_set_builder_init(struct working_set_builder *builder, uint64_t image_pages)
{
	*builder = (struct working_set_builder){0};
	builder->set = calloc(1, sizeof(*builder->set));
	builder->seen = calloc(image_pages / 64 + 1, sizeof(*builder->seen));
	if (!builder->set || !builder->seen) {
		working_set_builder_fini(builder);
		return RAMET_ENOMEM;
	}
	builder->set->image_pages = image_pages;
	return 0;
}

void working_set_builder_fini(struct working_set_builder *builder)
{
	working_set_destroy(builder->set);
	free(builder->seen);
	*builder = (struct working_set_builder){0};
}

struct working_set *working_set_builder_steal(struct working_set_builder *builder)
{
	return steal_ptr(&builder->set);
}

bool working_set_builder_see(struct working_set_builder *builder, uint64_t page)
{
	uint64_t bit = 1ull << (page % 64);
	if (builder->seen[page / 64] & bit)
		return false;
	builder->seen[page / 64] |= bit;
	return true;
}

static int grow(void **items, uint32_t count, uint32_t *cap, size_t size)
{
	if (count < *cap)
		return 0;
	uint32_t bigger = *cap ? *cap * 2 : 64;
	void *moved = realloc(*items, bigger * size);
	if (!moved)
		return RAMET_ENOMEM;
	*items = moved;
	*cap = bigger;
	return 0;
}

int working_set_builder_touch(struct working_set_builder *builder, uint64_t page)
{
	struct working_set *set = builder->set;
	if (set->ntouched > 0) {
		struct working_set_run *last = &set->touched[set->ntouched - 1];
		if ((uint64_t)last->page + last->count == page) {
			last->count++;
			return 0;
		}
	}
	if (set->ntouched == WORKING_SET_MAX_RUNS)
		return 0;
	void *items = set->touched;
	int rc = grow(&items, set->ntouched, &builder->touched_cap, sizeof(*set->touched));
	set->touched = items;
	if (rc == 0)
		set->touched[set->ntouched++] =
			(struct working_set_run){.page = (uint32_t)page, .count = 1};
	return rc;
}

int working_set_builder_write(
	struct working_set_builder *builder, uint64_t page, uint64_t count, uint32_t calls)
{
	struct working_set *set = builder->set;
	if (set->nwritten > 0) {
		struct working_set_write *last = &set->written[set->nwritten - 1];
		if ((uint64_t)last->page + last->count == page && last->calls == calls) {
			last->count += (uint32_t)count;
			return 0;
		}
	}
	if (set->nwritten == WORKING_SET_MAX_RUNS)
		return 0;
	void *items = set->written;
	int rc = grow(&items, set->nwritten, &builder->written_cap, sizeof(*set->written));
	set->written = items;
	if (rc == 0)
		set->written[set->nwritten++] = (struct working_set_write){
			.page = (uint32_t)page, .count = (uint32_t)count, .calls = calls};
	return rc;
}

int working_set_create(uint64_t image_pages, const uint32_t *pages, uint64_t count,
	struct working_set **ret_set, struct ramet_err *err)
{
	struct working_set_builder builder;
	int rc = working_set_builder_init(&builder, image_pages);
	for (uint64_t i = 0; rc == 0 && i < count; i++)
		if (pages[i] < image_pages && working_set_builder_see(&builder, pages[i]))
			rc = working_set_builder_touch(&builder, pages[i]);
	if (rc == 0) {
		builder.set->calls = 1;
		*ret_set = working_set_builder_steal(&builder);
	}
	working_set_builder_fini(&builder);
	return rc < 0 ? err_nomem(err) : 0;
}

void working_set_destroy(struct working_set *set)
{
	if (!set)
		return;
	free(set->touched);
	free(set->written);
	free(set);
}

static int merge_touched(struct working_set_builder *builder, const struct working_set *from)
{
	for (uint32_t i = 0; i < from->ntouched; i++) {
		const struct working_set_run *run = &from->touched[i];
		for (uint64_t page = run->page; page < (uint64_t)run->page + run->count; page++) {
			if (!working_set_builder_see(builder, page))
				continue;
			int rc = working_set_builder_touch(builder, page);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* A place in a list of written runs: what is left of the run that holds `page`, or comes next. */
struct cursor {
	const struct working_set *set;
	uint32_t at;
};

static uint64_t cursor_start(const struct cursor *cursor, uint64_t page)
{
	if (cursor->at == cursor->set->nwritten)
		return UINT64_MAX;
	return MAX(page, (uint64_t)cursor->set->written[cursor->at].page);
}

static uint64_t cursor_end(const struct cursor *cursor)
{
	const struct working_set_write *run = &cursor->set->written[cursor->at];
	return (uint64_t)run->page + run->count;
}

static int merge_written(struct working_set_builder *builder, const struct working_set *a,
	const struct working_set *b)
{
	struct cursor ca = {a, 0}, cb = {b, 0};
	for (uint64_t page = 0;;) {
		uint64_t start_a = cursor_start(&ca, page), start_b = cursor_start(&cb, page);
		page = MIN(start_a, start_b);
		if (page == UINT64_MAX)
			return 0;
		uint64_t end = MAX(start_a, start_b); /* of the stretch where nothing changes */
		uint32_t calls = 0;
		if (start_a == page) {
			calls += a->written[ca.at].calls;
			end = start_b == page ? cursor_end(&ca) : MIN(end, cursor_end(&ca));
		}
		if (start_b == page) {
			calls += b->written[cb.at].calls;
			end = MIN(end, cursor_end(&cb));
		}
		int rc = working_set_builder_write(builder, page, end - page, calls);
		if (rc < 0)
			return rc;
		ca.at += start_a == page && cursor_end(&ca) == end;
		cb.at += start_b == page && cursor_end(&cb) == end;
		page = end;
	}
}

int working_set_merge(
	struct working_set *set, const struct working_set *other, struct ramet_err *err)
{
	if (set->image_pages != other->image_pages)
		return err_set(err, RAMET_EINVAL, "working sets of images of %llu and %llu pages",
			(unsigned long long)set->image_pages,
			(unsigned long long)other->image_pages);
	if (set->calls > UINT32_MAX - other->calls)
		return err_set(err, RAMET_ELIMIT, "working set of too many calls");
	struct working_set_builder builder;
	int rc = working_set_builder_init(&builder, set->image_pages);
	if (rc == 0)
		rc = merge_touched(&builder, set);
	if (rc == 0)
		rc = merge_touched(&builder, other);
	if (rc == 0)
		rc = merge_written(&builder, set, other);
	if (rc == 0) {
		struct working_set old = *set;
		*set = *builder.set;
		set->calls = old.calls + other->calls;
		*builder.set = old;
	}
	working_set_builder_fini(&builder);
	return rc < 0 ? err_nomem(err) : 0;
}

uint64_t working_set_pages(const struct working_set *set)
{
	uint64_t pages = 0;
	for (uint32_t i = 0; i < set->ntouched; i++)
		pages += set->touched[i].count;
	return pages;
}

void working_set_flatten(const struct working_set *set, uint32_t *pages)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < set->ntouched; i++)
		for (uint32_t k = 0; k < set->touched[i].count; k++)
			pages[n++] = set->touched[i].page + k;
}
