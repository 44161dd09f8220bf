/* Calls that each have an instance of their own: how long one takes that finds a clone waiting,
 * against a call of an instance that is there, both among others and after a pause; all on one CPU,
 * as the baseline. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <string.h>
#include <time.h>

#define ROUNDS 400
#define SIZE 64
#define PAUSE_NS 3000000 /* in which the next clone gets ready */

static int timed(
	struct ramet *ramet, const char *function, struct samples *ret_us, struct ramet_err *err)
{
	char data[SIZE];
	double us = 0;
	memset(data, 'x', sizeof(data));
	int rc = invoke_echo(ramet, function, data, sizeof(data), &us, err);
	if (rc == 0)
		samples_add(ret_us, us);
	return rc;
}

/* among calls in a row of the instance that is there */
static int in_a_row(struct ramet *ramet, struct samples *ret_fresh, struct samples *ret_there,
	struct ramet_err *err)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < ROUNDS; i++) {
		uint64_t end_ns = now_ns() + PAUSE_NS;
		while (rc == 0 && now_ns() < end_ns)
			rc = timed(ramet, "echo", ret_there, err);
		if (rc == 0)
			rc = timed(ramet, "fresh", ret_fresh, err);
	}
	return rc;
}

/* each after a while in which nothing is called */
static int now_and_then(struct ramet *ramet, struct samples *ret_fresh, struct samples *ret_there,
	struct ramet_err *err)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < ROUNDS; i++) {
		nanosleep(&pause, NULL);
		rc = timed(ramet, "fresh", ret_fresh, err);
		nanosleep(&pause, NULL);
		if (rc == 0)
			rc = timed(ramet, "echo", ret_there, err);
	}
	return rc;
}

static int compare(struct ramet *ramet, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples fresh = {0};
	CLEANUP(samples_fini) struct samples there = {0};
	CLEANUP(samples_fini) struct samples idle_fresh = {0};
	CLEANUP(samples_fini) struct samples idle_there = {0};
	int rc = in_a_row(ramet, &fresh, &there, err);
	if (rc == 0)
		rc = now_and_then(ramet, &idle_fresh, &idle_there, err);
	if (rc < 0)
		return rc;
	report_samples("fresh_64", "us", &fresh, "local_sleep_64", &there);
	report_samples("fresh_64_idle", "us", &idle_fresh, "the same of an instance that is there",
		&idle_there);
	return 0;
}

int invoke_fresh(struct ramet_err *err)
{
	struct invoke_cluster cluster = {0};
	pid_t instance = 0;
	int rc = invoke_pin(0, 0, err); /* and all that is started from here */
	if (rc == 0)
		rc = invoke_echo_open(&cluster, 1, err);
	if (rc == 0)
		rc = invoke_deploy(
			&cluster, BENCH_LIBS "/libbench_invoke.so", "echo", "fresh", "fresh", err);
	if (rc == 0)
		rc = invoke_warm_up(cluster.ramet, "echo", &instance, err);
	if (rc == 0)
		rc = invoke_warm_up(cluster.ramet, "fresh", &instance, err);
	if (rc == 0)
		rc = compare(cluster.ramet, err);
	invoke_cluster_close(&cluster);
	(void)invoke_pin(0, -1, err);
	return rc;
}
