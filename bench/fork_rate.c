/* No-op children per second on one core: everything that makes, runs and reaps them shares it. */
#include "bench/fork.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/children.h"
#include "bench/report.h"

#include <stdio.h>

#define SANDBOXES 64 /* as rametd keeps by default */
#define BURSTS 16
#define ROW (20 * CHILDREN_BURST) /* children in a row, pool refilled as it goes */

static int fork_burst(struct python_seed *seed, double *ret_rate, struct ramet_err *err)
{
	auto_free char *json = NULL;
	char arg[32];
	snprintf(arg, sizeof(arg), "{\"n\":%d}", CHILDREN_BURST);
	uint64_t begin = now_ns();
	int rc = proc_call(seed->host, "fork_first", arg, &json, err);
	*ret_rate = CHILDREN_BURST / ((double)(now_ns() - begin) / 1e9);
	return rc;
}

static int rates(struct node *node, struct python_seed *seed, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, theirs = {0}, row = {0};
	double rate;
	for (int i = -1; i < BURSTS; i++) {
		int rc = node_settle(node, SANDBOXES, err);
		if (rc == 0)
			rc = children_rate(node, seed->tmpl, CHILDREN_BURST, &rate, err);
		if (rc < 0)
			return rc;
		if (i >= 0)
			samples_add(&ours, rate);
		rc = fork_burst(seed, &rate, err);
		if (rc < 0)
			return rc;
		if (i >= 0)
			samples_add(&theirs, rate);
	}
	int rc = children_rate(node, seed->tmpl, ROW, &rate, err);
	if (rc < 0)
		return rc;
	samples_add(&row, rate);
	report_samples("children_per_second_core", "1/s", &ours,
		"fork(), exit and wait of the host on that core", &theirs);
	report_samples("children_per_second_core_refill", "1/s", &row,
		"the same; ours 960 in a row, sandboxes made on that core as they go", &theirs);
	return 0;
}

int fork_rate(struct ramet_err *err)
{
	struct node node;
	struct python_seed seed = {0};
	int rc = node_open(&node, SANDBOXES, err);
	if (rc == 0)
		rc = python_seed_make(&node, &seed, err);
	if (rc == 0)
		rc = rates(&node, &seed, err);
	python_seed_end(&seed);
	node_close(&node);
	return rc;
}
