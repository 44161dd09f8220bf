/* Calls that each have an instance of their own, as many per second as one core gives, against
 * children of the same host that do nothing. Both sides for so long that the sandboxes kept ready
 * are used up many times: they are made on that core, too. */
#include "bench/children.h"
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "rfork/image.h"

#include <time.h>

#define BLOCKS 8
#define CALLS (10 * CHILDREN_BURST)
#define OUTSTANDING 16
#define SANDBOXES 64 /* as rametd keeps by default */
#define PAUSE_NS 200000000 /* in which what a block leaves behind ends */

/* the same host as the calls' clones come from */
struct native_seed {
	struct node node;
	struct proc *host;
	struct image *image;
	uint64_t tmpl;
};

static void seed_end(struct native_seed *seed)
{
	if (seed->tmpl)
		spawn_drop(seed->node.spawn, seed->tmpl);
	proc_free(seed->host);
	image_put(seed->image);
	node_close(&seed->node);
}

static int seed_make(struct native_seed *seed, struct ramet_err *err)
{
	static const char *const functions[] = {"echo", "libbench_invoke.so:echo", NULL};
	struct capture_stats stats;
	uint64_t stall_ns;
	int rc = node_open(&seed->node, SANDBOXES, err);
	if (rc == 0)
		rc = proc_host(&seed->node, "native", BENCH_LIBS, &seed->host, err);
	if (rc == 0)
		rc = proc_load(seed->host, BENCH_LIBS, functions, err);
	if (rc == 0)
		rc = proc_call(seed->host, "echo", "null", NULL, err);
	if (rc == 0)
		rc = proc_capture(seed->host, &seed->image, &stats, &stall_ns, err);
	if (rc == 0)
		rc = node_template(
			&seed->node, seed->image, (struct tmpl_options){0}, &seed->tmpl, NULL, err);
	return rc;
}

static int rates(struct ramet *ramet, struct native_seed *seed, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0};
	CLEANUP(samples_fini) struct samples theirs = {0};
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	for (int i = -1; i < BLOCKS; i++) { /* the first is to get used to it */
		double calls = 0;
		double children = 0;
		int rc = invoke_rate(ramet, "fresh", OUTSTANDING, CALLS, &calls, err);
		nanosleep(&pause, NULL);
		if (rc == 0)
			rc = node_settle(&seed->node, SANDBOXES, err);
		if (rc == 0)
			rc = children_rate(&seed->node, seed->tmpl, CALLS, &children, err);
		if (rc == 0)
			rc = node_settle(&seed->node, SANDBOXES, err);
		if (rc < 0)
			return rc;
		if (i < 0)
			continue;
		samples_add(&ours, calls);
		samples_add(&theirs, children);
	}
	report_samples("fresh_sustained", "calls/s", &ours,
		"no-op children of the same host in a row, on that core", &theirs);
	return 0;
}

int invoke_sustained(struct ramet_err *err)
{
	struct invoke_cluster cluster;
	struct native_seed seed = {0};
	pid_t instance = 0;
	int rc = invoke_pin(0, 0, err); /* and all that is started from here */
	if (rc == 0)
		rc = invoke_cluster_open(&cluster, 1, err);
	if (rc < 0) {
		(void)invoke_pin(0, -1, NULL);
		return rc;
	}
	rc = invoke_deploy(
		&cluster, BENCH_LIBS "/libbench_invoke.so", "echo", "fresh", "fresh", err);
	if (rc == 0)
		rc = invoke_warm_up(cluster.ramet, "fresh", &instance, err);
	if (rc == 0)
		rc = seed_make(&seed, err);
	if (rc == 0)
		rc = rates(cluster.ramet, &seed, err);
	seed_end(&seed);
	invoke_cluster_close(&cluster);
	(void)invoke_pin(0, -1, err);
	return rc;
}
