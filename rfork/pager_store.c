/* What has come is compared with its checksums and stored in the image: for a fault at once, since
 * somebody waits; what was fetched ahead by a thread of its own, so that neither faults nor the
 * next reads wait for it. That thread touches the slot and the image, nothing else of the pager. */
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

#include <sched.h>

/* writes what is new to the image, in runs as long as they are */
static int store_runs(struct pager_slot *slot)
{
	struct image *image = slot->seed->image;
	const struct page_read *read = &slot->read;
	for (unsigned i = 0, n; i < read->count; i += n) {
		uint32_t page = read->pages[i];
		n = 1;
		if (image_has(image, page))
			continue;
		while (i + n < read->count && read->pages[i + n] == page + n &&
			!image_has(image, page + n))
			n++;
		int rc = image_store(image, page, n, read->dst + i * RFORK_PAGE);
		if (rc < 0)
			return rc;
		slot->stored += n;
	}
	return 0;
}

static void store(struct pager_slot *slot)
{
	slot->stored = 0;
	slot->store_status = pager_verify_pages(slot, &slot->bad_page);
	if (slot->store_status == 0)
		slot->store_status = store_runs(slot);
}

static void on_stored(struct loop_task *task)
{
	struct pager_slot *slot = container_of(task, struct pager_slot, store_task);
	if (!slot->seed->pager->closing) /* else all that it belongs to has ended */
		pager_slot_stored(slot);
}

static void on_store(struct loop_task *task) /* the storing thread */
{
	struct pager_slot *slot = container_of(task, struct pager_slot, store_task);
	struct pager *pager = slot->seed->pager;
	store(slot);
	pager_post(pager, &slot->store_task, on_stored);
}

void pager_store(struct pager_slot *slot)
{
	struct pager *pager = slot->seed->pager;
	if (slot->bulk && pager->storer) {
		slot->store_task.fn = on_store;
		loop_post(loop_thread_loop(pager->storer), &slot->store_task);
		return;
	}
	store(slot);
	pager_slot_stored(slot);
}

int pager_store_open(struct pager *pager, struct ramet_err *err)
{
	cpu_set_t cpus;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2)
		return 0; /* it would only take turns with the pager */
	return loop_thread_start("ramet-store", &pager->storer, err);
}

void pager_store_close(struct pager *pager)
{
	loop_thread_stop(pager->storer);
	pager->storer = NULL;
}
