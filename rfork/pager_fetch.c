/* Fetching pages: one read at a time from one source after the other, having stored what comes and
 * waking who waited. The way of a fault is short on purpose: no allocation once the
 * pool has grown, no turn of the loop between the message and the wake-up if the source is quick.
 */
#include "base/fault.h"
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void set_outstanding(struct pager_seed *seed, uint64_t page, bool on)
{
	uint64_t bit = 1ull << (page % 64);
	if (on)
		seed->outstanding[page / 64] |= bit;
	else
		seed->outstanding[page / 64] &= ~bit;
}

/* --- slots --- */

static void slot_on_done(struct page_read *read, int status);
static void slot_on_sums(struct page_read *read, int status);

void pager_slot_init(struct pager_slot *slot)
{
	list_init(&slot->link);
	list_init(&slot->read.link);
	list_init(&slot->sums.link);
	slot->read.done = slot_on_done;
	slot->sums.done = slot_on_sums;
}

void pager_slot_own(struct pager_slot *slot, uint32_t page)
{
	if (!image_has(slot->seed->image, page) && !pager_outstanding(slot->seed, page)) {
		slot->owned |= 1ull << slot->read.count;
		set_outstanding(slot->seed, page, true);
	}
	slot->read.pages[slot->read.count++] = page;
}

static void fetch_pending(struct pager *pager);

/* the read is over, whatever came of it */
static void slot_end(struct pager_slot *slot)
{
	struct pager_seed *seed = slot->seed;
	struct pager *pager = seed->pager;
	struct pager_bulk *bulk = slot->bulk;
	for (uint64_t owned = slot->owned; owned; owned &= owned - 1)
		set_outstanding(seed, slot->read.pages[__builtin_ctzll(owned)], false);
	if (bulk) {
		bulk->inflight--;
		pager->drain_left += bulk->background;
		pager_bulk_slot_free(pager, slot);
	} else {
		pager->faults_inflight--;
		list_insert(&pager->fault_free, &slot->link);
	}
	seed->reads--;
	if (pager->closing)
		return;
	bool removed_last = seed->removed && seed->reads == 0;
	fetch_pending(pager);
	pager_bulks_run(pager);
	if (removed_last)
		pager_seed_release(seed); /* last: its bulks have ended by now */
}

static void slot_fail(struct pager_slot *slot, const struct ramet_err *err)
{
	struct pager_seed *seed = slot->seed;
	for (uint64_t owned = slot->owned; owned; owned &= owned - 1)
		pager_waiters_fail_page(seed, slot->read.pages[__builtin_ctzll(owned)], err);
	if (slot->bulk && !slot->bulk->failed) {
		slot->bulk->failed = true;
		err_copy(&slot->bulk->err, err);
	}
	slot_end(slot);
}

/* whether the same source may still do another read */
static bool is_passing(int code)
{
	return code == RAMET_EIO || code == RAMET_ENOMEM || code == RAMET_EAGAIN ||
		code == RAMET_ETIMEOUT;
}

/* those who wait for pages of a pack wait for reads of the image instead */
static void slot_give_up_pack(struct pager_slot *slot)
{
	struct pager_seed *seed = slot->seed;
	pager_bulk_unpack(slot->bulk);
	for (uint64_t owned = slot->owned; owned; owned &= owned - 1)
		pager_waiters_queue(seed, slot->read.pages[__builtin_ctzll(owned)]);
	slot_end(slot);
}

static void slot_fail_starved(struct pager_slot *slot)
{
	struct ramet_err err = {0};
	if (slot->failed)
		err_set(&err, slot->failed,
			"page %u of the seed: no source is left; the last, %s: %s",
			slot->read.pages[0], slot->failed_by, err_text(slot->failed));
	else
		err_set(&err, RAMET_EPEER, "page %u of the seed: there is no source for it",
			slot->read.pages[0]);
	slot_fail(slot, &err);
}

static void seed_on_starved(struct loop_task *task) /* control */
{
	struct pager_seed *seed = container_of(task, struct pager_seed, starved_task);
	atomic_store(&seed->starved_queued, false);
	if (!seed->pager->gone && !seed->gone)
		seed->handler->on_starved(seed->user);
}

void pager_slots_starved(struct pager_seed *seed, bool give_up)
{
	struct list slots;
	list_init(&slots);
	while (!list_empty(&seed->starved)) {
		struct pager_slot *slot = list_first(&seed->starved, struct pager_slot, link);
		list_remove(&slot->link);
		list_append(&slots, &slot->link);
	}
	seed->reads++; /* the seed stays until the end of this function */
	while (!list_empty(&slots)) {
		struct pager_slot *slot = list_first(&slots, struct pager_slot, link);
		list_remove(&slot->link);
		if (seed->removed || seed->revoked)
			slot_end(slot);
		else if (give_up)
			slot_fail_starved(slot);
		else
			pager_fetch_slot(slot);
	}
	seed->reads--;
}

/* every source has failed: control may know another */
static void slot_starve(struct pager_slot *slot)
{
	struct pager_seed *seed = slot->seed;
	if (!seed->handler || !seed->handler->on_starved) {
		slot_fail_starved(slot);
		return;
	}
	list_append(&seed->starved, &slot->link);
	if (!seed->starving && !atomic_exchange(&seed->starved_queued, true))
		pager_post_control(seed->pager, &seed->starved_task, seed_on_starved);
	seed->starving = true;
}

/* a read that its source did not do */
static void slot_go_on(struct pager_slot *slot, int code)
{
	struct pager_seed *seed = slot->seed;
	struct pager_source *source = slot->source;
	struct ramet_err err = {0};
	slot->source = NULL;
	slot->failed = code;
	snprintf(slot->failed_by, sizeof(slot->failed_by), "%s", source->name);
	slot->tried |= 1u << source->index;
	pager_count(&seed->counters, STAT_FAILED_READS, 1);
	bool packed = slot->read.pack_first != PAGE_READ_NO_PACK;
	bool revoked = code == RAMET_EREVOKED && !source->source->copy && !packed;
	if (revoked) {
		err_set(&err, code, "the seed was revoked by %s", source->name);
	} else if (packed) {
		source->packless = true; /* it may have been replaced: the image tells */
	} else if (!is_passing(code)) {
		err_set(&err, code, "pages from %s: %s", source->name, err_text(code));
		pager_source_set_lost(source, &err);
	}
	pager_source_done(source);
	if (revoked)
		pager_seed_set_revoked(seed, &err);
	if (revoked)
		slot_end(slot);
	else if (packed)
		slot_give_up_pack(slot);
	else
		pager_fetch_slot(slot);
}

/* bytes that are not the seed's: the source is not believed again */
static void slot_mismatched(struct pager_slot *slot, uint32_t page)
{
	const uint8_t *id = slot->seed->image->desc.header->seed_id;
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECHECKSUM,
		"pages from %s: page %u of seed %02x%02x%02x%02x differs from its checksum",
		slot->source->name, page, id[0], id[1], id[2], id[3]);
	pager_source_set_lost(slot->source, &err);
	slot_go_on(slot, RAMET_ECHECKSUM);
}

void pager_fetch_slot(struct pager_slot *slot)
{
	struct pager_source *source = slot->source;
	if (!source)
		source = slot->source = pager_source_next(slot);
	if (!source) {
		slot_starve(slot);
		return;
	}
	struct page_read *read = pager_verify_sums(slot) ? &slot->sums : &slot->read;
	source->reads++;
	int rc = fault_hit("pager.read") ? RAMET_EIO
					 : source->source->ops->read(source->source, read);
	if (rc < 0)
		slot_go_on(slot, rc);
}

/* whether what has come is of use; else the slot has gone on */
static bool slot_arrived(struct pager_slot *slot, int status)
{
	struct pager_source *source = slot->source;
	if (slot->seed->removed || slot->seed->revoked) {
		slot->source = NULL;
		pager_source_done(source);
		slot_end(slot); /* nobody is served after a revocation */
		return false;
	}
	if (status < 0)
		slot_go_on(slot, status);
	return status == 0;
}

static void slot_on_sums(struct page_read *read, int status)
{
	struct pager_slot *slot = container_of(read, struct pager_slot, sums);
	uint32_t page = 0;
	if (!slot_arrived(slot, status))
		return;
	int rc = pager_verify_take_sums(slot, &page);
	if (rc == RAMET_ECHECKSUM) {
		slot_mismatched(slot, page);
	} else if (rc < 0) {
		slot_go_on(slot, rc);
	} else {
		slot->source->reads--;
		pager_fetch_slot(slot); /* from the same source */
	}
}

static void slot_on_done(struct page_read *read, int status)
{
	struct pager_slot *slot = container_of(read, struct pager_slot, read);
	if (slot_arrived(slot, status))
		pager_store(slot);
}

void pager_slot_stored(struct pager_slot *slot)
{
	struct pager_seed *seed = slot->seed;
	const struct page_read *read = &slot->read;
	if (!slot_arrived(slot, 0))
		return; /* it took a while: the seed may have ended */
	if (slot->store_status == RAMET_ECHECKSUM) {
		slot_mismatched(slot, slot->bad_page);
		return;
	}
	struct pager_source *source = slot->source;
	source->proven = true;
	slot->source = NULL;
	pager_source_done(source);
	if (slot->store_status < 0) {
		struct ramet_err err = {0};
		err_set(&err, RAMET_EIO, "no memory for page %u of the seed", read->pages[0]);
		slot_fail(slot, &err);
		return;
	}
	pager_count(&seed->counters, slot->bulk ? STAT_AHEAD : STAT_FETCHED, slot->stored);
	pager_waiters_wake(seed, read->pages, read->count);
	slot_end(slot);
}

/* --- faults --- */

static bool missing(const struct pager_seed *seed, uint64_t page)
{
	return page < seed->image->npages && !image_has(seed->image, page) &&
		!pager_outstanding(seed, page);
}

static bool wanted(const struct pager_seed *seed, uint64_t page)
{
	return seed->wanted && page < seed->image->npages &&
		seed->wanted[page / 64] >> (page % 64) & 1;
}

/* Whether the child reads through an array: then what comes next is fetched along. Anything less
 * than a row of faults is no reason to: fetching ahead blindly makes interpreters slower. */
static bool streams(struct pager_child *child, uint64_t page)
{
	child->stream = page > 0 && page == child->stream_next ? child->stream + 1 : 0;
	child->stream_next = page + 1;
	return child->stream >= PAGER_STREAM_AFTER;
}

/* the page, and what the working set has around it, or what a stream has before it */
static void choose_pages(struct pager_slot *slot, uint32_t page, struct pager_child *child)
{
	const struct pager_seed *seed = slot->seed;
	uint64_t first = page, end = (uint64_t)page + 1;
	if (streams(child, page)) {
		while (end - first < PAGER_FAULT_PAGES && missing(seed, end))
			end++;
		child->stream_next = end;
	} else if (wanted(seed, page)) {
		while (end - first < PAGER_FAULT_PAGES && wanted(seed, end) && missing(seed, end))
			end++;
		while (end - first < PAGER_FAULT_PAGES && first > 0 && wanted(seed, first - 1) &&
			missing(seed, first - 1))
			first--;
	}
	for (uint64_t at = first; at < end; at++)
		pager_slot_own(slot, (uint32_t)at);
}

static void log_pages(struct pager_seed *seed, const struct page_read *read)
{
	if (seed->nlog + read->count > seed->log_cap) {
		uint64_t cap = MAX(seed->log_cap * 2, 1024ull);
		uint32_t *log = realloc(seed->log, cap * sizeof(*log));
		if (!log) {
			seed->log_gap = true;
			return;
		}
		seed->log = log;
		seed->log_cap = cap;
	}
	for (unsigned i = 0; i < read->count; i++)
		seed->log[seed->nlog++] = read->pages[i];
}

/* there is a free slot for it */
static void fetch_page(struct pager_seed *seed, uint32_t page, struct pager_child *child)
{
	struct pager *pager = seed->pager;
	struct pager_slot *slot = list_first(&pager->fault_free, struct pager_slot, link);
	list_remove(&slot->link);
	slot->seed = seed;
	slot->bulk = NULL;
	slot->source = NULL;
	slot->tried = 0;
	slot->failed = 0;
	slot->owned = 0;
	slot->read.count = 0;
	slot->read.urgent = true;
	slot->read.pack_first = PAGE_READ_NO_PACK;
	choose_pages(slot, page, child);
	log_pages(seed, &slot->read);
	pager_count(&child->counters, STAT_FETCHED, slot->read.count);
	seed->reads++;
	pager->faults_inflight++;
	pager_fetch_slot(slot);
}

static void fetch_pending(struct pager *pager)
{
	if (pager->pending_running)
		return; /* a read that failed at once: the loop below goes on */
	pager->pending_running = true;
	while (!list_empty(&pager->pending) && !list_empty(&pager->fault_free)) {
		struct pager_waiter *waiter =
			list_first(&pager->pending, struct pager_waiter, pending);
		struct pager_child *child = waiter->uffd->child;
		uint32_t page = waiter->page;
		list_remove(&waiter->pending);
		if (image_has(child->seed->image, page))
			pager_waiters_wake(child->seed, &page, 1);
		else if (!pager_outstanding(child->seed, page))
			fetch_page(child->seed, page, child);
	}
	pager->pending_running = false;
}

void pager_fetch_fault(
	struct pager_seed *seed, uint32_t page, struct pager_uffd *uffd, uint64_t addr, bool write)
{
	struct pager *pager = seed->pager;
	if (seed->revoked) {
		pager_child_fail(uffd->child, &seed->revoked_err);
		return;
	}
	struct pager_waiter *waiter = pager_waiters_add(seed, page, uffd, addr, write);
	if (!waiter) {
		struct ramet_err err = {0};
		err_nomem(&err);
		pager_child_fail(uffd->child, &err);
		return;
	}
	if (pager_outstanding(seed, page))
		return;
	if (list_empty(&pager->fault_free)) {
		list_append(&pager->pending, &waiter->pending);
		return;
	}
	fetch_page(seed, page, uffd->child);
}

void pager_fetch_poll(struct pager *pager)
{
	if (pager->peers && pager->faults_inflight > 0)
		page_peers_poll(pager->peers);
}
