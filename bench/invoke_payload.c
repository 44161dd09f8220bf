/* Large calls against copying as much in and out. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 60
#define TARGET (8u << 20)

static double copy_in_and_out(void *to, const void *from, size_t len)
{
	uint64_t begin = now_ns();
	memcpy(to, from, len);
	__asm__ volatile("" ::"r"(to) : "memory");
	memcpy((char *)to + len, to, len);
	__asm__ volatile("" ::"r"(to) : "memory");
	return (double)(now_ns() - begin) / 1e3;
}

static int of_size(struct ramet *ramet, size_t len, unsigned rounds, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0};
	CLEANUP(samples_fini) struct samples copies = {0};
	auto_free char *data = malloc(len);
	auto_free char *to = malloc(2 * len);
	char name[32];
	if (!data || !to)
		return err_nomem(err);
	memset(data, 'x', len);
	memset(to, 0, 2 * len);
	for (unsigned i = 0; i < rounds + 3; i++) {
		double us = 0;
		int rc = invoke_echo(ramet, "echo", data, len, &us, err);
		if (rc < 0)
			return rc;
		double copy = copy_in_and_out(to, data, len);
		if (i < 3)
			continue;
		samples_add(&ours, us);
		samples_add(&copies, copy);
	}
	if (len >= 1u << 20)
		snprintf(name, sizeof(name), "payload_%zum", len >> 20);
	else
		snprintf(name, sizeof(name), "payload_%zu", len);
	report_samples(name, "us", &ours, "memcpy in and out", &copies);
	return 0;
}

int invoke_payload(struct ramet_err *err)
{
	static const size_t sizes[] = {
		64, 1024, 4096, 16384, 65536, 262144, 1u << 20, TARGET, 64u << 20};
	struct invoke_cluster cluster;
	pid_t instance = 0;
	int rc = invoke_echo_open(&cluster, 1, err);
	if (rc == 0)
		rc = invoke_warm_up(cluster.ramet, "echo", &instance, err);
	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(sizes); i++)
		rc = of_size(cluster.ramet, sizes[i], sizes[i] > TARGET ? ROUNDS / 6 : ROUNDS, err);
	invoke_cluster_close(&cluster);
	return rc;
}
