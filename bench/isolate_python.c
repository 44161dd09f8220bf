/* Python: namespaces as new, trivial calls in clones, and what another language in the seed costs
 * them. */
#include "bench/isolate.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/children.h"
#include "bench/fork.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 300
#define WARM_UP 10

const char *fork_apps(void)
{
	return BENCH_APPS;
}

/* --- a namespace --- */

static int modules(struct node *node, struct ramet_err *err)
{
	static const char *const functions[] = {"module_start", "isolate.py:module_start", NULL};
	auto_proc struct proc *host = NULL;
	auto_free char *json = NULL;
	double reset = 0;
	double made = 0;
	int rc = proc_host(node, "python", BENCH_APPS, &host, err);
	if (rc == 0)
		rc = proc_load(host, BENCH_APPS, functions, err);
	if (rc == 0)
		rc = proc_call(host, "module_start", "{\"n\":5000}", &json, err);
	if (rc < 0)
		return rc;
	if (sscanf(json, "[%lf,%lf]", &reset, &made) != 2 &&
		sscanf(json, "[%lf, %lf]", &reset, &made) != 2)
		return err_set(err, RAMET_EPROTO, "module_start answered %s", json);
	report_row(&(struct report_row){.name = "python_module_start",
		.unit = "us",
		.baseline = "a new module object, its compiled code run, its handler called",
		.value = reset,
		.baseline_value = made,
		.p50 = reset,
		.n = 5000});
	return 0;
}

/* --- clones --- */

/* a trivial call in a new clone, to its result: from the request, and from when its template was
 * told */
static int clone_call(struct node *node, uint64_t tmpl, double *ret_asked_us, double *ret_us,
	struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	const struct clone_options options = {.function = "noop", .json = "null"};
	int rc = node_clone(node, tmpl, &options, &proc, err);
	if (rc == 0)
		rc = proc_wait_made(proc, err);
	if (rc == 0)
		rc = proc_wait_started(proc, err);
	if (rc == 0)
		rc = proc_result(proc, NULL, err);
	if (rc < 0)
		return rc;
	uint64_t end = now_ns();
	*ret_asked_us = (double)(end - proc->asked_ns) / 1e3;
	*ret_us = (double)(end - proc->begin_ns) / 1e3;
	return rc;
}

static int clone_exit(struct node *node, uint64_t tmpl, double *ret_us, struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	const struct clone_options options = {.function = "noop", .json = "null", .exit = true};
	int rc = children_run(node, tmpl, &options, &proc, err);
	if (rc == 0)
		*ret_us = (double)(proc->ended_ns - proc->asked_ns) / 1e3;
	return rc;
}

struct clone_samples {
	struct samples call, asked, exit, their_call, their_exit;
};

static void clone_samples_fini(struct clone_samples *s)
{
	samples_fini(&s->call);
	samples_fini(&s->asked);
	samples_fini(&s->exit);
	samples_fini(&s->their_call);
	samples_fini(&s->their_exit);
}

static int clone_round(struct node *node, struct python_seed *seed, struct clone_samples *to,
	struct ramet_err *err)
{
	double us = 0;
	double first = 0;
	double total = 0;
	double asked = 0;
	int rc = clone_call(node, seed->tmpl, &asked, &us, err);
	if (rc == 0)
		rc = python_seed_baseline(seed, "fork_call", &first, &total, err);
	if (rc < 0)
		return rc;
	samples_add(&to->call, us);
	samples_add(&to->asked, asked);
	samples_add(&to->their_call, first / 1e3);
	rc = clone_exit(node, seed->tmpl, &us, err);
	if (rc == 0)
		rc = python_seed_baseline(seed, "fork_noop", &first, &total, err);
	if (rc < 0)
		return rc;
	samples_add(&to->exit, us);
	samples_add(&to->their_exit, total / 1e3);
	return 0;
}

static int clones(struct node *node, struct ramet_err *err)
{
	CLEANUP(python_seed_end) struct python_seed seed;
	CLEANUP(clone_samples_fini) struct clone_samples warm_up = {0};
	CLEANUP(clone_samples_fini) struct clone_samples s = {0};
	int rc = python_seed_make(node, &seed, err);
	for (int i = -WARM_UP; rc == 0 && i < ROUNDS; i++)
		rc = clone_round(node, &seed, i < 0 ? &warm_up : &s, err);
	if (rc < 0)
		return rc;
	report_samples("python_clone_call", "us", &s.call,
		"os.fork() of the host, the same call, to its result", &s.their_call);
	report_samples("python_clone_call_asked", "us", &s.asked,
		"the same os.fork(); ours from the daemon's request", &s.their_call);
	report_samples("python_clone_exit", "us", &s.exit,
		"fork() of the host, a clone's hooks, the same call, exit and wait; ours from the "
		"request",
		&s.their_exit);
	return 0;
}

int isolate_python(struct ramet_err *err)
{
	struct node node;
	int rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = modules(&node, err);
	if (rc == 0)
		rc = clones(&node, err);
	node_close(&node);
	return rc;
}

/* --- another language in the seed --- */

static int compare(struct node *node, const struct python_seed *with,
	const struct python_seed *alone, const char *name, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, theirs = {0};
	for (int i = -WARM_UP; i < ROUNDS; i++) {
		double both = 0;
		double one = 0;
		double from_template = 0;
		int rc = clone_call(node, with->tmpl, &both, &from_template, err);
		if (rc == 0)
			rc = clone_call(node, alone->tmpl, &one, &from_template, err);
		if (rc < 0)
			return rc;
		if (i >= 0) {
			samples_add(&ours, both);
			samples_add(&theirs, one);
		}
	}
	report_samples(name, "us", &ours,
		"the same clone and trivial Python call, of a seed of Python alone", &theirs);
	return 0;
}

struct second {
	const char *lang, *handler, *row;
};

static int second_language(struct node *node, const struct second *second, struct ramet_err *err)
{
	char engine[512];
	int rc = plugin_exists(second->lang, err);
	if (rc < 0)
		return isolate_skip(second->row, rc, err);
	snprintf(engine, sizeof(engine), BENCH_LIBS "/ramet/engine_%s.so", second->lang);
	CLEANUP(python_seed_end) struct python_seed with = {0};
	CLEANUP(python_seed_end) struct python_seed alone = {0};
	const struct proc_language language = {second->lang, engine};
	rc = python_seed_make_with(node, &language, second->handler, &with, err);
	if (rc == 0)
		rc = python_seed_make(node, &alone, err);
	return rc < 0 ? rc : compare(node, &with, &alone, second->row, err);
}

int isolate_polyglot(struct ramet_err *err)
{
	static const struct second languages[] = {{"js", "isolate.js:echo", "polyglot_tax"},
		{"lua", "isolate.lua:echo", "polyglot_tax_lua"}};
	struct node node;
	int rc = node_open(&node, 0, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(languages); i++)
		rc = second_language(&node, &languages[i], err);
	node_close(&node);
	return rc;
}
