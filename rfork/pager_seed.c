/* Seeds of a pager: adding and removing them, and revocation. Their sources: pager_source.c. */
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

#include <stdlib.h>

/* --- revocation --- */

static void seed_on_revoked(struct loop_task *task) /* control */
{
	struct pager_seed *seed = container_of(task, struct pager_seed, revoked_task);
	if (!seed->pager->gone && !seed->gone && seed->handler && seed->handler->on_revoked)
		seed->handler->on_revoked(seed->user, &seed->revoked_err);
}

void pager_seed_set_revoked(struct pager_seed *seed, const struct ramet_err *err)
{
	if (seed->revoked || seed->removed)
		return;
	seed->revoked = true;
	err_copy(&seed->revoked_err, err);
	pager_waiters_fail(seed, err);
	pager_bulks_fail(seed, err);
	pager_slots_starved(seed, true);
	pager_post_control(seed->pager, &seed->revoked_task, seed_on_revoked);
}

static void seed_on_revoke(struct loop_task *task)
{
	struct pager_seed *seed = container_of(task, struct pager_seed, revoke_task);
	struct ramet_err err = {0};
	err_set(&err, RAMET_EREVOKED, "the seed was revoked");
	pager_seed_set_revoked(seed, &err);
	pager_bulks_run(seed->pager);
}

void pager_seed_revoke(struct pager_seed *seed)
{
	if (seed->revoke_asked)
		return;
	seed->revoke_asked = true;
	pager_post(seed->pager, &seed->revoke_task, seed_on_revoke);
}

/* --- life --- */

void pager_seed_free(struct pager_seed *seed)
{
	list_remove(&seed->link);
	pager_sources_free(seed);
	list_for_each_safe (child, &seed->children, struct pager_child, link)
		free(child);
	image_put(seed->image);
	free(seed->outstanding);
	free(seed->wanted);
	free(seed->log);
	free(seed);
}

static void seed_on_free(struct loop_task *task) /* control */
{
	pager_seed_free(container_of(task, struct pager_seed, free_task));
}

void pager_seed_close(struct pager_seed *seed)
{
	seed->removed = true;
	list_for_each (child, &seed->children, struct pager_child, link)
		pager_child_close(child);
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECANCELED, "the seed was removed");
	pager_bulks_fail(seed, &err);
	pager_slots_starved(seed, true);
}

void pager_seed_release(struct pager_seed *seed)
{
	pager_sources_close(seed);
	if (seed->pager->closing)
		return; /* goes with the pager */
	list_remove(&seed->link);
	pager_post_control(seed->pager, &seed->free_task, seed_on_free);
}

static void seed_on_add(struct loop_task *task)
{
	struct pager_seed *seed = container_of(task, struct pager_seed, add_task);
	list_append(&seed->pager->seeds, &seed->link);
}

static void seed_on_remove(struct loop_task *task)
{
	struct pager_seed *seed = container_of(task, struct pager_seed, remove_task);
	seed->reads++; /* it stays until the end of this function */
	pager_seed_close(seed);
	pager_bulks_run(seed->pager); /* those that failed now have ended: they are the seed's */
	if (--seed->reads == 0)
		pager_seed_release(seed);
}

int pager_seed_add(struct pager *pager, struct image *image,
	const struct pager_seed_handler *handler, void *user, struct pager_seed **ret_seed,
	struct ramet_err *err)
{
	auto_free struct pager_seed *seed = calloc(1, sizeof(*seed));
	if (!seed)
		return err_nomem(err);
	list_init(&seed->link);
	list_init(&seed->sources);
	list_init(&seed->children);
	list_init(&seed->starved);
	for (unsigned i = 0; i < PAGER_BUCKETS; i++)
		list_init(&seed->buckets[i]);
	seed->outstanding = calloc(image->npages / 64 + 1, sizeof(*seed->outstanding));
	if (!seed->outstanding)
		return err_nomem(err);
	seed->pager = pager;
	seed->image = image_get(image);
	seed->handler = handler;
	seed->user = user;
	pager_post(pager, &seed->add_task, seed_on_add);
	*ret_seed = steal_ptr(&seed);
	return 0;
}

void pager_seed_remove(struct pager_seed *seed)
{
	seed->gone = true;
	pager_post(seed->pager, &seed->remove_task, seed_on_remove);
}

static void copy_stats(const struct pager_counters *counters, struct pager_stats *ret_stats)
{
	uint64_t values[STAT_COUNT];
	for (unsigned i = 0; i < STAT_COUNT; i++)
		values[i] = atomic_load_explicit(&counters->values[i], memory_order_relaxed);
	*ret_stats = (struct pager_stats){
		.events = values[STAT_EVENTS],
		.faults = values[STAT_FAULTS],
		.zero_pages = values[STAT_ZEROS],
		.fetched_pages = values[STAT_FETCHED],
		.fetched_bytes = values[STAT_FETCHED] * RFORK_PAGE,
		.ahead_pages = values[STAT_AHEAD],
		.failed_reads = values[STAT_FAILED_READS],
		.forks = values[STAT_FORKS],
	};
}

void pager_seed_stats(const struct pager_seed *seed, struct pager_stats *ret_stats)
{
	copy_stats(&seed->counters, ret_stats);
}

void pager_child_stats(const struct pager_child *child, struct pager_stats *ret_stats)
{
	copy_stats(&child->counters, ret_stats);
}
