/* The life of a pager: its loops, its staging memory, and how calls get from one thread to the
 * other. */
#include "rfork/pager.h"

#include "rfork/pager_internal.h"

#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>

#define FAULT_SLOTS_DEFAULT 32
#define BULK_SLOTS_DEFAULT 16
#define DRAIN_SLOTS_DEFAULT 2
#define SLOTS_MAX 4096u

void pager_post(struct pager *pager, struct loop_task *task, void (*fn)(struct loop_task *))
{
	task->fn = fn;
	loop_post(pager->loop, task);
}

void pager_post_control(struct pager *pager, struct loop_task *task, void (*fn)(struct loop_task *))
{
	task->fn = fn;
	loop_post(pager->control, task);
}

/* A call that is made on the pager's thread while the caller waits. */
struct call {
	struct loop_task task;
	void (*fn)(struct call *call);
	struct pager *pager;
	const struct pager_options *options;
	int rc;
	struct ramet_err *err;
	sem_t done;
};

static void call_run(struct loop_task *task)
{
	struct call *call = container_of(task, struct call, task);
	call->fn(call);
	sem_post(&call->done);
}

static void call_and_wait(struct call *call)
{
	if (call->pager->loop == call->pager->control) {
		call->fn(call);
		return;
	}
	sem_init(&call->done, 0, 0);
	pager_post(call->pager, &call->task, call_run);
	while (sem_wait(&call->done) < 0)
		; /* a signal */
	sem_destroy(&call->done);
}

static void pager_free(struct pager *pager)
{
	if (!pager)
		return;
	pager_store_close(pager);
	if (pager->staging)
		munmap(pager->staging, pager->staging_len);
	free(pager->slots);
	free(pager);
}
DEFINE_CLEANUP(struct pager, pager_free)

static int pager_init_slots(
	struct pager *pager, const struct pager_options *options, struct ramet_err *err)
{
	unsigned nfault = options->fault_slots ? options->fault_slots : FAULT_SLOTS_DEFAULT;
	unsigned nbulk = options->bulk_slots ? options->bulk_slots : BULK_SLOTS_DEFAULT;
	unsigned ndrain = options->drain_slots ? options->drain_slots : DRAIN_SLOTS_DEFAULT;
	if (nfault > SLOTS_MAX || nbulk > SLOTS_MAX)
		return err_set(err, RAMET_EINVAL, "pager with more than %u slots", SLOTS_MAX);
	pager->drain_left = MIN(ndrain, nbulk);
	pager->unchecked = options->unchecked;
	pager->nslots = nfault + nbulk;
	pager->nfault = nfault;
	size_t pages = nfault * (size_t)PAGER_FAULT_PAGES + nbulk * (size_t)PAGE_READ_MAX;
	pager->staging_len = pages * RFORK_PAGE;
	pager->slots = calloc(nfault + nbulk, sizeof(*pager->slots));
	if (!pager->slots)
		return err_nomem(err);
	void *staging = mmap(NULL, pager->staging_len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (staging == MAP_FAILED)
		return err_errno(err, RAMET_ENOMEM, "staging memory");
	pager->staging = staging;
	/* else a page that is in use becomes two megabytes, and again after they were given back */
	(void)madvise(staging, pager->staging_len, MADV_NOHUGEPAGE);

	unsigned char *at = pager->staging;
	for (unsigned i = 0; i < nfault + nbulk; i++) {
		struct pager_slot *slot = &pager->slots[i];
		bool fault = i < nfault;
		slot->read.dst = slot->sums.dst = at;
		pager_slot_init(slot);
		list_append(fault ? &pager->fault_free : &pager->bulk_free, &slot->link);
		at += (fault ? PAGER_FAULT_PAGES : PAGE_READ_MAX) * RFORK_PAGE;
	}
	return 0;
}

static void open_on_thread(struct call *call)
{
	struct pager *pager = call->pager;
	if (call->options->provider)
		call->rc = page_peers_create(call->options->provider, call->options->transport,
			pager->loop, pager->staging, pager->staging_len, &pager->peers, call->err);
	if (call->rc == 0 && call->options->provider && call->options->also)
		call->rc = page_peers_also(
			pager->peers, call->options->also, call->options->transport, call->err);
	if (call->rc < 0) {
		page_peers_destroy(pager->peers);
		pager->peers = NULL;
	}
}

int pager_create(struct loop *loop, struct loop *control, const struct pager_options *options,
	struct pager **ret_pager, struct ramet_err *err)
{
	static const struct pager_options defaults;
	if (!options)
		options = &defaults;
	AUTO(pager_free) struct pager *pager = calloc(1, sizeof(*pager));
	if (!pager)
		return err_nomem(err);
	pager->loop = loop;
	pager->control = control;
	list_init(&pager->fault_free);
	list_init(&pager->bulk_free);
	list_init(&pager->seeds);
	list_init(&pager->pending);
	list_init(&pager->waiter_pool);
	list_init(&pager->bulks);
	int rc = pager_init_slots(pager, options, err);
	if (rc == 0)
		rc = pager_store_open(pager, err);
	if (rc < 0)
		return rc;
	struct call call = {.fn = open_on_thread, .pager = pager, .options = options, .err = err};
	call_and_wait(&call);
	if (call.rc < 0)
		return call.rc;
	*ret_pager = steal_ptr(&pager);
	return 0;
}

/* control; the last task of this pager */
static void pager_on_free(struct loop_task *task)
{
	struct pager *pager = container_of(task, struct pager, free_task);
	list_for_each_safe (seed, &pager->seeds, struct pager_seed, link)
		pager_seed_free(seed);
	pager_free(pager);
}

/* the last task of its thread: what was being stored has posted others before */
static void pager_on_last(struct loop_task *task)
{
	struct pager *pager = container_of(task, struct pager, last_task);
	pager_post_control(pager, &pager->free_task, pager_on_free);
}

static void close_on_thread(struct call *call)
{
	struct pager *pager = call->pager;
	pager->closing = true;
	pager_store_close(pager);
	loop_timer_cancel(&pager->sweep);
	loop_timer_cancel(&pager->give_back);
	list_for_each (seed, &pager->seeds, struct pager_seed, link)
		pager_seed_close(seed);
	/* both end the reads in flight */
	page_peers_destroy(pager->peers);
	pager->peers = NULL;
	list_for_each (seed, &pager->seeds, struct pager_seed, link)
		pager_seed_release(seed);
	pager_bulks_finish(pager);
	list_for_each_safe (waiter, &pager->waiter_pool, struct pager_waiter, link)
		free(waiter);
	pager_post(pager, &pager->last_task, pager_on_last);
}

void pager_destroy(struct pager *pager)
{
	if (!pager)
		return;
	pager->gone = true;
	struct call call = {.fn = close_on_thread, .pager = pager};
	call_and_wait(&call);
}

void pager_spins(const struct pager *pager, struct transport_spins *ret)
{
	*ret = (struct transport_spins){0};
	if (pager->peers)
		page_peers_spins(pager->peers, ret);
}
