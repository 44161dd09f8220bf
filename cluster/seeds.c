/* The table of seeds: who wants one, and whence it comes. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/calls.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/image_clone.h"
#include "cluster/seeds_base.h"
#include "cluster/segments.h"
#include "cluster/view_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	if (seed->state != SEED_DROPPED || !list_empty(&seed->children))
		return;
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

int seeds_want(struct seeds *seeds, struct app_version *app, const char *function, bool unheard,
	seed_grant_fn *fn, void *user, struct seed_want **ret_want, struct ramet_err *err)
{
	struct seed_want *want = calloc(1, sizeof(*want));
	if (!want)
		return err_nomem(err);
	want->seeds = seeds;
	want->unheard = unheard;
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
		&seeds->made, &seeds->epochs, &seeds->allowances, &seeds->bases,
		&seeds->image_clones};
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
	image_clones_fini(seeds);
	bases_fini(seeds);
	pager_destroy(seeds->pager);
	loop_thread_stop(seeds->pager_thread);
	list_for_each_safe (e, &seeds->epochs, struct seed_epoch, link)
		free(e);
	list_for_each_safe (a, &seeds->allowances, struct seed_allowance, link)
		free(a);
	free(seeds);
}
