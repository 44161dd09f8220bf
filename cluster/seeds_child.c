/* The clones of a seed that live: their userfaultfds are handed to the pager, what their first call
 * touched is recorded (of copies: seeds_touched.c), and after it, or after a while if it is long,
 * the rest of a copied image is fetched in the background. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/calls.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A clone in a long call must not need its source until the end: the source may go away, and what
 * reads the clone's memory without running in it (gdb, py-spy) gets an error at a missing page. */
#define DRAIN_NS NSEC_PER_SEC

static void drain_after_a_while(struct loop_timer *timer);

bool seed_is_recorded(const struct seed *seed, const char *function)
{
	list_for_each (r, &seed->recorded, struct recorded_function, link)
		if (strcmp(r->function, function) == 0)
			return true;
	return false;
}

int seed_mark_recorded(struct seed *seed, const char *function, struct ramet_err *err)
{
	struct recorded_function *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(err);
	snprintf(r->function, sizeof(r->function), "%s", function);
	list_append(&seed->recorded, &r->link);
	return 0;
}

void seed_unmark_recorded(struct seed *seed, const char *function)
{
	list_for_each_safe (r, &seed->recorded, struct recorded_function, link) {
		if (strcmp(r->function, function) == 0) {
			list_remove(&r->link);
			free(r);
		}
	}
}

static struct seed_child *child_in(const struct seed *seed, const struct instance *inst)
{
	list_for_each (child, &seed->children, struct seed_child, link)
		if (child->inst == inst)
			return child;
	return NULL;
}

static struct seed_child *find_child(const struct seeds *seeds, const struct instance *inst)
{
	struct instance_info info;
	instance_get_info(inst, &info);
	const struct seed *seed = seeds_find(seeds, info.app->id);
	return seed ? child_in(seed, inst) : NULL;
}

/* --- the callbacks of instances --- */

static int on_begun(struct instance_parent *parent, struct instance *inst, struct ramet_err *err)
{
	struct seed_template *tmpl = container_of(parent, struct seed_template, parent);
	struct seed_child *child = calloc(1, sizeof(*child));
	if (!child)
		return err_nomem(err);
	child->tmpl = tmpl;
	child->inst = inst;
	tmpl->children++;
	list_append(&tmpl->seed->children, &child->link);
	return 0;
}

static void on_child_failed(void *user, uint64_t instance, const struct ramet_err *err)
{
	struct seed_child *child = user;
	struct ramet_err lost = {0};
	int code = err->code == RAMET_EREVOKED ? RAMET_EREVOKED : RAMET_ELOST;
	err_set(&lost, code, "instance %llu needs a page that cannot be had: %s",
		(unsigned long long)instance, err->msg);
	instance_fail(child->inst, &lost);
}

static const struct pager_child_handler child_handler = {.on_failed = on_child_failed};

static void on_born(struct instance_parent *parent, struct instance *inst, int uffd)
{
	struct seed_template *tmpl = container_of(parent, struct seed_template, parent);
	struct seed *seed = tmpl->seed;
	struct seed_child *child = child_in(seed, inst);
	struct instance_info info;
	struct ramet_err err = {0};
	if (uffd < 0)
		return;
	instance_get_info(inst, &info);
	if (seed->pager &&
		pager_child_add(seed->pager, info.id, uffd, &child_handler, child, &child->pager,
			&err) == 0) {
		if (seed->drain_timer.heap_pos ==
			0) /* without a timer, the first call's end does */
			(void)loop_timer_set(seed->seeds->node->loop, &seed->drain_timer,
				now_ns() + DRAIN_NS, drain_after_a_while);
		return;
	}
	if (seed->pager)
		instance_fail(inst, &err);
	close(uffd);
}

static void on_gone(struct instance_parent *parent, struct instance *inst)
{
	struct seed_template *tmpl = container_of(parent, struct seed_template, parent);
	struct seed *seed = tmpl->seed;
	struct seed_child *child = child_in(seed, inst);
	if (child->pager)
		pager_child_remove(child->pager);
	list_remove(&child->link);
	free(child);
	tmpl->children--;
	if (tmpl->record && !tmpl->dropped) { /* its one clone ended before it was recorded */
		seed_unmark_recorded(seed, tmpl->function);
		template_drop(tmpl);
	} else {
		template_free(tmpl);
	}
	seed_release(seed);
}

const struct instance_parent seed_parent = {
	.on_begun = on_begun, .on_born = on_born, .on_gone = on_gone};

/* --- after the first call --- */

static void record(struct seed_child *child, bool ok)
{
	struct seed_template *tmpl = child->tmpl;
	struct seed *seed = tmpl->seed;
	struct working_set *set = NULL;
	struct instance_info info;
	struct ramet_err err = {0};
	instance_get_info(child->inst, &info);
	int rc = ok ? working_set_record(info.pid, &seed->image->desc, &set, &err) : RAMET_EUSER;
	if (rc == 0) {
		log_debug("seed.recorded", "version=%.12s function=%s pages=%llu", seed->app->id,
			tmpl->function, (unsigned long long)working_set_pages(set));
		rc = seed_take_set(seed, set, &err);
	}
	if (err.code < 0)
		log_err(LOG_WARN, "seed.record", &err); /* not tried again: it would fail again */
	if (rc == RAMET_EUSER)
		seed_unmark_recorded(seed, tmpl->function);
	template_drop(tmpl);
}

static void on_drained(void *user, const struct ramet_err *err)
{
	struct seed *seed = user;
	seed->draining = false;
	if (err->code < 0) {
		log_err(LOG_WARN, "seed.drain", err);
		if (seed->state == SEED_READY) /* what failed may pass */
			(void)loop_timer_set(seed->seeds->node->loop, &seed->drain_timer,
				now_ns() + DRAIN_NS, drain_after_a_while);
		return;
	}
	log_debug("seed.complete", "version=%.12s pages=%llu", seed->app->id,
		(unsigned long long)seed->image->npages);
	if (seed->state != SEED_READY)
		return;
	seed_expose(seed);
	templates_refresh(seed);
	calls_touch(seed->seeds->node->calls);
}

void seed_drain(struct seed *seed)
{
	struct ramet_err err = {0};
	if (seed->draining || !seed->pager || image_complete(seed->image))
		return;
	seed->draining = pager_drain(seed->pager, on_drained, seed, &err) == 0;
	seed->drained |= seed->draining;
	if (!seed->draining)
		log_err(LOG_WARN, "seed.drain", &err);
}

static void drain_after_a_while(struct loop_timer *timer)
{
	seed_drain(container_of(timer, struct seed, drain_timer));
}

static void count_trial(struct seed_child *child)
{
	struct populate_trial *trial = &child->tmpl->trial;
	struct instance_info info;
	instance_get_info(child->inst, &info);
	unsigned with = info.populated;
	trial->done[with]++;
	trial->total_ns[with] += now_ns() - info.created_ns;
}

void seeds_first_call_done(struct seeds *seeds, struct instance *inst, bool ok)
{
	struct seed_child *child = find_child(seeds, inst);
	if (!child)
		return;
	struct seed *seed = child->tmpl->seed;
	count_trial(child);
	if (child->tmpl->record)
		record(child, ok);
	else if (ok && child->pager && seed_touched_tell(seed, inst))
		return; /* drained when it is known */
	seed_drain(seed);
}
