/* A seed from a peer: its descriptor over the bus, an empty image, a source for the pager; pages
 * come when they are needed, the working set at once. The app's files are fetched side by side. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bundle.h"
#include "cluster/bus.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct fetch {
	struct seed *seed;
	uint32_t node;
	uint64_t bus_id;
	uint64_t asked_ns;
	struct bundle_fetch *bundle;
	bool have_files, have_seed;
	bool refused; /* there is no room for it, wherever it comes from */
	struct loop_timer timer;
};

/* what a peer answered; pointers into its message */
struct answer {
	struct page_peer_spec spec;
	const void *descriptor;
	size_t descriptor_len;
	const void *set;
	size_t set_len;
	uint64_t mono_ns, boot_ns, software;
	char boot_id[SEEDS_BOOT_ID_MAX];
};

void fetch_abandon(struct fetch *fetch)
{
	if (!fetch)
		return;
	loop_timer_cancel(&fetch->timer);
	if (fetch->bus_id != 0)
		bus_forget(fetch->seed->seeds->node->bus, fetch->bus_id);
	bundle_fetch_forget(fetch->bundle);
	free(fetch);
}

/* the next source, or a cold start */
static void fetch_failed(struct fetch *fetch, const struct ramet_err *err)
{
	struct seed *seed = fetch->seed;
	bool refused = fetch->refused;
	log_warn("seed.fetch", "version=%.12s node=%u err=%s msg=\"%s\"", seed->app->id,
		fetch->node, err_name(err->code), err->msg);
	seed->fetch = NULL;
	fetch_abandon(fetch);
	seed_sources_fini(seed);
	if (seed->pager)
		pager_seed_remove(steal_ptr(&seed->pager));
	working_set_destroy(steal_ptr(&seed->set));
	image_put(steal_ptr(&seed->image));
	seed_manifest_destroy(steal_ptr(&seed->manifest));
	seed->software = SOFTWARE_UNKNOWN;
	seed->mono_offset_ns = seed->boot_offset_ns = 0;
	seed->source_node = 0;
	seed->source_lost = false;
	if (refused) {
		struct call_error error = {.err = *err, .node = seed->seeds->node->config.node};
		seed_failed(seed, &error);
	} else {
		seed_begin(seed);
	}
}

static void fetch_part_done(struct fetch *fetch)
{
	struct seed *seed = fetch->seed;
	if (!fetch->have_files || !fetch->have_seed)
		return;
	if (seed->source_lost && !image_complete(seed->image)) {
		struct ramet_err err = {0};
		err_set(&err, RAMET_EPEER, "node %u went away", fetch->node);
		fetch_failed(fetch, &err);
		return;
	}
	log_info("seed.fetched", "app=%s version=%.12s node=%u pages=%llu us=%llu", seed->app->app,
		seed->app->id, fetch->node, (unsigned long long)seed->image->npages,
		(unsigned long long)((now_ns() - fetch->asked_ns) / NSEC_PER_USEC));
	seed->fetch = NULL;
	fetch_abandon(fetch);
	seed_ready(seed, NULL);
}

/* --- the answer --- */

static int parse_answer(const struct wire_value *body, struct answer *a, struct ramet_err *err)
{
	int rc = wire_get_bin(body, "descriptor", &a->descriptor, &a->descriptor_len, err);
	if (rc == 0 && a->descriptor_len > DESCRIPTOR_MAX_BYTES)
		rc = err_set(err, RAMET_EPROTO, "descriptor: %zu bytes", a->descriptor_len);
	if (rc == 0)
		rc = seed_answer_parse(body, &a->spec, err);
	if (rc == 0)
		rc = wire_get_uint(body, "mono", INT64_MAX, &a->mono_ns, err);
	if (rc == 0)
		rc = wire_get_uint(body, "boot", INT64_MAX, &a->boot_ns, err);
	if (rc == 0)
		rc = wire_get_str(body, "boot_id", a->boot_id, sizeof(a->boot_id), err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "software", UINT64_MAX, 0, &a->software, err);
	if (rc == 0 && wire_has(body, "set"))
		rc = wire_get_bin(body, "set", &a->set, &a->set_len, err);
	return rc;
}

/* that it is the one that was asked for */
static int check_seed(const struct seed *seed, struct ramet_err *err)
{
	const struct descriptor_header *header = seed->image->desc.header;
	if (header->epoch == seed->key.epoch &&
		memcmp(header->seed_id, seed->key.seed_id, SEED_ID_BYTES) == 0)
		return 0;
	return err_set(err, RAMET_EREVOKED, "another seed came than was asked for");
}

static int check_class(const struct seeds *seeds, const struct image *image, struct ramet_err *err)
{
	const struct descriptor_header *header = image->desc.header;
	const struct topo *ours = &seeds->node->topo;
	char theirs[sizeof(header->class_text) + 1];
	char why[200];
	if (header->class_id == ours->class_id)
		return 0;
	snprintf(theirs, sizeof(theirs), "%.*s", (int)sizeof(header->class_text),
		header->class_text);
	topo_class_diff(ours, theirs, why, sizeof(why));
	return err_set(err, RAMET_ECLASS, "the seed cannot be forked on node %u: %s",
		seeds->node->config.node, why);
}

/* The seed's clocks go on here where they are at its own node. On one kernel they are the same
 * clocks. */
static void set_clocks(struct fetch *fetch, const struct answer *a)
{
	struct seed *seed = fetch->seed;
	const struct seeds *seeds = seed->seeds;
	snprintf(seed->boot_id, sizeof(seed->boot_id), "%s", a->boot_id);
	if (strcmp(a->boot_id, seeds->boot_id) == 0)
		return;
	if (!seeds->timens) {
		log_warn("seed.clocks",
			"version=%.12s msg=\"no time namespaces here: clocks of clones jump\"",
			seed->app->id);
		return;
	}
	uint64_t way = (now_ns() - fetch->asked_ns) / 2;
	seed->mono_offset_ns = (int64_t)(a->mono_ns + way - clock_ns(CLOCK_MONOTONIC));
	seed->boot_offset_ns = (int64_t)(a->boot_ns + way - clock_ns(CLOCK_BOOTTIME));
}

static void on_all_fetched(void *user, const struct ramet_err *err)
{
	struct fetch *fetch = user;
	loop_timer_cancel(&fetch->timer);
	if (err->code < 0) {
		fetch_failed(fetch, err);
		return;
	}
	fetch->have_seed = true;
	fetch_part_done(fetch);
}

static void on_prefetched(void *user, const struct ramet_err *err)
{
	(void)user;
	if (err->code < 0 && err->code != RAMET_ECLOSED)
		log_err(LOG_INFO, "seed.prefetch",
			err); /* a hint only: faults fetch what is missing */
}

static void fetch_too_slow(struct loop_timer *timer)
{
	struct fetch *fetch = container_of(timer, struct fetch, timer);
	struct ramet_err err = {0};
	err_set(&err, RAMET_ETIMEOUT, "the whole image did not arrive within %d s",
		SEEDS_FETCH_ALL_MS / 1000);
	fetch_failed(fetch, &err);
}

/* without userfaultfd everything must be here before the first clone runs */
static int fetch_all(struct fetch *fetch, struct ramet_err *err)
{
	struct seed *seed = fetch->seed;
	int rc = loop_timer_set(seed->seeds->node->loop, &fetch->timer,
		now_ns() + SEEDS_FETCH_ALL_MS * NSEC_PER_MSEC, fetch_too_slow);
	return rc < 0 ? err_nomem(err) : pager_fetch_all(seed->pager, on_all_fetched, fetch, err);
}

/* what this node has of the seed's base, for another seed of its tenant, or NULL; header: not yet
 * checked */
static struct layer *find_layer(const struct seed *seed, const struct descriptor_header *header)
{
	const struct descriptor_view view = {.header = header};
	list_for_each (other, &seed->seeds->list, struct seed, link)
		if (other->app->uid == seed->app->uid && other->image && other->image->layer &&
			layer_matches(other->image->layer, &view))
			return other->image->layer;
	return NULL;
}

static int make_image(struct seed *seed, const struct answer *a, struct ramet_err *err)
{
	struct descriptor_header header = {0};
	memcpy(&header, a->descriptor, MIN(sizeof(header), a->descriptor_len));
	struct layer *layer = header.base_pages > 0 ? find_layer(seed, &header) : NULL;
	if (!layer)
		return image_create(a->descriptor, a->descriptor_len, &seed->image, err);
	int rc = image_create_on(layer, a->descriptor, a->descriptor_len, &seed->image, err);
	if (rc == RAMET_EPROTO) /* if it is no worse than another view of the base */
		return image_create(a->descriptor, a->descriptor_len, &seed->image, err);
	if (rc == 0)
		log_debug("seed.shares", "version=%.12s has=%llu of=%llu", seed->app->id,
			(unsigned long long)atomic_load(&seed->image->npresent),
			(unsigned long long)seed->image->npages);
	return rc;
}

static int take_seed(struct fetch *fetch, struct answer *a, struct ramet_err *err)
{
	struct seed *seed = fetch->seed;
	struct seeds *seeds = seed->seeds;
	int rc = make_image(seed, a, err);
	if (rc == 0)
		rc = check_seed(seed, err);
	if (rc == 0)
		rc = check_class(seeds, seed->image, err);
	if (rc < 0)
		return rc;
	rc = seed_admit(seed, seed->image, err);
	fetch->refused = rc < 0;
	if (rc < 0)
		return rc;
	seed->source_node = fetch->node;
	seed->software_key = a->software;
	seed_manifest_fetch(seed);
	set_clocks(fetch, a);
	a->spec.tenant = seed->app->uid;
	rc = pager_seed_add(
		seeds->pager, seed->image, &seed_sources_handler, seed, &seed->pager, err);
	if (rc == 0)
		rc = seed_sources_add(seed, fetch->node, &a->spec, err);
	if (rc == 0 && a->set)
		rc = working_set_decode(a->set, a->set_len, seed->image->npages, &seed->set, err);
	if (rc == 0 && seed->set)
		rc = pager_prefetch(seed->pager, seed->set,
			a->spec.pack_pages == working_set_pages(seed->set), on_prefetched, seed,
			err);
	if (rc < 0)
		return rc;
	if (seeds->eager && !image_complete(seed->image))
		return fetch_all(fetch, err);
	fetch->have_seed = true;
	return 0;
}

static void on_answer(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct fetch *fetch = user;
	struct answer a = {0};
	struct ramet_err err = {0};
	fetch->bus_id = 0;
	if (error) {
		fetch_failed(fetch, error);
		return;
	}
	int rc = parse_answer(body, &a, &err);
	if (rc == 0)
		rc = take_seed(fetch, &a, &err);
	if (rc < 0)
		fetch_failed(fetch, &err);
	else
		fetch_part_done(fetch);
}

static void on_files(void *user, const struct ramet_err *error)
{
	struct fetch *fetch = user;
	fetch->bundle = NULL;
	if (error) {
		fetch_failed(fetch, error);
		return;
	}
	fetch->have_files = true;
	fetch_part_done(fetch);
}

int fetch_begin(struct seed *seed, uint32_t source, struct ramet_err *err)
{
	struct node *node = seed->seeds->node;
	CLEANUP(buf_fini) struct buf b = {0};
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	if (!fetch)
		return err_nomem(err);
	fetch->seed = seed;
	fetch->node = source;
	fetch->asked_ns = now_ns();
	seed->fetch = fetch;
	const struct member *member = members_find(node->members, source);
	const struct holding *holding = member ? member_holds(member, seed->app->id) : NULL;
	if (holding)
		seed->key = holding->key;
	seed_source_request(seed, source, &b);
	int rc = wire_end(&b, err);
	if (rc == 0)
		rc = bus_call(node->bus, source, "seed.get", &b, SEEDS_PEER_MS * NSEC_PER_MSEC,
			on_answer, fetch, &fetch->bus_id, err);
	if (rc == 0)
		rc = bundles_fetch(node->bundles, seed->app->id, &source, 1, on_files, fetch,
			&fetch->bundle, err);
	if (rc < 0) {
		seed->fetch = NULL;
		fetch_abandon(fetch);
	}
	return rc;
}
