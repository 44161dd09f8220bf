/* A seed of another node, its pages over TCP: the first child from nothing but the descriptor's
 * place, and a real call in a child of a template that is there while no page is. */
#include "bench/fork.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/remote.h"
#include "bench/report.h"
#include "rfork/working_set.h"

#include <stdio.h>

#define FIRST_ROUNDS 60
#define CALL_ROUNDS 100
#define WARM_UP 5

/* what both cases share */
struct scene {
	struct remote remote;
	struct python_seed seed;
	struct working_set *set;
};

/* --- the first child --- */

static int first_child(struct scene *s, double *ret_us, struct ramet_err *err)
{
	struct copy copy = {0};
	uint64_t begin = now_ns();
	int rc = copy_begin(&s->remote, &copy, err);
	if (rc == 0)
		rc = copy_clone(&s->remote, &copy, &(struct clone_options){.exit = true}, err);
	if (rc == 0)
		*ret_us = (double)(copy.proc->first_ns - begin) / 1e3;
	copy_end(&copy, s->remote.node);
	return rc;
}

static int local_child(struct scene *s, const char *function, double *ret_first, double *ret_result,
	struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	const struct clone_options options = {.function = function, .json = "null"};
	int rc = node_clone(s->remote.node, s->seed.tmpl, &options, &proc, err);
	if (rc == 0)
		rc = proc_wait_made(proc, err);
	if (rc == 0)
		rc = proc_wait_started(proc, err);
	if (rc == 0)
		rc = proc_result(proc, NULL, err);
	if (rc < 0)
		return rc;
	*ret_result = (double)(now_ns() - proc->asked_ns) / 1e3;
	*ret_first = (double)(proc->first_ns - proc->begin_ns) / 1e3;
	return 0;
}

static int first_instruction(struct scene *s, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, local = {0};
	for (int i = -WARM_UP; i < FIRST_ROUNDS; i++) {
		double us = 0;
		double first = 0;
		double result = 0;
		int rc = first_child(s, &us, err);
		if (rc == 0)
			rc = local_child(s, "noop", &first, &result, err);
		if (rc < 0)
			return rc;
		if (i < 0)
			continue;
		samples_add(&ours, us);
		samples_add(&local, first);
	}
	report_samples(
		"remote_first_instruction", "us", &ours, "local_clone_first_instruction", &local);
	return 0;
}

/* --- a real call --- */

static void on_prefetched(void *user, const struct ramet_err *err)
{
	(void)user;
	if (err->code < 0)
		fprintf(stderr, "prefetch: %s\n", err->msg);
}

static int remote_call(struct scene *s, bool prefetch, struct samples *result,
	struct samples *faults, struct ramet_err *err)
{
	struct copy copy = {0};
	struct pager_stats stats;
	const struct clone_options options = {.function = "work", .json = "null"};
	int rc = copy_begin(&s->remote, &copy, err);
	uint64_t begin = now_ns();
	if (rc == 0 && prefetch)
		rc = pager_prefetch(copy.pages, s->set,
			s->remote.offer->spec.pack_pages == working_set_pages(s->set),
			on_prefetched, NULL, err);
	if (rc == 0)
		rc = copy_clone(&s->remote, &copy, &options, err);
	if (rc == 0)
		rc = proc_result(copy.proc, NULL, err);
	uint64_t end = now_ns();
	if (rc == 0 && result) {
		pager_child_stats(copy.child, &stats);
		samples_add(result, (double)(end - begin) / 1e3);
		samples_add(faults, (double)stats.faults);
	}
	copy_end(&copy, s->remote.node);
	return rc;
}

static int real_call(struct scene *s, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, bare = {0}, local = {0};
	CLEANUP(samples_fini) struct samples faults = {0}, bare_faults = {0};
	for (int i = -WARM_UP; i < CALL_ROUNDS; i++) {
		double first = 0;
		double result = 0;
		int rc = remote_call(s, true, i < 0 ? NULL : &ours, &faults, err);
		if (rc == 0)
			rc = local_child(s, "work", &first, &result, err);
		if (rc == 0 && i % 4 == 0)
			rc = remote_call(s, false, i < 0 ? NULL : &bare, &bare_faults, err);
		if (rc < 0)
			return rc;
		if (i >= 0)
			samples_add(&local, result);
	}
	report_samples(
		"remote_numpy_result", "us", &ours, "the same call in a local clone", &local);
	report_samples("remote_numpy_result_unrecorded", "us", &bare,
		"the same call in a local clone; ours without a recorded working set", &local);
	report_samples("remote_numpy_faults", "faults", &faults,
		"the same without a recorded working set", &bare_faults);
	return 0;
}

/* --- all of it --- */

static void scene_fini(struct scene *s)
{
	remote_fini(&s->remote);
	working_set_destroy(s->set);
	python_seed_end(&s->seed);
}

int fork_remote(struct node *node, struct ramet_err *err)
{
	CLEANUP(scene_fini) struct scene s = {0};
	int rc = python_seed_make(node, &s.seed, err);
	if (rc == 0)
		rc = python_seed_record(node, &s.seed, "work", &s.set, err);
	if (rc == 0)
		rc = remote_open(&s.remote, "tcp", node, s.seed.image, s.set, err);
	if (rc == 0)
		rc = first_instruction(&s, err);
	if (rc == 0)
		rc = real_call(&s, err);
	return rc;
}
