/* The Python host that most cases fork, and what its own fork() costs. */
#include "bench/fork.h"

#include "base/cleanup.h"
#include "rfork/working_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const functions[] = {"noop", "forkapp.py:noop", "work", "forkapp.py:work",
	"work_for", "forkapp.py:work_for", "fork_first", "forkapp.py:fork_first", "fork_work",
	"forkapp.py:fork_work", "fork_call", "forkapp.py:fork_call", "fork_noop",
	"forkapp.py:fork_noop", NULL, NULL, NULL};

static int load(struct proc *host, const struct proc_language *language, const char *handler,
	struct ramet_err *err)
{
	const char *all[ARRAY_LEN(functions)];
	memcpy(all, functions, sizeof(all));
	if (language) {
		all[ARRAY_LEN(all) - 3] = "polyglot";
		all[ARRAY_LEN(all) - 2] = handler;
	}
	int rc = proc_load_with(host, fork_apps(), all, language, err);
	return rc == 0 && language ? proc_call(host, "polyglot", "21", NULL, err) : rc;
}

int python_seed_make(struct node *node, struct python_seed *ret, struct ramet_err *err)
{
	return python_seed_make_with(node, NULL, NULL, ret, err);
}

int python_seed_make_with(struct node *node, const struct proc_language *language,
	const char *handler, struct python_seed *ret, struct ramet_err *err)
{
	struct capture_stats stats;
	*ret = (struct python_seed){0};
	int rc = proc_host(node, "python", fork_apps(), &ret->host, err);
	if (rc == 0)
		rc = load(ret->host, language, handler, err);
	if (rc == 0) /* what the first calls set up for good belongs into the seed */
		rc = proc_call(ret->host, "work", "null", NULL, err);
	if (rc == 0)
		rc = proc_call(ret->host, "noop", "null", NULL, err);
	if (rc == 0)
		rc = proc_capture(ret->host, &ret->image, &stats, &ret->stall_ns, err);
	if (rc == 0)
		rc = node_template(
			node, ret->image, (struct tmpl_options){0}, &ret->tmpl, NULL, err);
	return rc;
}

void python_seed_end(struct python_seed *seed)
{
	if (seed->tmpl)
		spawn_drop(seed->host->node->spawn, seed->tmpl);
	proc_free(seed->host);
	image_put(seed->image);
	*seed = (struct python_seed){0};
}

int python_seed_baseline(struct python_seed *seed, const char *function, double *ret_first,
	double *ret_total, struct ramet_err *err)
{
	auto_free char *json = NULL;
	int rc = proc_call(seed->host, function, "{\"n\":1}", &json, err);
	if (rc < 0)
		return rc;
	if (sscanf(json, "[[%lf,%lf]]", ret_first, ret_total) != 2)
		return err_set(err, RAMET_EPROTO, "%s answered %s", function, json);
	return 0;
}

int python_seed_record(struct node *node, struct python_seed *seed, const char *function,
	struct working_set **ret_set, struct ramet_err *err)
{
	auto_proc struct proc *clone = NULL;
	uint64_t tmpl = 0;
	int rc = node_template(
		node, seed->image, (struct tmpl_options){.record = true}, &tmpl, NULL, err);
	if (rc == 0)
		rc = node_clone(node, tmpl,
			&(struct clone_options){.function = function, .json = "null"}, &clone, err);
	if (rc == 0)
		rc = proc_wait_made(clone, err);
	if (rc == 0)
		rc = proc_wait_started(clone, err);
	if (rc == 0)
		rc = proc_result(clone, NULL, err);
	if (rc == 0)
		rc = working_set_record(clone->pid, &seed->image->desc, ret_set, err);
	if (tmpl)
		spawn_drop(node->spawn, tmpl);
	return rc;
}
