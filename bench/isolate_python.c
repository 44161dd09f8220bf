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
#define BLOCK 20
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

/* a trivial call in a new clone: to its result, from the request */
static int clone_call(struct node *node, uint64_t tmpl, double *ret_us, struct ramet_err *err)
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
	*ret_us = (double)(now_ns() - proc->asked_ns) / 1e3;
	return 0;
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
	struct samples call, exit, their_call, their_exit;
};

static void clone_samples_fini(struct clone_samples *s)
{
	samples_fini(&s->call);
	samples_fini(&s->exit);
	samples_fini(&s->their_call);
	samples_fini(&s->their_exit);
}

/* so many in a row, as in a burst, then as many fork()s: see fork_local.c */
static int call_block(struct node *node, struct python_seed *seed, struct clone_samples *to,
	struct ramet_err *err)
{
	int rc = 0;
	for (int i = 0; rc == 0 && i < BLOCK; i++) {
		double us = 0;
		rc = clone_call(node, seed->tmpl, &us, err);
		if (rc < 0)
			return rc;
		samples_add(&to->call, us);
	}
	for (int i = 0; rc == 0 && i < BLOCK; i++) {
		double first = 0;
		double total = 0;
		rc = python_seed_baseline(seed, "fork_call", &first, &total, err);
		samples_add(&to->their_call, first / 1e3);
	}
	return rc;
}

static int exit_block(struct node *node, struct python_seed *seed, struct clone_samples *to,
	struct ramet_err *err)
{
	int rc = 0;
	for (int i = 0; rc == 0 && i < BLOCK; i++) {
		double us = 0;
		rc = clone_exit(node, seed->tmpl, &us, err);
		samples_add(&to->exit, us);
	}
	for (int i = 0; rc == 0 && i < BLOCK; i++) {
		double first = 0;
		double total = 0;
		rc = python_seed_baseline(seed, "fork_noop", &first, &total, err);
		samples_add(&to->their_exit, total / 1e3);
	}
	return rc;
}

static int clones(struct node *node, struct ramet_err *err)
{
	CLEANUP(python_seed_end) struct python_seed seed;
	CLEANUP(clone_samples_fini) struct clone_samples warm_up = {0};
	CLEANUP(clone_samples_fini) struct clone_samples s = {0};
	int rc = python_seed_make(node, &seed, err);
	for (int i = 0; rc == 0 && i <= ROUNDS / BLOCK; i++) {
		struct clone_samples *to = i ? &s : &warm_up;
		rc = call_block(node, &seed, to, err);
		if (rc == 0)
			rc = exit_block(node, &seed, to, err);
	}
	if (rc < 0)
		return rc;
	report_samples("python_clone_call", "us", &s.call,
		"os.fork() of the host, the same call, to its result; ours from the request",
		&s.their_call);
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
		int rc = clone_call(node, with->tmpl, &both, err);
		if (rc == 0)
			rc = clone_call(node, alone->tmpl, &one, err);
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
