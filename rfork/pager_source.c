/* The sources of a pager's seeds: an ordered list that changes while it is used. A read remembers
 * which ones have failed it, so that one that was added since is tried too. */
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert(PAGER_SOURCES_MAX <= 32, "pager_slot.tried has a bit for each");

static void source_on_lost(struct loop_task *task) /* control */
{
	struct pager_source *source = container_of(task, struct pager_source, lost_task);
	struct pager_seed *seed = source->seed;
	seed->nsources--;
	if (!seed->pager->gone && !seed->gone && seed->handler && seed->handler->on_source_lost)
		seed->handler->on_source_lost(seed->user, source->name, &source->err);
}

static void source_on_free(struct loop_task *task) /* control */
{
	free(container_of(task, struct pager_source, free_task));
}

static void source_destroy(struct pager_source *source)
{
	if (source->source)
		source->source->ops->destroy(steal_ptr(&source->source));
}

/* lost, and nobody reads from it: it goes, after control was told that it is lost */
static void source_retire(struct pager_source *source)
{
	struct pager_seed *seed = source->seed;
	if (!source->lost || source->reads > 0 || seed->pager->closing)
		return;
	source_destroy(source);
	seed->indexes &= ~(1u << source->index);
	list_remove(&source->link);
	pager_post_control(seed->pager, &source->free_task, source_on_free);
}

static void source_tell_lost(struct pager_source *source)
{
	source->lost = true;
	pager_post_control(source->seed->pager, &source->lost_task, source_on_lost);
}

void pager_source_set_lost(struct pager_source *source, const struct ramet_err *err)
{
	if (source->lost)
		return;
	err_copy(&source->err, err);
	source_tell_lost(source);
}

void pager_source_done(struct pager_source *source)
{
	source->reads--;
	source_retire(source);
}

/* by rank; but one that connects yet stands behind those that have served */
struct pager_source *pager_source_next(const struct pager_slot *slot)
{
	struct pager_source *first = NULL;
	list_for_each (source, &slot->seed->sources, struct pager_source, link) {
		if (source->lost || slot->tried >> source->index & 1)
			continue;
		const struct page_source_ops *ops = source->source->ops;
		bool ready = !ops->ready || ops->ready(source->source);
		if (ready && (!first || source->proven))
			return source;
		first = first ? first : source;
	}
	return first;
}

/* behind those of its rank; nobody has tried it, whoever had its index before */
static void source_insert(struct pager_source *source)
{
	struct pager_seed *seed = source->seed;
	struct pager *pager = seed->pager;
	struct list *after = &seed->sources;
	list_for_each (other, &seed->sources, struct pager_source, link)
		if (other->rank <= source->rank)
			after = &other->link;
	list_insert(after, &source->link);
	source->index = (unsigned)__builtin_ctz(~seed->indexes);
	seed->indexes |= 1u << source->index;
	for (unsigned i = 0; i < pager->nslots; i++)
		if (pager->slots[i].seed == seed)
			pager->slots[i].tried &= ~(1u << source->index);
}

static void source_on_add(struct loop_task *task)
{
	struct pager_source *source = container_of(task, struct pager_source, add_task);
	struct pager_seed *seed = source->seed;
	struct page_peers *peers = seed->pager->peers;
	if (seed->removed ||
		seed->indexes == UINT32_MAX) { /* those that are lost are not gone yet */
		err_set(&source->err, RAMET_EAGAIN, "pages from %s: not now", source->name);
		source_destroy(source);
		source_tell_lost(source);
		pager_post_control(seed->pager, &source->free_task, source_on_free);
		return;
	}
	source_insert(source);
	int rc = 0;
	if (!source->source && peers)
		rc = page_source_peer_create(peers, &source->spec, &source->source, &source->err);
	else if (!source->source)
		rc = err_set(&source->err, RAMET_ENOTSUP,
			"pages from %s: the pager has no transport", source->name);
	if (rc < 0) {
		source_tell_lost(source);
		source_retire(source);
	}
	seed->starving = false;
	pager_slots_starved(seed, false);
	pager_bulks_run(seed->pager);
}

static int source_add(struct pager_seed *seed, struct pager_source *source, struct ramet_err *err)
{
	if (seed->nsources == PAGER_SOURCES_MAX)
		return err_set(err, RAMET_ELIMIT, "seed with more than %u sources of pages",
			PAGER_SOURCES_MAX);
	seed->nsources++;
	source->seed = seed;
	pager_post(seed->pager, &source->add_task, source_on_add);
	return 0;
}

int pager_seed_add_peer(
	struct pager_seed *seed, const struct page_peer_spec *spec, struct ramet_err *err)
{
	if (spec->token_len > sizeof(spec->token))
		return err_set(err, RAMET_EINVAL, "token of %zu bytes", spec->token_len);
	auto_free struct pager_source *source = calloc(1, sizeof(*source));
	if (!source)
		return err_nomem(err);
	source->spec = *spec;
	source->rank = spec->rank;
	source->spec.addr[sizeof(spec->addr) - 1] = '\0';
	snprintf(source->name, sizeof(source->name), "%s", source->spec.addr);
	int rc = source_add(seed, source, err);
	if (rc == 0)
		steal_ptr(&source);
	return rc;
}

int pager_seed_add_source(
	struct pager_seed *seed, struct page_source *page_source, struct ramet_err *err)
{
	auto_free struct pager_source *source = calloc(1, sizeof(*source));
	if (!source)
		return err_nomem(err);
	source->source = page_source;
	source->rank = page_source->rank;
	snprintf(source->name, sizeof(source->name), "%s", page_source->name);
	int rc = source_add(seed, source, err);
	if (rc == 0)
		steal_ptr(&source);
	return rc;
}

void pager_sources_close(struct pager_seed *seed)
{
	list_for_each (source, &seed->sources, struct pager_source, link)
		source_destroy(source);
}

void pager_sources_free(struct pager_seed *seed)
{
	list_for_each_safe (source, &seed->sources, struct pager_source, link)
		free(source);
}

/* --- when none is left --- */

struct give_up {
	struct loop_task task;
	struct pager_seed *seed;
};

static void seed_on_give_up(struct loop_task *task)
{
	struct give_up *give_up = container_of(task, struct give_up, task);
	struct pager_seed *seed = give_up->seed;
	free(give_up);
	seed->starving = false;
	pager_slots_starved(seed, true);
}

void pager_seed_give_up(struct pager_seed *seed)
{
	struct give_up *give_up = malloc(sizeof(*give_up));
	if (!give_up)
		return; /* they wait for the next time */
	give_up->seed = seed;
	pager_post(seed->pager, &give_up->task, seed_on_give_up);
}
