/* A trivial Python call in a new clone, beside the same in a child of the host. */
#include "bench/isolate.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/fork.h"
#include "bench/report.h"
#include "rfork/template.h"
#include "rfork/working_set.h"

#include <stdlib.h>

#define ROUNDS 300
#define WARM_UP 20

/* what the call writes is populated, as in service */
struct seed {
	struct python_seed python;
	uint64_t ranges[TEMPLATE_MAX_POPULATE][2];
	unsigned count;
};

/* microseconds from the daemon's request: to the result, or until the end is told */
static int one_clone(struct node *node, const struct seed *seed, bool exit, double *ret_us,
	struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	const struct clone_options options = {.function = "noop",
		.json = "null",
		.exit = exit,
		.populate = seed->ranges,
		.npopulate = seed->count};
	int rc = node_clone(node, seed->python.tmpl, &options, &proc, err);
	if (rc == 0)
		rc = proc_wait_made(proc, err);
	if (rc == 0 && exit)
		rc = proc_wait_ended(proc, err);
	if (rc == 0)
		rc = proc_wait_started(proc, err);
	if (rc == 0)
		rc = proc_result(proc, NULL, err);
	if (rc < 0)
		return rc;
	*ret_us = (double)((exit ? proc->ended_ns : now_ns()) - proc->asked_ns) / 1e3;
	return 0;
}

struct series {
	struct samples call, end, os_fork, fork;
};

static void series_fini(struct series *s)
{
	samples_fini(&s->call);
	samples_fini(&s->end);
	samples_fini(&s->os_fork);
	samples_fini(&s->fork);
}

static int round_of(struct node *node, struct seed *seed, struct series *to, struct ramet_err *err)
{
	double call = 0;
	double end = 0;
	double result = 0;
	double total = 0;
	int rc = one_clone(node, seed, false, &call, err);
	if (rc == 0)
		rc = python_seed_baseline(&seed->python, "os_fork_noop", &result, &total, err);
	if (rc < 0)
		return rc;
	samples_add(&to->call, call);
	samples_add(&to->os_fork, result / 1e3);
	rc = one_clone(node, seed, true, &end, err);
	if (rc == 0)
		rc = python_seed_baseline(&seed->python, "fork_noop", &result, &total, err);
	if (rc < 0)
		return rc;
	samples_add(&to->end, end);
	samples_add(&to->fork, total / 1e3);
	return 0;
}

static int record(struct node *node, struct seed *seed, struct ramet_err *err)
{
	auto_working_set struct working_set *set = NULL;
	int rc = python_seed_record(node, &seed->python, "noop", &set, err);
	if (rc == 0)
		seed->count = working_set_populate(
			set, &seed->python.image->desc, seed->ranges, TEMPLATE_MAX_POPULATE);
	if (rc == 0)
		report_note("working set of the call: %llu pages, %u ranges populated",
			(unsigned long long)working_set_pages(set), seed->count);
	return rc;
}

static int measure(struct node *node, struct seed *seed, struct ramet_err *err)
{
	CLEANUP(series_fini) struct series warm_up = {0};
	CLEANUP(series_fini) struct series s = {0};
	for (int i = -WARM_UP; i < ROUNDS; i++) {
		int rc = round_of(node, seed, i < 0 ? &warm_up : &s, err);
		if (rc < 0)
			return rc;
	}
	report_samples("python_clone_call", "us", &s.call,
		"os.fork() of the host and the same call, to its result", &s.os_fork);
	report_samples("python_clone_exit", "us", &s.end,
		"fork() of the host, the same hooks and call, exit and wait", &s.fork);
	return 0;
}

int isolate_clone(struct ramet_err *err)
{
	struct node node;
	struct seed seed = {.count = 0};
	int rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = python_seed_make(&node, &seed.python, err);
	if (rc == 0)
		rc = record(&node, &seed, err);
	if (rc == 0)
		rc = measure(&node, &seed, err);
	if (seed.python.host)
		python_seed_end(&seed.python);
	node_close(&node);
	return rc;
}
