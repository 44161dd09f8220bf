/* Small calls on one node: both sides awake on two CPUs, and taking turns on one. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <string.h>

#define BLOCKS 40
#define ROUNDS 500 /* calls in a block, then as many rounds of the baseline */
#define SIZE 64

static int block_of_calls(struct ramet *ramet, struct samples *ret, struct ramet_err *err)
{
	char data[SIZE];
	memset(data, 'x', sizeof(data));
	for (unsigned i = 0; i < ROUNDS; i++) {
		double us = 0;
		int rc = invoke_echo(ramet, "echo", data, sizeof(data), &us, err);
		if (rc < 0)
			return rc;
		samples_add(ret, us);
	}
	return 0;
}

static int measure(struct ramet *ramet, struct pingpong *floor, struct samples *ret_ours,
	struct samples *ret_floor, struct ramet_err *err)
{
	for (unsigned block = 0; block < BLOCKS; block++) {
		pingpong_rest(floor); /* who waits for the next round does so on the instance's CPU */
		int rc = block_of_calls(ramet, ret_ours, err);
		pingpong_resume(floor);
		if (rc < 0)
			return rc;
		for (unsigned i = 0; i < ROUNDS; i++)
			samples_add(ret_floor, pingpong_round(floor));
	}
	return 0;
}

static int on_cpus(struct ramet *ramet, pid_t instance, int cpu, enum pingpong_kind kind,
	struct samples *ours, struct samples *floor, struct ramet_err *err)
{
	struct pingpong *pingpong = NULL;
	int rc = invoke_pin(0, 0, err);
	if (rc == 0)
		rc = invoke_pin(instance, cpu, err);
	if (rc == 0)
		rc = pingpong_start(kind, cpu, &pingpong, err);
	if (rc == 0)
		rc = measure(ramet, pingpong, ours, floor, err);
	pingpong_stop(pingpong);
	(void)invoke_pin(0, -1, err);
	return rc;
}

static int cases(struct ramet *ramet, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples hot = {0};
	CLEANUP(samples_fini) struct samples lines = {0};
	CLEANUP(samples_fini) struct samples asleep = {0};
	CLEANUP(samples_fini) struct samples futex = {0};
	pid_t instance = 0;
	int rc = invoke_warm_up(ramet, "echo", &instance, err);
	if (rc == 0)
		rc = on_cpus(ramet, instance, 1, PINGPONG_LINES, &hot, &lines, err);
	if (rc == 0)
		rc = on_cpus(ramet, instance, 0, PINGPONG_FUTEX, &asleep, &futex, err);
	if (rc < 0)
		return rc;
	invoke_report("local_hot_64", &hot, 0.5, "cache-line ping-pong", &lines);
	invoke_report("local_sleep_64", &asleep, 0.5, "futex ping-pong on one CPU", &futex);
	invoke_report("same_cpu_64_p99", &asleep, 0.99, "futex ping-pong on one CPU, p50", &futex);
	return 0;
}

int invoke_local(struct ramet_err *err)
{
	struct invoke_cluster cluster;
	int rc = invoke_echo_open(&cluster, 1, err);
	if (rc == 0)
		rc = cases(cluster.ramet, err);
	invoke_cluster_close(&cluster);
	return rc;
}
