/* Fetching ahead: a list of pages (a working set, or the whole image) goes through the bulk slots
 * in reads as large as the sources allow. Two marks move along the list: up to `high` pages were
 * asked for, up to `low` they are there. What was asked for and failed shows as a gap that nobody
 * fetches, and `high` goes back to it. A drain is the same with fewer slots, and steps aside for
 * faults. */
#include "rfork/pager.h"

#include "base/clock.h"
#include "rfork/page_source_peer.h"
#include "rfork/pager_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BULK_KEPT 2 /* slots that keep their memory */
#define GIVE_BACK_NS (5 * NSEC_PER_SEC)

static uint32_t bulk_page(const struct pager_bulk *bulk, uint64_t at)
{
	return bulk->pages ? bulk->pages[at] : (uint32_t)at;
}

static bool wanted(const struct pager_bulk *bulk, uint64_t at)
{
	uint32_t page = bulk_page(bulk, at);
	return !image_has(bulk->seed->image, page) && !pager_outstanding(bulk->seed, page);
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

void pager_bulk_unpack(struct pager_bulk *bulk)
{
	if (!bulk->packed)
		return;
	bulk->packed = false;
	bulk->low = bulk->high = 0;
	qsort(bulk->pages, bulk->npages, sizeof(*bulk->pages), by_number); /* longer runs */
}

static struct pager_source *pack_source(const struct pager_bulk *bulk)
{
	list_for_each (source, &bulk->seed->sources, struct pager_source, link)
		if (!source->lost && !source->packless &&
			source->source->pack_pages == bulk->npages)
			return source;
	return NULL;
}

/* The next read, from `high` on. Of a pack also what is here already comes along, if it lies in
 * between: one operation all the same. */
static void choose_pages(struct pager_bulk *bulk, struct pager_slot *slot)
{
	uint64_t at = bulk->high, end = at;
	while (at < bulk->npages && slot->read.count < PAGE_READ_MAX) {
		bool take = wanted(bulk, at);
		if (bulk->packed && slot->read.count > 0)
			take = true;
		if (take && slot->read.count == 0)
			slot->read.pack_first = bulk->packed ? at : PAGE_READ_NO_PACK;
		if (take)
			pager_slot_own(slot, bulk_page(bulk, at));
		end = ++at;
	}
	bulk->high = end;
	if (bulk->packed && slot->owned) /* not what lies behind the last page that is needed */
		slot->read.count = 64 - (unsigned)__builtin_clzll(slot->owned);
}

static bool has_room(const struct pager_bulk *bulk)
{
	const struct pager *pager = bulk->seed->pager;
	if (list_empty(&pager->bulk_free))
		return false;
	return !bulk->background ||
		(pager->drain_left > 0 && pager->faults_inflight == 0 &&
			list_empty(&pager->pending));
}

/* --- staging memory --- */

static unsigned slot_index(const struct pager *pager, const struct pager_slot *slot)
{
	return (unsigned)(slot - pager->slots) - pager->nfault;
}

/* What many reads at once have touched, when there are none any more. */
static void on_give_back(struct loop_timer *timer)
{
	struct pager *pager = container_of(timer, struct pager, give_back);
	if (pager->bulk_busy > 0) {
		loop_timer_set(pager->loop, timer, now_ns() + GIVE_BACK_NS, on_give_back);
		return;
	}
	const struct pager_slot *first = &pager->slots[pager->nfault + BULK_KEPT];
	size_t len = (pager->bulk_touched - BULK_KEPT) * (size_t)PAGE_READ_MAX * RFORK_PAGE;
	(void)madvise(first->read.dst, len, MADV_DONTNEED);
	pager->bulk_touched = BULK_KEPT;
}

void pager_bulk_slot_free(struct pager *pager, struct pager_slot *slot)
{
	unsigned index = slot_index(pager, slot);
	pager->bulk_busy--;
	if (index < BULK_KEPT) /* those are used first */
		list_insert(&pager->bulk_free, &slot->link);
	else
		list_append(&pager->bulk_free, &slot->link);
	/* an adapter goes on writing to the pages that it knows */
	if (pager->bulk_touched > BULK_KEPT && pager->give_back.heap_pos == 0 && !pager->closing &&
		!page_peers_pin(pager->peers))
		loop_timer_set(
			pager->loop, &pager->give_back, now_ns() + GIVE_BACK_NS, on_give_back);
}

static void slot_take(struct pager *pager, struct pager_slot *slot)
{
	list_remove(&slot->link);
	pager->bulk_busy++;
	pager->bulk_touched = MAX(pager->bulk_touched, slot_index(pager, slot) + 1);
}

/* begins one read; false if nothing is left to ask for */
static bool bulk_read(struct pager_bulk *bulk)
{
	struct pager_seed *seed = bulk->seed;
	struct pager *pager = seed->pager;
	struct pager_slot *slot = list_first(&pager->bulk_free, struct pager_slot, link);
	slot->seed = seed;
	slot->bulk = bulk;
	slot->owned = 0;
	slot->tried = 0;
	slot->failed = 0;
	slot->read.count = 0;
	slot->read.urgent = false;
	slot->read.pack_first = PAGE_READ_NO_PACK;
	slot->source = bulk->packed ? pack_source(bulk) : NULL;
	if (bulk->packed && !slot->source)
		pager_bulk_unpack(bulk);
	choose_pages(bulk, slot);
	if (slot->owned == 0)
		return false;
	slot_take(pager, slot);
	pager->drain_left -= bulk->background;
	bulk->inflight++;
	seed->reads++;
	pager_fetch_slot(slot);
	return true;
}

static void bulk_on_done(struct loop_task *task) /* control */
{
	struct pager_bulk *bulk = container_of(task, struct pager_bulk, done_task);
	if (!bulk->seed->pager->gone && !bulk->seed->gone && bulk->done)
		bulk->done(bulk->user, &bulk->err);
	free(bulk->pages);
	free(bulk);
}

static void bulk_finish(struct pager_bulk *bulk)
{
	list_remove(&bulk->link);
	pager_post_control(bulk->seed->pager, &bulk->done_task, bulk_on_done);
}

/* returns when there is no room, or nothing to do until a read is done */
static void bulk_advance(struct pager_bulk *bulk)
{
	const struct pager_seed *seed = bulk->seed;
	while (!bulk->failed) {
		while (bulk->low < bulk->npages &&
			image_has(seed->image, bulk_page(bulk, bulk->low)))
			bulk->low++;
		if (bulk->low == bulk->npages)
			break;
		if (bulk->high < bulk->low)
			bulk->high = bulk->low;
		if (bulk->high == bulk->npages && wanted(bulk, bulk->low))
			bulk->high = bulk->low; /* a read has failed, not all sources have */
		if (bulk->high == bulk->npages || !has_room(bulk))
			return;
		bulk_read(bulk);
	}
	if (bulk->inflight == 0)
		bulk_finish(bulk);
}

void pager_bulks_run(struct pager *pager)
{
	if (pager->bulks_running) {
		pager->bulks_again = true;
		return;
	}
	pager->bulks_running = true;
	do {
		pager->bulks_again = false;
		list_for_each_safe (bulk, &pager->bulks, struct pager_bulk, link)
			bulk_advance(bulk);
	} while (pager->bulks_again);
	pager->bulks_running = false;
}

void pager_bulks_fail(struct pager_seed *seed, const struct ramet_err *err)
{
	list_for_each (bulk, &seed->pager->bulks, struct pager_bulk, link) {
		if (bulk->seed != seed || bulk->failed)
			continue;
		bulk->failed = true;
		err_copy(&bulk->err, err);
	}
}

void pager_bulks_finish(struct pager *pager)
{
	list_for_each_safe (bulk, &pager->bulks, struct pager_bulk, link)
		bulk_finish(bulk);
}

static int remember_wanted(struct pager_seed *seed, const struct pager_bulk *bulk)
{
	if (!seed->wanted)
		seed->wanted = calloc(seed->image->npages / 64 + 1, sizeof(*seed->wanted));
	if (!seed->wanted)
		return RAMET_ENOMEM;
	for (uint64_t i = 0; i < bulk->npages; i++)
		seed->wanted[bulk->pages[i] / 64] |= 1ull << (bulk->pages[i] % 64);
	return 0;
}

static void bulk_on_start(struct loop_task *task)
{
	struct pager_bulk *bulk = container_of(task, struct pager_bulk, start_task);
	struct pager_seed *seed = bulk->seed;
	if (bulk->pages && remember_wanted(seed, bulk) < 0) {
		bulk->failed = true;
		err_nomem(&bulk->err);
	}
	if (seed->revoked) {
		bulk->failed = true;
		err_copy(&bulk->err, &seed->revoked_err);
	}
	list_append(&seed->pager->bulks, &bulk->link);
	if (bulk->pages && !bulk->packed)
		qsort(bulk->pages, bulk->npages, sizeof(*bulk->pages), by_number);
	pager_bulks_run(seed->pager);
}

static struct pager_bulk *bulk_new(struct pager_seed *seed, uint64_t npages,
	void (*done)(void *user, const struct ramet_err *err), void *user)
{
	struct pager_bulk *bulk = calloc(1, sizeof(*bulk));
	if (!bulk)
		return NULL;
	bulk->seed = seed;
	bulk->npages = npages;
	bulk->done = done;
	bulk->user = user;
	return bulk;
}

int pager_prefetch(struct pager_seed *seed, const struct working_set *set, bool packed,
	void (*done)(void *user, const struct ramet_err *err), void *user, struct ramet_err *err)
{
	if (set->image_pages != seed->image->npages)
		return err_set(err, RAMET_EINVAL, "working set of another image");
	uint64_t npages = working_set_pages(set);
	struct pager_bulk *bulk = bulk_new(seed, npages, done, user);
	if (!bulk)
		return err_nomem(err);
	bulk->packed = packed && npages > 0;
	bulk->pages = malloc(MAX(npages, 1ull) * sizeof(*bulk->pages));
	if (!bulk->pages) {
		free(bulk);
		return err_nomem(err);
	}
	working_set_flatten(set, bulk->pages);
	pager_post(seed->pager, &bulk->start_task, bulk_on_start);
	return 0;
}

static int fetch_image(struct pager_seed *seed, bool background,
	void (*done)(void *user, const struct ramet_err *err), void *user, struct ramet_err *err)
{
	struct pager_bulk *bulk = bulk_new(seed, seed->image->npages, done, user);
	if (!bulk)
		return err_nomem(err);
	bulk->background = background;
	pager_post(seed->pager, &bulk->start_task, bulk_on_start);
	return 0;
}

int pager_fetch_all(struct pager_seed *seed, void (*done)(void *user, const struct ramet_err *err),
	void *user, struct ramet_err *err)
{
	return fetch_image(seed, false, done, user, err);
}

int pager_drain(struct pager_seed *seed, void (*done)(void *user, const struct ramet_err *err),
	void *user, struct ramet_err *err)
{
	return fetch_image(seed, true, done, user, err);
}
