/* Who waits for which page of a seed: a small hash table of faults, from a pool that only grows. */
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

#include <stdlib.h>

static struct list *bucket(struct pager_seed *seed, uint32_t page)
{
	return &seed->buckets[page % PAGER_BUCKETS];
}

static struct pager_waiter *waiter_get(struct pager *pager)
{
	struct pager_waiter *waiter;
	if (list_empty(&pager->waiter_pool)) {
		waiter = malloc(sizeof(*waiter));
		if (!waiter)
			return NULL;
		list_init(&waiter->link);
	} else {
		waiter = list_first(&pager->waiter_pool, struct pager_waiter, link);
		list_remove(&waiter->link);
	}
	list_init(&waiter->pending);
	return waiter;
}

static void waiter_end(struct pager_seed *seed, struct pager_waiter *waiter)
{
	list_remove(&waiter->link);
	list_remove(&waiter->pending);
	waiter->uffd->waiters--;
	seed->waiters--;
	list_insert(&seed->pager->waiter_pool, &waiter->link);
}

struct pager_waiter *pager_waiters_add(
	struct pager_seed *seed, uint32_t page, struct pager_uffd *uffd, uint64_t addr, bool write)
{
	struct pager_waiter *waiter = waiter_get(seed->pager);
	if (!waiter)
		return NULL;
	waiter->uffd = uffd;
	waiter->addr = addr;
	waiter->page = page;
	waiter->write = write;
	list_insert(bucket(seed, page), &waiter->link);
	uffd->waiters++;
	seed->waiters++;
	return waiter;
}

/* Wake-ups that are joined while they go on where the last one ended. */
struct wake {
	struct pager_uffd *uffd;
	uint64_t start, end;
	bool write;
};

static void wake_flush(struct wake *wake)
{
	if (wake->uffd)
		pager_wake(wake->uffd, wake->start, wake->end, !wake->write);
	wake->uffd = NULL;
}

static void wake_add(struct wake *wake, const struct pager_waiter *waiter)
{
	if (wake->uffd == waiter->uffd && wake->end == waiter->addr &&
		wake->write == waiter->write) {
		wake->end += RFORK_PAGE;
		return;
	}
	wake_flush(wake);
	*wake = (struct wake){waiter->uffd, waiter->addr, waiter->addr + RFORK_PAGE, waiter->write};
}

static void wake_page(struct pager_seed *seed, uint32_t page, struct wake *wake)
{
	list_for_each_safe (waiter, bucket(seed, page), struct pager_waiter, link) {
		if (waiter->page != page)
			continue;
		wake_add(wake, waiter);
		waiter_end(seed, waiter);
	}
}

void pager_waiters_fail_page(struct pager_seed *seed, uint32_t page, const struct ramet_err *err)
{
	list_for_each_safe (waiter, bucket(seed, page), struct pager_waiter, link) {
		if (waiter->page != page)
			continue;
		pager_child_fail(waiter->uffd->child, err);
		waiter_end(seed, waiter);
	}
}

void pager_waiters_wake(struct pager_seed *seed, const uint32_t *pages, unsigned count)
{
	struct wake wake = {0};
	for (unsigned i = 0; i < count && seed->waiters > 0; i++)
		wake_page(seed, pages[i], &wake);
	wake_flush(&wake);
}

void pager_waiters_queue(struct pager_seed *seed, uint32_t page)
{
	list_for_each (waiter, bucket(seed, page), struct pager_waiter, link)
		if (waiter->page == page && list_empty(&waiter->pending))
			list_append(&seed->pager->pending, &waiter->pending);
}

void pager_waiters_drop(struct pager_seed *seed, const struct pager_uffd *uffd)
{
	for (unsigned i = 0; i < PAGER_BUCKETS && uffd->waiters > 0; i++)
		list_for_each_safe (waiter, &seed->buckets[i], struct pager_waiter, link)
			if (waiter->uffd == uffd)
				waiter_end(seed, waiter);
}

void pager_waiters_fail(struct pager_seed *seed, const struct ramet_err *err)
{
	for (unsigned i = 0; i < PAGER_BUCKETS && seed->waiters > 0; i++) {
		list_for_each_safe (waiter, &seed->buckets[i], struct pager_waiter, link) {
			pager_child_fail(waiter->uffd->child, err);
			waiter_end(seed, waiter);
		}
	}
}
