/* The table of seeds: who wants one, whence it comes, what others are told. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "cluster/calls.h"
#include "cluster/file_transfer.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/seeds_base.h"
#include "cluster/segments.h"
#include "cluster/view_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct seed *seeds_find(const struct seeds *seeds, const char *version)
{
	list_for_each (seed, &seeds->list, struct seed, link)
		if (strcmp(seed->app->id, version) == 0)
			return seed;
	return NULL;
}

static struct seed *seed_new(struct seeds *seeds, struct app_version *app)
{
	struct seed *seed = calloc(1, sizeof(*seed));
	if (!seed)
		return NULL;
	seed->seeds = seeds;
	seed->app = app_version_get(app);
	struct list *lists[] = {&seed->wants, &seed->makers, &seed->packs, &seed->templates,
		&seed->children, &seed->recorded, &seed->suppliers, &seed->asks};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_init(lists[i]);
	list_append(&seeds->list, &seed->link);
	return seed;
}

static void seed_free(struct seed *seed)
{
	loop_timer_cancel(&seed->retire_timer);
	loop_timer_cancel(&seed->drain_timer);
	seed_view_destroy(seed->view);
	seed_manifest_destroy(seed->manifest);
	cold_abandon(seed->cold);
	fetch_abandon(seed->fetch);
	seed_unexpose(seed);
	seed_sources_fini(seed);
	if (seed->pager)
		pager_seed_remove(seed->pager);
	list_for_each_safe (r, &seed->recorded, struct recorded_function, link)
		free(r);
	working_set_destroy(seed->set);
	working_set_destroy(seed->touched);
	image_put(seed->image);
	base_put(seed->base);
	app_version_put(seed->app);
	list_remove(&seed->link);
	free(seed);
}

void seed_release(struct seed *seed)
{
	if (seed->state == SEED_DROPPED && list_empty(&seed->children))
		seed_free(seed);
}

void seed_failed(struct seed *seed, const struct call_error *error)
{
	log_warn("seed.failed", "app=%s version=%.12s err=%s msg=\"%s\"", seed->app->app,
		seed->app->id, err_name(error->err.code), error->err.msg);
	while (!list_empty(&seed->wants))
		want_fail(list_first(&seed->wants, struct seed_want, link), error);
	while (!list_empty(&seed->makers))
		making_over(list_first(&seed->makers, struct seed_making, link), error);
	seed_free(seed);
}

void seed_makers_done(struct seed *seed)
{
	while (!list_empty(&seed->makers)) {
		struct seed_making *making = list_first(&seed->makers, struct seed_making, link);
		making->start = seed->origin ? seed->made.start : START_WARM;
		making_over(making, NULL);
	}
}

void seed_ready(struct seed *seed, struct instance *host)
{
	seed->state = SEED_READY;
	if (image_complete(seed->image))
		seed_expose(seed);
	/* a deployment is done when peers can read its seed: nobody starts it cold again then */
	if (!seed->segment || seed->exposed)
		seed_makers_done(seed);
	struct seed_grant cold = {.kind = seed->made.start, .host = host};
	struct seed_want *first = NULL;
	if (host && !list_empty(&seed->wants)) {
		first = list_first(&seed->wants, struct seed_want, link);
		list_remove(&first->link);
	}
	while (!list_empty(&seed->wants)) {
		struct seed_want *want = list_first(&seed->wants, struct seed_want, link);
		want->remote = !seed->origin;
		template_want(want);
	}
	struct ramet_err err = {0};
	if (first) {
		first->fn(first->user, &cold, &first->error);
		free(first);
	} else if (host && calls_adopt(seed->seeds->node->calls, host, &err) < 0) {
		log_err(LOG_WARN, "host.lost", &err);
		instance_end(host);
	}
	calls_touch(seed->seeds->node->calls);
}

/* --- whence --- */

static bool tried(const struct seed *seed, uint32_t node)
{
	for (unsigned i = 0; i < seed->ntried; i++)
		if (seed->tried[i] == node)
			return true;
	return seed->ntried == ARRAY_LEN(seed->tried);
}

/* the least busy peer that holds the seed and has not failed yet; 0: none */
static uint32_t source_of(const struct seed *seed)
{
	const struct members *members = seed->seeds->node->members;
	const struct member *best = NULL;
	for (unsigned i = 0; i < members_count(members); i++) {
		const struct member *m = members_at(members, i);
		if (!m->alive || tried(seed, m->info.node) || !member_holds(m, seed->app->id))
			continue;
		if (!best || m->load.busy < best->load.busy)
			best = m;
	}
	return best ? best->info.node : 0;
}

void seed_begin(struct seed *seed)
{
	struct call_error error = {0};
	uint32_t source = source_of(seed);
	while (source != 0) {
		seed->state = SEED_FETCHING;
		seed->tried[seed->ntried++] = source;
		if (fetch_begin(seed, source, &error.err) == 0)
			return;
		source = source_of(seed);
	}
	seed->state = SEED_MAKING;
	if (cold_begin(seed, &error.err) < 0)
		seed_failed(seed, &error);
}

int seeds_want(struct seeds *seeds, struct app_version *app, const char *function,
	seed_grant_fn *fn, void *user, struct seed_want **ret_want, struct ramet_err *err)
{
	struct seed_want *want = calloc(1, sizeof(*want));
	if (!want)
		return err_nomem(err);
	want->seeds = seeds;
	want->fn = fn;
	want->user = user;
	list_init(&want->link);
	snprintf(want->function, sizeof(want->function), "%s", function);
	struct seed *seed = seeds_find(seeds, app->id);
	bool begin = !seed;
	if (begin)
		seed = seed_new(seeds, app);
	if (!seed) {
		free(want);
		return err_nomem(err);
	}
	want->seed = seed;
	*ret_want = want;
	if (seed->state == SEED_READY) {
		template_want(want);
	} else {
		list_append(&seed->wants, &want->link);
		if (begin)
			seed_begin(seed);
	}
	return 0;
}

int seeds_make(struct seeds *seeds, struct app_version *app,
	void (*progress)(void *user, const char *stage, const char *text),
	void (*done)(void *user, const struct seed_made *made), void *user,
	struct seed_making **ret_making, struct ramet_err *err)
{
	struct seed_making *making = calloc(1, sizeof(*making));
	if (!making)
		return err_nomem(err);
	*making = (struct seed_making){.seeds = seeds,
		.begun_ns = now_ns(),
		.start = START_COLD,
		.progress = progress,
		.done = done,
		.user = user};
	struct seed *seed = seeds_find(seeds, app->id);
	bool begin = !seed;
	if (begin)
		seed = seed_new(seeds, app);
	if (!seed) {
		free(making);
		return err_nomem(err);
	}
	making->seed = seed;
	list_append(&seed->makers, &making->link);
	*ret_making = making;
	seed->retired = false;
	if (seed->state == SEED_READY) {
		making->start = START_WARM;
		making_over(making, NULL);
	} else if (begin) {
		seed_begin(seed);
	}
	return 0;
}

int seeds_make_cancel(struct seed_making *making)
{
	struct seed *seed = making->seed;
	struct call_error error = {0};
	if (!seed || seed->state == SEED_READY || (seed->cold && !cold_can_cancel(seed->cold)))
		return RAMET_EAGAIN;
	err_set(&error.err, RAMET_ECANCELED, "the deployment was cancelled");
	bool alone = list_empty(&seed->wants) && seed->makers.next == seed->makers.prev;
	if (alone)
		seed_failed(seed, &error);
	else
		making_over(making, &error);
	return 0;
}

/* --- what others see --- */

bool seeds_uses(const struct seeds *seeds, const char *version)
{
	return seeds_find(seeds, version) != NULL;
}

bool seeds_have(const struct seeds *seeds, uint32_t tenant, const char *version)
{
	const struct seed *seed = seeds_find(seeds, version);
	return seed && seed->state == SEED_READY && seed->app->uid == tenant;
}

void seeds_publish(struct seeds *seeds)
{
	struct node *node = seeds->node;
	auto_free struct holding *holdings = calloc(seeds_count(seeds) + 1, sizeof(*holdings));
	uint32_t n = 0;
	if (!holdings)
		return;
	list_for_each (seed, &seeds->list, struct seed, link) {
		if (!seed->exposed || seed->retired || n == MEMBER_MAX_HOLDINGS)
			continue;
		struct holding *h = &holdings[n++];
		snprintf(h->version, sizeof(h->version), "%s", seed->app->id);
		h->key = seed->key;
		h->idle = calls_idle(node->calls, seed->app->id);
		h->origin = seed->origin;
	}
	struct ramet_err err = {0};
	if (members_set_holdings(node->members, holdings, n, &err) < 0)
		log_err(LOG_WARN, "seeds.publish", &err);
}

static uint64_t pack_bytes(const struct seed *seed)
{
	return seed->set ? working_set_pages(seed->set) * RFORK_PAGE : 0;
}

static unsigned count_templates(const struct seed *seed)
{
	unsigned n = 0;
	list_for_each (tmpl, &seed->templates, struct seed_template, link)
		n += tmpl->state == TEMPLATE_READY;
	return n;
}

void seeds_each(
	const struct seeds *seeds, void (*fn)(void *user, const struct seed_info *info), void *user)
{
	list_for_each (seed, &seeds->list, struct seed, link) {
		if (seed->state != SEED_READY)
			continue;
		const struct descriptor_header *header = seed->image->desc.header;
		struct seed_info info = {
			.tenant = seed->app->uid,
			.epoch = header->epoch,
			.copy = !seed->origin,
			.source_node = seed->source_node,
			.image_bytes = seed->image->npages * RFORK_PAGE,
			.own_bytes = image_resident(seed->image),
			.cached_bytes = atomic_load(&seed->image->npresent) * RFORK_PAGE,
			.working_set_bytes = pack_bytes(seed),
			.templates = count_templates(seed),
		};
		hex_encode(header->seed_id, SEED_ID_BYTES, info.seed);
		snprintf(info.app, sizeof(info.app), "%s", seed->app->app);
		snprintf(info.version, sizeof(info.version), "%s", seed->app->id);
		snprintf(info.class_text, sizeof(info.class_text), "%s", header->class_text);
		fn(user, &info);
	}
}

unsigned seeds_count(const struct seeds *seeds)
{
	unsigned n = 0;
	list_for_each (seed, &seeds->list, struct seed, link)
		n += seed->state == SEED_READY;
	return n;
}

unsigned seeds_templates(const struct seeds *seeds)
{
	unsigned n = 0;
	list_for_each (seed, &seeds->list, struct seed, link)
		n += count_templates(seed);
	return n;
}

/* whether a seed before this one in the table has its base's pages, too */
static bool shares_layer(const struct seeds *seeds, const struct seed *seed)
{
	list_for_each (other, &seeds->list, struct seed, link) {
		if (other == seed)
			break;
		if (other->image && seed->image->layer && other->image->layer == seed->image->layer)
			return true;
	}
	return false;
}

uint64_t seeds_cache_bytes(const struct seeds *seeds)
{
	uint64_t pages = 0;
	list_for_each (seed, &seeds->list, struct seed, link) {
		if (!seed->image)
			continue;
		uint64_t present = atomic_load(&seed->image->npresent);
		pages += shares_layer(seeds, seed) ? MIN(present, seed->image->nown) : present;
	}
	return pages * RFORK_PAGE;
}

unsigned seed_sources(const struct seed *seed, uint32_t *nodes, unsigned max)
{
	const struct members *members = seed->seeds->node->members;
	unsigned n = 0;
	if (seed->source_node && max > 0)
		nodes[n++] = seed->source_node;
	for (unsigned i = 0; i < members_count(members) && n < max; i++) {
		const struct member *m = members_at(members, i);
		if (m->alive && m->info.node != seed->source_node && member_holds(m, seed->app->id))
			nodes[n++] = m->info.node;
	}
	return n;
}

static bool descriptor_names(
	const struct seed *seed, const uint8_t sha256[32], char *path, size_t cap)
{
	const struct descriptor_view *desc = seed->image ? &seed->image->desc : NULL;
	for (uint32_t i = 0; desc && i < desc->nfiles; i++)
		if (memcmp(desc->files[i].sha256, sha256, 32) == 0)
			return spawn_path_outside(seed->seeds->node->spawn,
				       descriptor_string(desc, desc->files[i].path), path, cap,
				       NULL) == 0;
	return false;
}

/* A copy's files are in the store, or here under their own names. */
int seeds_find_file(
	const struct seeds *seeds, uint32_t uid, const uint8_t sha256[32], char *path, size_t cap)
{
	list_for_each (seed, &seeds->list, struct seed, link) {
		if (seed->app->uid != uid ||
			(!descriptor_names(seed, sha256, path, cap) &&
				!seed_manifest_names(seed, sha256, path, cap)))
			continue;
		struct file_want want = {.sha256 = sha256, .uid = uid};
		for (int everybodys = 0; !seed->origin && everybodys < 2; everybodys++) {
			char stored[NODE_PATH_MAX + 128];
			want.everybodys = everybodys;
			file_store_path(seeds->node->files, &want, stored, sizeof(stored));
			if (access(stored, R_OK) == 0) {
				snprintf(path, cap, "%s", stored);
				break;
			}
		}
		return 0;
	}
	return RAMET_ENOTFOUND;
}

/* --- beginning and end --- */

static int read_boot_id(char *dst, size_t cap, struct ramet_err *err)
{
	auto_fclose FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (!f || !fgets(dst, (int)cap, f))
		return err_errno(err, RAMET_EIO, "read the boot id of this kernel");
	dst[strcspn(dst, "\n")] = '\0';
	return 0;
}

static int start_pager(struct seeds *seeds, struct ramet_err *err)
{
	struct node *node = seeds->node;
	const struct segments *segments = node->segments;
	struct transport_options transport = node->config.rdma;
	unsigned last = segments_ways(segments) - 1;
	/* the device that the data side has found by its address */
	snprintf(transport.device, sizeof(transport.device), "%s", segments_device(segments, last));
	struct pager_options options = {
		.provider = segments_provider(segments, SEGMENTS_FIRST),
		.also = last > 0 ? segments_provider(segments, last) : NULL,
		.transport = &transport,
		.unchecked = !node->config.checksums,
	};
	int rc = loop_thread_start("ramet-pager", &seeds->pager_thread, err);
	if (rc == 0)
		rc = pager_create(loop_thread_loop(seeds->pager_thread), node->loop, &options,
			&seeds->pager, err);
	return rc;
}

int seeds_create(struct node *node, struct seeds **ret_seeds, struct ramet_err *err)
{
	struct seeds *seeds = calloc(1, sizeof(*seeds));
	if (!seeds)
		return err_nomem(err);
	seeds->node = node;
	struct list *lists[] = {&seeds->list, &seeds->dropped, &seeds->waiting, &seeds->granted,
		&seeds->made, &seeds->epochs, &seeds->allowances, &seeds->paths, &seeds->bases,
		&seeds->base_clones};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_init(lists[i]);
	const struct spawn_caps *caps = spawn_client_caps(node->spawn);
	seeds->eager = node->self.eager || !caps->userfaultfd;
	seeds->timens = caps->timens;
	seeds->record = caps->uffd_wp;
	view_tree_clean(node->config.dir);
	int rc = read_boot_id(seeds->boot_id, sizeof(seeds->boot_id), err);
	if (rc == 0)
		rc = start_pager(seeds, err);
	if (rc < 0) {
		seeds_destroy(seeds);
		return rc;
	}
	*ret_seeds = seeds;
	return 0;
}

static void end_seed(struct seed *seed)
{
	list_for_each_safe (making, &seed->makers, struct seed_making, link) {
		list_remove(&making->link);
		free(making);
	}
	list_for_each_safe (child, &seed->children, struct seed_child, link) {
		struct seed_template *tmpl = child->tmpl;
		list_remove(&child->link);
		tmpl->children--;
		template_free(tmpl);
		free(child);
	}
	list_for_each_safe (tmpl, &seed->templates, struct seed_template, link)
		template_drop(tmpl);
	seed_free(seed);
}

void seeds_destroy(struct seeds *seeds)
{
	if (!seeds)
		return;
	loop_timer_cancel(&seeds->timer);
	list_for_each_safe (making, &seeds->made, struct seed_making, link) {
		call_error_fini(&making->error);
		free(making);
	}
	list_for_each_safe (seed, &seeds->list, struct seed, link)
		end_seed(seed);
	list_for_each_safe (seed, &seeds->dropped, struct seed, link)
		end_seed(seed);
	bases_fini(seeds);
	pager_destroy(seeds->pager);
	loop_thread_stop(seeds->pager_thread);
	list_for_each_safe (e, &seeds->epochs, struct seed_epoch, link)
		free(e);
	seeds_paths_fini(seeds);
	list_for_each_safe (a, &seeds->allowances, struct seed_allowance, link)
		free(a);
	free(seeds);
}
