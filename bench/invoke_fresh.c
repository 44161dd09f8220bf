/* Calls that each have an instance of their own: how long one takes that finds a clone waiting,
 * against a call of an instance that is there; all on one CPU, as the baseline. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <string.h>
#include <time.h>

#define ROUNDS 400
#define SIZE 64
#define PAUSE_NS 3000000 /* in which the next clone gets ready */

static int rounds(struct ramet *ramet, struct samples *ret_fresh, struct samples *ret_there,
	struct ramet_err *err)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	char data[SIZE];
	memset(data, 'x', sizeof(data));
	for (unsigned i = 0; i < ROUNDS; i++) {
		double fresh = 0;
		double there = 0;
		nanosleep(&pause, NULL);
		int rc = invoke_echo(ramet, "fresh", data, sizeof(data), &fresh, err);
		for (unsigned k = 0; rc == 0 && k < 2;
			k++) /* the second: its pages are in the cache, as in a row */
			rc = invoke_echo(ramet, "echo", data, sizeof(data), &there, err);
		if (rc < 0)
			return rc;
		samples_add(ret_fresh, fresh);
		samples_add(ret_there, there);
	}
	return 0;
}

int invoke_fresh(struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples fresh = {0};
	CLEANUP(samples_fini) struct samples there = {0};
	struct invoke_cluster cluster;
	pid_t instance = 0;
	int rc = invoke_pin(0, 0, err); /* and all that is started from here */
	if (rc == 0)
		rc = invoke_cluster_open(&cluster, 1, err);
	if (rc < 0)
		return rc;
	rc = invoke_deploy(&cluster, BENCH_LIBS "/libbench_invoke.so", "echo", "echo", NULL, err);
	if (rc == 0)
		rc = invoke_deploy(
			&cluster, BENCH_LIBS "/libbench_invoke.so", "echo", "fresh", "fresh", err);
	if (rc == 0)
		rc = invoke_warm_up(cluster.ramet, "echo", &instance, err);
	if (rc == 0)
		rc = invoke_warm_up(cluster.ramet, "fresh", &instance, err);
	if (rc == 0)
		rc = rounds(cluster.ramet, &fresh, &there, err);
	if (rc == 0)
		report_samples("fresh_64", "us", &fresh, "local_sleep_64", &there);
	invoke_cluster_close(&cluster);
	(void)invoke_pin(0, -1, err);
	return rc;
}
