/* Clones on the seed's own node: to the first instruction, to the end of a real call, and what an
 * idle one holds. Each sample is followed by one of the baseline. */
#include "bench/fork.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "bench/children.h"
#include "bench/report.h"
#include "rfork/template.h"
#include "rfork/working_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 300
#define BLOCK 20 /* first instructions: so many in a row, as in a burst, then as many fork()s */
#define IDLE_ROUNDS 10
#define WARM_UP 10

struct populate {
	uint64_t ranges[TEMPLATE_MAX_POPULATE][2];
	unsigned count;
};

/* --- to the first instruction --- */

struct first_samples {
	struct samples ours, asked, total, hooks, fork_first, fork_total;
};

static void first_samples_fini(struct first_samples *s)
{
	struct samples *all[] = {
		&s->ours, &s->asked, &s->total, &s->hooks, &s->fork_first, &s->fork_total};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		samples_fini(all[i]);
}

static int clone_block(struct node *node, struct python_seed *seed, struct first_samples *to,
	struct ramet_err *err)
{
	const struct clone_options options = {.exit = true};
	for (int i = 0; i < BLOCK; i++) {
		auto_proc struct proc *proc = NULL;
		int rc = children_run(node, seed->tmpl, &options, &proc, err);
		if (rc < 0)
			return rc;
		samples_add(&to->ours, (double)(proc->first_ns - proc->begin_ns) / 1e3);
		samples_add(&to->asked, (double)(proc->first_ns - proc->asked_ns) / 1e3);
		samples_add(&to->hooks, (double)(proc->hooks_ns - proc->first_ns) / 1e3);
		samples_add(&to->total, (double)(proc->ended_ns - proc->asked_ns) / 1e3);
	}
	return 0;
}

static int fork_block(struct python_seed *seed, struct first_samples *to, struct ramet_err *err)
{
	for (int i = 0; i < BLOCK; i++) {
		double first = 0;
		double all = 0;
		int rc = python_seed_baseline(seed, "fork_first", &first, &all, err);
		if (rc < 0)
			return rc;
		samples_add(&to->fork_first, first / 1e3);
		samples_add(&to->fork_total, all / 1e3);
	}
	return 0;
}

static int first_instruction(struct node *node, struct python_seed *seed, struct ramet_err *err)
{
	CLEANUP(first_samples_fini) struct first_samples warm_up = {0};
	CLEANUP(first_samples_fini) struct first_samples s = {0};
	for (int i = 0; i <= ROUNDS / BLOCK; i++) {
		int rc = clone_block(node, seed, i ? &s : &warm_up, err);
		if (rc == 0)
			rc = fork_block(seed, i ? &s : &warm_up, err);
		if (rc < 0)
			return rc;
	}
	report_samples("local_clone_first_instruction", "us", &s.ours,
		"fork() of the host to the child's first instruction", &s.fork_first);
	report_samples("local_clone_asked", "us", &s.asked,
		"the same fork(); ours from the daemon's request", &s.fork_first);
	report_samples("local_clone_hooks", "us", &s.hooks, NULL, NULL);
	report_samples("local_clone_exit", "us", &s.total,
		"fork(), exit and wait; ours from the daemon's request until it is told",
		&s.fork_total);
	return 0;
}

/* --- a real call --- */

static int one_call(struct node *node, struct python_seed *seed, const struct populate *populate,
	struct samples *sums, struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	const struct clone_options options = {
		.function = "work",
		.json = "null",
		.exit = true,
		.populate = populate->ranges,
		.npopulate = populate->count,
	};
	int rc = children_run(node, seed->tmpl, &options, &proc, err);
	if (rc == 0 && sums)
		samples_add(sums, (double)(proc->ended_ns - proc->asked_ns) / 1e3);
	return rc;
}

static int real_call(struct node *node, struct python_seed *seed, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples plain = {0}, populated = {0}, theirs = {0};
	auto_working_set struct working_set *set = NULL;
	struct populate none = {.count = 0};
	struct populate all;
	int rc = python_seed_record(node, seed, "work", &set, err);
	if (rc < 0)
		return rc;
	all.count =
		working_set_populate(set, &seed->image->desc, all.ranges, TEMPLATE_MAX_POPULATE);
	for (int i = -WARM_UP; i < ROUNDS; i++) {
		double result = 0;
		double end = 0;
		rc = one_call(node, seed, &none, i < 0 ? NULL : &plain, err);
		if (rc == 0)
			rc = one_call(node, seed, &all, i < 0 ? NULL : &populated, err);
		if (rc == 0)
			rc = python_seed_baseline(seed, "fork_work", &result, &end, err);
		if (rc < 0)
			return rc;
		if (i >= 0)
			samples_add(&theirs, end / 1e3);
	}
	/* as in service: a function is populated where that was measured to help */
	bool helps = samples_median(&populated) < samples_median(&plain);
	report_samples("local_numpy_exit", "us", helps ? &populated : &plain,
		"fork() of the host, the same hooks and call, exit and wait", &theirs);
	report_samples("local_numpy_exit_plain", "us", &plain, "the same", &theirs);
	report_samples("local_numpy_exit_populated", "us", &populated, "the same", &theirs);
	report_note("working set of the call: %llu pages, %u ranges populated",
		(unsigned long long)working_set_pages(set), all.count);
	return 0;
}

/* --- memory of an idle clone --- */

static uint64_t field(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

/* bytes that the kernel holds for this process alone: anonymous pages and page tables */
static int own_bytes(pid_t pid, double *ret, struct ramet_err *err)
{
	char path[64];
	auto_free char *rollup = NULL;
	auto_free char *status = NULL;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	int rc = file_read(path, 65536, &rollup, NULL, err);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (rc == 0)
		rc = file_read(path, 65536, &status, NULL, err);
	if (rc == 0)
		*ret = (double)(field(rollup, "\nAnonymous:") + field(status, "\nVmPTE:"));
	return rc;
}

static int idle_clone(
	struct node *node, struct python_seed *seed, double *ret, struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	const struct clone_options options = {.function = "noop", .json = "null"};
	int rc = node_clone(node, seed->tmpl, &options, &proc, err);
	if (rc == 0)
		rc = proc_wait_made(proc, err);
	if (rc == 0)
		rc = proc_wait_started(proc, err);
	if (rc == 0)
		rc = proc_result(proc, NULL, err);
	return rc < 0 ? rc : own_bytes(proc->pid, ret, err);
}

static int idle_memory(struct node *node, struct python_seed *seed, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, theirs = {0};
	for (int i = 0; i < IDLE_ROUNDS; i++) {
		double bytes = 0;
		double host = 0;
		int rc = idle_clone(node, seed, &bytes, err);
		if (rc == 0)
			rc = own_bytes(seed->host->pid, &host, err);
		if (rc < 0)
			return rc;
		samples_add(&ours, bytes);
		samples_add(&theirs, host);
	}
	report_samples("idle_child_bytes", "B", &ours,
		"anonymous memory and page tables of the host itself", &theirs);
	return 0;
}

int fork_local(struct node *node, struct ramet_err *err)
{
	CLEANUP(python_seed_end) struct python_seed seed;
	int rc = python_seed_make(node, &seed, err);
	if (rc == 0)
		rc = first_instruction(node, &seed, err);
	if (rc == 0)
		rc = real_call(node, &seed, err);
	if (rc == 0)
		rc = idle_memory(node, &seed, err);
	return rc;
}
