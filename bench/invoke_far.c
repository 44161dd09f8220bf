/* Small calls to another node, whose processes have a CPU of their own as another machine would;
 * the floor is a bare TCP ping-pong over the same network between the same CPUs. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP 1000 /* calls */
#define BLOCKS 40
#define ROUNDS 250
#define NEAR_CPU 0
#define FAR_CPU 1

/* all threads of a process */
static int pin_all(pid_t pid, int cpu, struct ramet_err *err)
{
	char path[64];
	int rc = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		return err_errno(err, RAMET_EIO, "open %s", path);
	for (const struct dirent *e = readdir(dir); e && rc == 0; e = readdir(dir))
		if (e->d_name[0] != '.')
			rc = invoke_pin((pid_t)strtol(e->d_name, NULL, 10), cpu, err);
	closedir(dir);
	return rc;
}

static int measure(const struct invoke_cluster *cluster, struct samples *ret_ours,
	struct samples *ret_floor, struct ramet_err *err)
{
	pid_t instance = 0;
	pid_t daemons[2];
	struct tcp_pingpong *floor = NULL;
	int rc = invoke_node2_warm_up(cluster->ramet, WARM_UP, &instance, err);
	for (unsigned i = 0; rc == 0 && i < 2; i++)
		rc = invoke_daemon(cluster, i + 1, &daemons[i], err);
	if (rc == 0)
		rc = pin_all(daemons[1], FAR_CPU, err);
	if (rc == 0)
		rc = invoke_pin(instance, FAR_CPU, err);
	if (rc == 0)
		rc = invoke_pin(0, NEAR_CPU, err);
	if (rc == 0)
		rc = tcp_pingpong_start(daemons, FAR_CPU, INVOKE_NODE2_SIZE, &floor, err);
	for (unsigned block = 0; rc == 0 && block < BLOCKS; block++) {
		rc = invoke_node2_block(cluster->ramet, ROUNDS, ret_ours, err);
		for (unsigned i = 0; rc == 0 && i < ROUNDS; i++) {
			double us = 0;
			rc = tcp_pingpong_round(floor, &us, err);
			samples_add(ret_floor, us);
		}
	}
	tcp_pingpong_stop(floor);
	(void)invoke_pin(0, -1, err);
	return rc;
}

int invoke_far(struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0};
	CLEANUP(samples_fini) struct samples floor = {0};
	struct invoke_cluster cluster;
	int rc = invoke_echo_open(&cluster, 2, err);
	if (rc == 0)
		rc = measure(&cluster, &ours, &floor, err);
	if (rc == 0)
		invoke_report("tcp_64", &ours, 0.5, "bare TCP ping-pong", &floor);
	invoke_cluster_close(&cluster);
	return rc;
}
