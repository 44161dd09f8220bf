/* Where the pages of a copy come from, as it changes: the seed's own node first, then nodes that
 * hold a complete copy, then messages to a node that can be reached in no other way. When one is
 * lost, or none can give a page, the nodes that say they hold the seed are asked (seed.source); if
 * nobody has it, the pager gives up, and a copy that cannot be completed any more goes. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/data_paths.h"
#include "cluster/node.h"
#include "cluster/page_source_bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_NS (3000 * NSEC_PER_MSEC) /* of who lives; who is dead answers at once */
#define LOOKS_MAX 4 /* within LOOKS_NS: sources that can be had but do not work */
#define LOOKS_NS (5 * NSEC_PER_SEC)
#define SUPPLIERS_WANTED 2u /* nodes */
#define ASKS_MAX 4

/* a source that the pager has */
struct supplier {
	struct list link;
	uint32_t node;
	bool bus;
	char name[TRANSPORT_ADDR_MAX]; /* as the pager names it */
	char provider[PAGE_PEERS_PROVIDER_MAX];
};

struct source_ask {
	struct list link;
	struct seed *seed;
	uint32_t node;
	uint64_t bus_id;
};

static bool has_supplier(const struct seed *seed, uint32_t node, bool bus)
{
	list_for_each (s, &seed->suppliers, struct supplier, link)
		if (s->node == node && s->bus == bus)
			return true;
	return false;
}

static bool is_asked(const struct seed *seed, uint32_t node)
{
	list_for_each (ask, &seed->asks, struct source_ask, link)
		if (ask->node == node)
			return true;
	return false;
}

static struct supplier *supplier_new(uint32_t node, bool bus, const char *name)
{
	struct supplier *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->node = node;
	s->bus = bus;
	snprintf(s->name, sizeof(s->name), "%s", name);
	list_init(&s->link);
	return s;
}

static int add_bus(struct seed *seed, uint32_t node, struct ramet_err *err)
{
	struct seeds *seeds = seed->seeds;
	CLEANUP(buf_fini) struct buf b = {0};
	struct page_source *source = NULL;
	seed_key_request(seed, 1, &b);
	if (b.oom)
		return err_nomem(err);
	const struct page_source_bus spec = {.node = seeds->node,
		.loop = loop_thread_loop(seeds->pager_thread),
		.peer = node,
		.request = &b,
		.rank = SEED_RANK_BUS};
	int rc = page_source_bus_create(&spec, &source, err);
	if (rc < 0)
		return rc;
	struct supplier *s = supplier_new(node, true, source->name);
	rc = s ? pager_seed_add_source(seed->pager, source, err) : err_nomem(err);
	if (rc < 0) {
		source->ops->destroy(source);
		free(s);
		return rc;
	}
	list_append(&seed->suppliers, &s->link);
	return 0;
}

int seed_sources_add(
	struct seed *seed, uint32_t node, const struct page_peer_spec *spec, struct ramet_err *err)
{
	struct supplier *s = supplier_new(node, false, spec->addr);
	int rc = s ? pager_seed_add_peer(seed->pager, spec, err) : err_nomem(err);
	if (rc < 0) {
		free(s);
		return rc;
	}
	snprintf(s->provider, sizeof(s->provider), "%s", spec->provider);
	list_append(&seed->suppliers, &s->link);
	data_paths_taken(seed->seeds->node->paths, node, DATA_MEMORY, spec->provider);
	seed->starved = false; /* the pager tells again, if that does not help */
	return has_supplier(seed, node, true) ? 0 : add_bus(seed, node, err);
}

void seed_sources_fini(struct seed *seed)
{
	list_for_each_safe (ask, &seed->asks, struct source_ask, link) {
		bus_forget(seed->seeds->node->bus, ask->bus_id);
		free(ask);
	}
	list_for_each_safe (s, &seed->suppliers, struct supplier, link)
		free(s);
	list_init(&seed->asks);
	list_init(&seed->suppliers);
}

/* --- looking for more --- */

static bool look(struct seed *seed, unsigned nodes);

/* nobody could be added, or who was does not help */
static void nobody_left(struct seed *seed)
{
	if (seed->starved && seed->pager)
		pager_seed_give_up(seed->pager);
	seed->starved = false;
	if (!list_empty(&seed->suppliers) || image_complete(seed->image))
		return;
	log_warn("seed.no_source", "version=%.12s", seed->app->id);
	seed->source_lost = true;
	/* what is not here cannot be had any more: the next call finds another seed, or starts cold
	 */
	if (seed->state == SEED_READY)
		seed_drop(seed);
}

static void look_over(struct seed *seed)
{
	bool helped = seed->found > 0 && !seed->starved;
	seed->found = 0;
	if (!helped && !look(seed, ASKS_MAX))
		nobody_left(seed);
}

static void on_source(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct source_ask *ask = user;
	struct seed *seed = ask->seed;
	uint32_t node = ask->node;
	struct page_peer_spec spec;
	struct ramet_err err = {0};
	list_remove(&ask->link);
	free(ask);
	int rc = error ? error->code : seed_answer_parse(body, &spec, &err);
	if (error)
		err_copy(&err, error);
	if (rc == 0) {
		spec.tenant = seed->app->uid;
		rc = seed_sources_add(seed, node, &spec, &err);
	}
	if (rc == 0) {
		log_info("seed.source", "version=%.12s node=%u", seed->app->id, node);
		seed->found++;
	} else {
		log_info("seed.source", "version=%.12s node=%u err=%s msg=\"%s\"", seed->app->id,
			node, err_name(err.code), err.msg);
	}
	if (list_empty(&seed->asks))
		look_over(seed);
}

static int ask_node(struct seed *seed, uint32_t node, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct source_ask *ask = calloc(1, sizeof(*ask));
	if (!ask)
		return err_nomem(err);
	ask->seed = seed;
	ask->node = node;
	seed_source_request(seed, node, &b);
	int rc = wire_end(&b, err);
	if (rc == 0)
		rc = bus_call(seed->seeds->node->bus, node, "seed.source", &b, ASK_NS, on_source,
			ask, &ask->bus_id, err);
	if (rc < 0) {
		free(ask);
		return rc;
	}
	list_append(&seed->asks, &ask->link);
	return 0;
}

static bool can_ask(const struct seed *seed, const struct member *m)
{
	const struct holding *holding = m->alive ? member_holds(m, seed->app->id) : NULL;
	return holding && seed_key_same(&holding->key, &seed->key) &&
		!has_supplier(seed, m->info.node, false) && !is_asked(seed, m->info.node);
}

/* asks so many nodes that are no source yet; false: there is none, or it was tried too often */
static bool look(struct seed *seed, unsigned nodes)
{
	const struct members *members = seed->seeds->node->members;
	uint64_t now = now_ns();
	if (now - seed->looks_ns > LOOKS_NS) {
		seed->looks = 0;
		seed->looks_ns = now;
	}
	if (!members || seed->looks == LOOKS_MAX)
		return false;
	unsigned asked = 0;
	for (unsigned i = 0; i < members_count(members) && asked < nodes; i++) {
		const struct member *m = members_at(members, i);
		if (can_ask(seed, m) && ask_node(seed, m->info.node, NULL) == 0)
			asked++;
	}
	seed->looks += asked > 0;
	return asked > 0;
}

/* --- what the pager tells --- */

static void on_revoked(void *user, const struct ramet_err *err)
{
	struct seed *seed = user;
	(void)err;
	if (seed->state == SEED_DROPPED)
		return; /* it was revoked here */
	log_info("seed.revoked", "version=%.12s node=%u", seed->app->id, seed->source_node);
	if (seed->state == SEED_READY)
		seed_revoke(seed);
}

static void on_source_lost(void *user, const char *name, const struct ramet_err *err)
{
	struct seed *seed = user;
	list_for_each_safe (s, &seed->suppliers, struct supplier, link) {
		if (strcmp(s->name, name) == 0) {
			data_paths_lost(
				seed->seeds->node->paths, s->node, DATA_MEMORY, s->provider, err);
			list_remove(&s->link);
			free(s);
			break;
		}
	}
	log_warn("seed.source_lost", "version=%.12s source=\"%s\" err=%s msg=\"%s\"", seed->app->id,
		name, err_name(err->code), err->msg);
	if (seed->state != SEED_DROPPED && !image_complete(seed->image) &&
		list_empty(&seed->asks) && !look(seed, ASKS_MAX))
		nobody_left(seed);
}

static void on_starved(void *user)
{
	struct seed *seed = user;
	seed->starved = true;
	if (list_empty(&seed->asks) && !look(seed, ASKS_MAX))
		nobody_left(seed);
}

const struct pager_seed_handler seed_sources_handler = {
	.on_revoked = on_revoked, .on_source_lost = on_source_lost, .on_starved = on_starved};

/* --- what others announce --- */

static unsigned count_nodes(const struct seed *seed)
{
	unsigned n = 0;
	list_for_each (s, &seed->suppliers, struct supplier, link)
		n += !s->bus;
	return n;
}

void seeds_on_holdings(struct seeds *seeds)
{
	list_for_each (seed, &seeds->list, struct seed, link) {
		unsigned have = seed->pager ? count_nodes(seed) : SUPPLIERS_WANTED;
		if (have < SUPPLIERS_WANTED && seed->image && !image_complete(seed->image) &&
			list_empty(&seed->asks))
			(void)look(seed, SUPPLIERS_WANTED - have);
	}
}
