/* Templates: one for each seed and function, built at the first wish and kept; one more for a
 * recording; replaced when the seed's pages are all here. Whoever wants the same one while it is
 * being built waits for it. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/calls.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUILD_NS (5000 * NSEC_PER_MSEC)

void template_free(struct seed_template *tmpl)
{
	if (!tmpl->dropped || tmpl->children > 0)
		return;
	free(tmpl->files);
	free(tmpl);
}

/* those who wait for it, or were about to be told of it, want another one */
static void want_again(struct seed_template *tmpl, struct list *wants)
{
	struct list again;
	list_init(&again);
	list_for_each_safe (want, wants, struct seed_want, link) {
		if (want->tmpl != tmpl || want->error.err.code != 0)
			continue;
		list_remove(&want->link);
		list_append(&again, &want->link);
	}
	while (!list_empty(&again)) {
		struct seed_want *want = list_first(&again, struct seed_want, link);
		list_remove(&want->link);
		template_want(want);
	}
}

void template_drop(struct seed_template *tmpl)
{
	struct seeds *seeds = tmpl->seed->seeds;
	list_remove(&tmpl->link);
	tmpl->dropped = true;
	loop_timer_cancel(&tmpl->timer);
	files_check_forget(steal_ptr(&tmpl->check));
	if (tmpl->request != 0)
		spawn_forget(seeds->node->spawn, tmpl->request);
	else if (tmpl->state == TEMPLATE_READY)
		spawn_drop(seeds->node->spawn, tmpl->id);
	want_again(tmpl, &seeds->waiting);
	want_again(tmpl, &seeds->granted);
	if (seeds->node->calls)
		calls_touch(seeds->node->calls);
	template_free(tmpl);
}

static void build_failed(struct seed_template *tmpl, const struct ramet_err *cause)
{
	struct seeds *seeds = tmpl->seed->seeds;
	struct call_error error = {.err = *cause, .node = seeds->node->config.node};
	err_prefix(&error.err, "fork of %s", tmpl->seed->app->app);
	/* who was to be recorded gets an ordinary template instead */
	list_for_each_safe (want, &seeds->waiting, struct seed_want, link)
		if (want->tmpl == tmpl && !tmpl->record)
			want_fail(want, &error);
	if (tmpl->record)
		log_err(LOG_WARN, "template.record", &error.err);
	template_drop(tmpl);
}

static void drop_replaced(struct seed_template *by)
{
	if (by->record || by->uffd)
		return;
	list_for_each_safe (old, &by->seed->templates, struct seed_template, link)
		if (old->uffd && strcmp(old->function, by->function) == 0)
			template_drop(old);
}

static void on_built(void *user, struct spawn_result *result)
{
	struct seed_template *tmpl = user;
	struct seeds *seeds = tmpl->seed->seeds;
	tmpl->request = 0;
	loop_timer_cancel(&tmpl->timer);
	if (result->err.code < 0) {
		build_failed(tmpl, &result->err);
		return;
	}
	tmpl->state = TEMPLATE_READY;
	log_debug("template.built", "version=%.12s function=%s us=%u uffd=%d record=%d",
		tmpl->seed->app->id, tmpl->function, result->us, tmpl->uffd, tmpl->record);
	list_for_each_safe (want, &seeds->waiting, struct seed_want, link)
		if (want->tmpl == tmpl)
			want_grant_later(want);
	drop_replaced(tmpl);
	calls_touch(seeds->node->calls);
}

static void not_built(struct loop_timer *timer)
{
	struct seed_template *tmpl = container_of(timer, struct seed_template, timer);
	struct ramet_err err = {0};
	err_set(&err, RAMET_ETIMEOUT, "no template was built in time");
	build_failed(tmpl, &err);
}

static void begin_build(struct seed_template *tmpl)
{
	struct seed *seed = tmpl->seed;
	struct node *node = seed->seeds->node;
	const struct app_version *app = seed->app;
	char tenant[INSTANCE_TENANT_MAX];
	char group[SPAWN_NAME_MAX];
	snprintf(group, sizeof(group), "%u.%s.%.12s.%s", (unsigned)app->uid, app->app, app->id,
		tmpl->function);
	struct spawn_template request = {
		.tmpl = tmpl->id,
		.desc_fd = seed->image->desc_fd,
		.image_fd = seed->image->fd,
		.layered = seed->image->layer != NULL,
		.base_fd = seed->image->layer ? seed->image->layer->fd : -1,
		.files = (const char *const *)tmpl->files,
		.nfiles = tmpl->nfiles,
		.tenant = instance_tenant(node, app, tenant),
		.group = group,
		.limits = app_version_limits(app),
		.uffd = tmpl->uffd,
		.record = tmpl->record,
		.mono_offset_ns = seed->mono_offset_ns,
		.boot_offset_ns = seed->boot_offset_ns,
		.view = tmpl->view,
	};
	struct ramet_err err = {0};
	tmpl->state = TEMPLATE_BUILDING;
	int rc = spawn_template(node->spawn, &request, on_built, tmpl, &tmpl->request, &err);
	if (rc == 0)
		rc = loop_timer_set(node->loop, &tmpl->timer, now_ns() + BUILD_NS, not_built);
	if (rc < 0)
		build_failed(tmpl, &err);
}

/* Builds it, or has it wait for the view, or until it is known whether one is needed. It does not
 * wait for that if all files that the seed maps are here, and another seed with files at the same
 * places lacked none. */
static void template_go(struct seed_template *tmpl)
{
	struct seed *seed = tmpl->seed;
	struct ramet_err err = {0};
	bool lacking = !seed->origin && seed->software == SOFTWARE_LACKING;
	bool data = seed->app->data.count > 0; /* with a view in any case: one is made, not two */
	bool unknown = !seed->origin && seed->software == SOFTWARE_UNKNOWN &&
		(tmpl->fetched || data || !seed_software_supposed(seed));
	bool viewed = lacking || data;
	tmpl->waits = unknown || (viewed && !seed_view_ready(seed));
	if (!tmpl->waits) {
		tmpl->view = viewed ? seed_view_ready(seed) : 0;
		begin_build(tmpl);
	} else if (viewed && !unknown && !seed->view && seed_view_begin(seed, lacking, &err) < 0) {
		build_failed(tmpl, &err);
	}
}

void templates_go(struct seed *seed)
{
	list_for_each_safe (tmpl, &seed->templates, struct seed_template, link)
		if (tmpl->waits)
			template_go(tmpl);
}

void seed_software_known(struct seed *seed)
{
	templates_go(seed);
	if (seed->software != SOFTWARE_LACKING)
		return;
	list_for_each_safe (tmpl, &seed->templates, struct seed_template, link)
		if (tmpl->view == 0 && tmpl->state != TEMPLATE_CHECKING)
			template_drop(tmpl);
}

/* ramet-files ended, or could not be started */
void seed_view_lost(struct seed *seed, const struct ramet_err *why)
{
	log_warn("view.lost", "version=%.12s err=%s msg=\"%s\"", seed->app->id, err_name(why->code),
		why->msg);
	bool begun = seed_view_ready(seed) != 0;
	seed_view_destroy(steal_ptr(&seed->view));
	if (seed->cold) {
		cold_viewed(seed->cold, why);
		return;
	}
	list_for_each_safe (tmpl, &seed->templates, struct seed_template, link) {
		if (tmpl->view)
			template_drop(tmpl);
		else if (tmpl->waits && !begun)
			build_failed(tmpl, why);
		else if (tmpl->waits)
			template_go(tmpl);
	}
}

static int keep_files(
	struct seed_template *tmpl, const char *const *paths, uint32_t count, struct ramet_err *err)
{
	size_t bytes = 0;
	for (uint32_t i = 0; i < count; i++)
		bytes += strlen(paths[i]) + 1;
	tmpl->files = malloc((count + 1) * sizeof(*tmpl->files) + bytes);
	if (!tmpl->files)
		return err_nomem(err);
	char *at = (char *)(tmpl->files + count + 1);
	for (uint32_t i = 0; i < count; i++) {
		size_t len = strlen(paths[i]) + 1;
		memcpy(at, paths[i], len);
		tmpl->files[i] = at;
		at += len;
	}
	tmpl->nfiles = count;
	return 0;
}

static void on_files(void *user, const char *const *paths, uint32_t count, bool fetched,
	const struct ramet_err *error)
{
	struct seed_template *tmpl = user;
	struct ramet_err err = {0};
	tmpl->check = NULL;
	tmpl->fetched = fetched;
	if (error || keep_files(tmpl, paths, count, &err) < 0)
		build_failed(tmpl, error ? error : &err);
	else
		template_go(tmpl);
}

static struct seed_template *template_new(
	struct seed *seed, const char *function, bool record, struct ramet_err *err)
{
	struct seed_template *tmpl = calloc(1, sizeof(*tmpl));
	if (!tmpl) {
		err_nomem(err);
		return NULL;
	}
	tmpl->parent = seed_parent;
	tmpl->seed = seed;
	tmpl->id = ++seed->seeds->next_template;
	tmpl->record = record;
	tmpl->uffd = !record && !image_complete(seed->image);
	snprintf(tmpl->function, sizeof(tmpl->function), "%s", function);
	if (files_check_begin(seed, on_files, tmpl, &tmpl->check, err) < 0) {
		free(tmpl);
		return NULL;
	}
	list_append(&seed->templates, &tmpl->link);
	return tmpl;
}

/* ready ones first, and among them those without userfaultfd */
static struct seed_template *template_find(const struct seed *seed, const char *function)
{
	struct seed_template *best = NULL;
	list_for_each (t, &seed->templates, struct seed_template, link) {
		if (t->record || strcmp(t->function, function) != 0)
			continue;
		bool ready = t->state == TEMPLATE_READY;
		if (!best || (ready && best->state != TEMPLATE_READY) || (ready && best->uffd))
			best = t;
	}
	return best;
}

/* the first clone of a function on the seed's own node tells what its calls touch */
static bool is_to_be_recorded(const struct seed *seed, const char *function)
{
	return seed->origin && seed->seeds->record && !seed_is_recorded(seed, function);
}

bool seeds_unrecorded(const struct seeds *seeds, const char *version, const char *function)
{
	const struct seed *seed = seeds_find(seeds, version);
	return seed && seed->state == SEED_READY && is_to_be_recorded(seed, function);
}

static struct seed_template *template_to_record(struct seed *seed, const char *function)
{
	if (!is_to_be_recorded(seed, function))
		return NULL;
	if (seed_mark_recorded(seed, function, NULL) < 0)
		return NULL;
	return template_new(seed, function, true, NULL);
}

void template_want(struct seed_want *want)
{
	struct seed *seed = want->seed;
	struct call_error error = {.node = seed->seeds->node->config.node};
	list_remove(&want->link);
	want->tmpl = want->unheard ? NULL : template_to_record(seed, want->function);
	if (!want->tmpl)
		want->tmpl = template_find(seed, want->function);
	if (!want->tmpl)
		want->tmpl = template_new(seed, want->function, false, &error.err);
	if (!want->tmpl)
		want_fail(want, &error);
	else if (want->tmpl->state == TEMPLATE_READY)
		want_grant_later(want);
	else
		list_append(&seed->seeds->waiting, &want->link);
}

void templates_refresh(struct seed *seed)
{
	list_for_each_safe (tmpl, &seed->templates, struct seed_template, link) {
		struct ramet_err err = {0};
		if (tmpl->uffd && tmpl->state == TEMPLATE_READY &&
			!template_new(seed, tmpl->function, false, &err))
			log_err(LOG_WARN, "template.refresh", &err);
	}
}

/* what calls write, once it is known, and where it can be populated */
static void find_ranges(struct seed_template *tmpl)
{
	const struct seed *seed = tmpl->seed;
	if (tmpl->record || tmpl->uffd || tmpl->ranged || !seed->set)
		return;
	tmpl->nranges = working_set_populate(
		seed->set, &seed->image->desc, tmpl->ranges, TEMPLATE_MAX_POPULATE);
	tmpl->ranged = true;
}

/* whether populating helps this function is found out: its first clones do it by turns */
static bool populate_now(struct seed_template *tmpl)
{
	struct populate_trial *t = &tmpl->trial;
	if (tmpl->nranges == 0)
		return false;
	if (t->done[0] >= SEEDS_TRIALS && t->done[1] >= SEEDS_TRIALS)
		return t->total_ns[1] / t->done[1] < t->total_ns[0] / t->done[0];
	return t->begun[1] < t->begun[0];
}

void template_grant(struct seed_want *want, struct seed_grant *ret_grant)
{
	struct seed_template *tmpl = want->tmpl;
	struct seed *seed = tmpl->seed;
	bool remote = !seed->origin && (want->remote || !image_complete(seed->image));
	find_ranges(tmpl);
	bool populate = populate_now(tmpl);
	enum start_kind kind = remote ? START_REMOTE_FORK : START_LOCAL_FORK;
	*ret_grant = (struct seed_grant){
		.kind = kind,
		.clone =
			{
				.app = seed->app,
				.tmpl = tmpl->id,
				.parent = &tmpl->parent,
				.kind = kind,
				.source_node = remote ? seed->source_node : 0,
				.mono_offset_ns = seed->mono_offset_ns,
				.populate = populate ? &tmpl->ranges[0][0] : NULL,
				.npopulate = populate ? tmpl->nranges : 0,
			},
		.writes = &tmpl->ranges[0][0],
		.nwrites = tmpl->nranges,
	};
	tmpl->trial.begun[populate]++;
}

void seeds_on_template_gone(struct seeds *seeds, uint64_t id, const struct ramet_err *why)
{
	list_for_each (seed, &seeds->list, struct seed, link) {
		list_for_each (tmpl, &seed->templates, struct seed_template, link) {
			if (tmpl->id != id)
				continue;
			log_warn("template.gone", "version=%.12s function=%s msg=\"%s\"",
				seed->app->id, tmpl->function, why->msg);
			tmpl->state = TEMPLATE_CHECKING; /* there is nothing left to drop at
							    ramet-spawn */
			template_drop(tmpl);
			return;
		}
	}
}
