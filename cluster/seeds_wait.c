/* Those who wait for seeds and templates: they are told from the loop, never from within what they
 * called. */
#include "cluster/seeds_internal.h"

#include "base/clock.h"
#include "cluster/node.h"

#include <stdlib.h>

static void tell_making(struct seed_making *making)
{
	struct seed_made made = {.start = making->start};
	struct seed *seed = making->seed;
	if (seed) {
		made = seed->made;
		made.start = making->start;
	}
	made.error = making->error;
	made.total_ns = now_ns() - making->begun_ns;
	list_remove(&making->link);
	making->done(making->user, &made);
	call_error_fini(&making->error);
	free(making);
}

static void tell_want(struct seed_want *want)
{
	struct call_error error = want->error;
	struct seed_grant grant;
	seed_grant_fn *fn = want->fn;
	void *user = want->user;
	bool ok = error.err.code == 0;
	if (ok)
		template_grant(want, &grant);
	list_remove(&want->link);
	free(want);
	fn(user, ok ? &grant : NULL, &error);
	call_error_fini(&error);
}

static void tell_all(struct loop_timer *timer)
{
	struct seeds *seeds = container_of(timer, struct seeds, timer);
	while (!list_empty(&seeds->made))
		tell_making(list_first(&seeds->made, struct seed_making, link));
	while (!list_empty(&seeds->granted))
		tell_want(list_first(&seeds->granted, struct seed_want, link));
}

static void tell_soon(struct seeds *seeds)
{
	(void)loop_timer_set(seeds->node->loop, &seeds->timer, now_ns(), tell_all);
}

void want_grant_later(struct seed_want *want)
{
	list_remove(&want->link);
	list_append(&want->seeds->granted, &want->link);
	tell_soon(want->seeds);
}

void want_fail(struct seed_want *want, const struct call_error *error)
{
	(void)call_error_copy(&want->error, error);
	want->tmpl = NULL;
	want_grant_later(want);
}

void making_over(struct seed_making *making, const struct call_error *error)
{
	if (error) {
		(void)call_error_copy(&making->error, error);
		making->seed = NULL;
	}
	list_remove(&making->link);
	list_append(&making->seeds->made, &making->link);
	tell_soon(making->seeds);
}

void making_progress(struct seed *seed, const char *stage, const char *text)
{
	list_for_each_safe (making, &seed->makers, struct seed_making, link)
		if (making->progress)
			making->progress(making->user, stage, text);
}

void seeds_want_cancel(struct seed_want *want)
{
	if (!want)
		return;
	struct seed_template *tmpl = want->error.err.code == 0 ? want->tmpl : NULL;
	list_remove(&want->link);
	call_error_fini(&want->error);
	free(want);
	if (tmpl && tmpl->record) { /* made for this wish only */
		seed_unmark_recorded(tmpl->seed, tmpl->function);
		template_drop(tmpl);
	}
}
