/* The map from a child's addresses to its seed's. A sorted array: instances move few ranges, and
 * lookups are on the way of every fault. */
#include "rfork/pager_ranges.h"

#include "ramet/error.h"

#include <stdlib.h>
#include <string.h>

void pager_ranges_fini(struct pager_ranges *ranges)
{
	free(ranges->items);
	*ranges = (struct pager_ranges){0};
}

/* index of the first range that ends after addr */
static uint32_t find(const struct pager_ranges *ranges, uint64_t addr)
{
	uint32_t low = 0, high = ranges->count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (ranges->items[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static uint64_t advance(uint64_t origin, uint64_t by)
{
	return origin == PAGER_RANGE_NONE ? PAGER_RANGE_NONE : origin + by;
}

uint64_t pager_ranges_origin(const struct pager_ranges *ranges, uint64_t addr)
{
	uint32_t at = find(ranges, addr);
	if (at == ranges->count || addr < ranges->items[at].start)
		return addr;
	return advance(ranges->items[at].origin, addr - ranges->items[at].start);
}

static int reserve(struct pager_ranges *ranges, uint32_t more)
{
	uint32_t need = ranges->count + more;
	if (need > PAGER_RANGES_MAX)
		return RAMET_ELIMIT;
	if (need <= ranges->cap)
		return 0;
	uint32_t cap = need * 2;
	struct pager_range *items = realloc(ranges->items, cap * sizeof(*items));
	if (!items)
		return RAMET_ENOMEM;
	ranges->items = items;
	ranges->cap = cap;
	return 0;
}

static void shift(struct pager_ranges *ranges, uint32_t at, int by)
{
	memmove(ranges->items + (int64_t)at + by, ranges->items + at,
		(ranges->count - at) * sizeof(*ranges->items));
	ranges->count = (uint32_t)((int64_t)ranges->count + by);
}

/* makes a border at addr, so that no range lies across it; there is room */
static void split(struct pager_ranges *ranges, uint64_t addr)
{
	uint32_t at = find(ranges, addr);
	if (at == ranges->count || ranges->items[at].start >= addr)
		return;
	shift(ranges, at, 1);
	struct pager_range *left = &ranges->items[at], *right = left + 1;
	*left = *right;
	left->end = addr;
	right->start = addr;
	right->origin = advance(left->origin, addr - left->start);
}

static bool joins(const struct pager_range *left, const struct pager_range *right)
{
	return left->end == right->start &&
		advance(left->origin, left->end - left->start) == right->origin;
}

static int set(struct pager_ranges *ranges, struct pager_range range)
{
	int rc = reserve(ranges, 3);
	if (rc < 0)
		return rc;
	split(ranges, range.start);
	split(ranges, range.end);
	uint32_t at = find(ranges, range.start), end = at;
	while (end < ranges->count && ranges->items[end].start < range.end)
		end++;
	if (end > at)
		shift(ranges, end, -(int)(end - at));
	if (range.origin == range.start)
		return 0; /* back at home: as the descriptor says */
	if (at < ranges->count && joins(&range, &ranges->items[at])) {
		range.end = ranges->items[at].end;
		shift(ranges, at + 1, -1);
	}
	if (at > 0 && joins(&ranges->items[at - 1], &range)) {
		ranges->items[at - 1].end = range.end;
		return 0;
	}
	shift(ranges, at, 1);
	ranges->items[at] = range;
	return 0;
}

int pager_ranges_unmap(struct pager_ranges *ranges, uint64_t start, uint64_t end)
{
	if (start >= end)
		return 0;
	return set(ranges, (struct pager_range){start, end, PAGER_RANGE_NONE});
}

/* appends what is at [from, from + len) to moved, as it will lie at `to` */
static int collect(const struct pager_ranges *ranges, uint64_t from, uint64_t to, uint64_t len,
	struct pager_ranges *moved)
{
	uint64_t end = from + len;
	for (uint64_t addr = from; addr < end;) {
		uint32_t at = find(ranges, addr);
		uint64_t stop = end;
		if (at < ranges->count) {
			const struct pager_range *range = &ranges->items[at];
			stop = addr < range->start ? range->start : range->end;
			stop = stop < end ? stop : end;
		}
		int rc = reserve(moved, 1);
		if (rc < 0)
			return rc;
		moved->items[moved->count++] = (struct pager_range){
			to + (addr - from), to + (stop - from), pager_ranges_origin(ranges, addr)};
		addr = stop;
	}
	return 0;
}

int pager_ranges_move(struct pager_ranges *ranges, uint64_t from, uint64_t to, uint64_t len)
{
	/* what stays at `from`, if anything (MREMAP_DONTUNMAP), is as before; else UNMAP tells */
	struct pager_ranges moved = {0};
	int rc = collect(ranges, from, to, len, &moved);
	for (uint32_t i = 0; rc == 0 && i < moved.count; i++)
		rc = set(ranges, moved.items[i]);
	pager_ranges_fini(&moved);
	return rc;
}

int pager_ranges_copy(struct pager_ranges *ranges, const struct pager_ranges *src)
{
	int rc = reserve(ranges, src->count);
	if (rc < 0)
		return rc;
	if (src->count > 0)
		memcpy(ranges->items, src->items, src->count * sizeof(*src->items));
	ranges->count = src->count;
	return 0;
}
