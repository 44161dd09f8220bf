/* The end of a seed: at once when its version was removed or its source is lost; after a while when
 * a newer version has replaced it, so that calls that were accepted before can still be forked,
 * here and on peers that read from here. */
#include "cluster/seeds_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "cluster/calls.h"
#include "cluster/node.h"
#include "cluster/registry.h"
#include "cluster/seeds_base.h"

#define RETIRE_NS (30000 * NSEC_PER_MSEC)

void seed_drop(struct seed *seed)
{
	struct seeds *seeds = seed->seeds;
	struct call_error error = {0};
	loop_timer_cancel(&seed->retire_timer);
	err_set(&error.err, RAMET_EREVOKED, "the seed of version %.12s of %s is gone",
		seed->app->id, seed->app->app);
	if (seed->state != SEED_READY) {
		seed_failed(seed, &error);
		return;
	}
	list_for_each_safe (want, &seeds->waiting, struct seed_want, link)
		if (want->seed == seed)
			want_fail(want, &error);
	list_for_each_safe (want, &seeds->granted, struct seed_want, link)
		if (want->seed == seed && want->error.err.code == 0)
			want_fail(want, &error);
	list_for_each (making, &seeds->made, struct seed_making, link)
		if (making->seed == seed)
			making->seed = NULL;
	list_for_each_safe (tmpl, &seed->templates, struct seed_template, link)
		template_drop(tmpl);
	seed_unexpose(seed);
	seed->state = SEED_DROPPED;
	list_remove(&seed->link);
	list_append(&seeds->dropped, &seed->link);
	seed_release(seed);
	calls_touch(seeds->node->calls);
}

void seed_revoke(struct seed *seed)
{
	seeds_epoch_raise(seed->seeds, seed->app->id, seed->key.epoch + 1);
	if (seed->pager)
		pager_seed_revoke(seed->pager);
	seed_drop(seed);
}

bool seed_is_wanted(const struct seed *seed)
{
	const struct seeds *seeds = seed->seeds;
	list_for_each (want, &seeds->waiting, struct seed_want, link)
		if (want->seed == seed)
			return true;
	return !list_empty(&seed->wants) || calls_waiting(seeds->node->calls, seed->app->id) > 0;
}

static void retire_again(struct loop_timer *timer)
{
	struct seed *seed = container_of(timer, struct seed, retire_timer);
	if (!seed->retired || registry_version(seed->seeds->node->registry, seed->app->id)) {
		seed->retired = false; /* it was deployed again */
		calls_touch(seed->seeds->node->calls);
	} else if (seed_is_wanted(seed)) {
		seed_retire(seed);
	} else {
		seed_revoke(seed);
	}
}

void seed_retire(struct seed *seed)
{
	struct node *node = seed->seeds->node;
	seed->retired = true;
	calls_touch(node->calls);
	if (seed->state == SEED_READY)
		seed_drain(seed); /* what runs here must not need its source for long */
	if (loop_timer_set(node->loop, &seed->retire_timer, now_ns() + RETIRE_NS, retire_again) < 0)
		seed_drop(seed);
}

void seeds_drop(struct seeds *seeds, uint32_t tenant, const char *version, bool now)
{
	struct seed *seed = seeds_find(seeds, version);
	if (!seed || seed->app->uid != tenant)
		return;
	if (now && seed->base)
		base_retire(seed->base); /* others made from it go on */
	if (now)
		seed_revoke(seed);
	else
		seed_retire(seed);
}
