/* Calls of many sizes, one or several on their way at a time, with everything on one CPU and on
 * two: how long one takes from sending it until its answer is there (median, 99th, 99.9th
 * percentile), and how many a second that makes. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64
#define BLOCKS 5
#define BLOCK_CALLS 1000
#define BLOCK_BYTES (128ul << 20) /* a block of large calls is shorter */
#define WAY_BYTES (256ul << 20) /* no more than this on its way at a time */

struct point {
	size_t size;
	unsigned outstanding, cpus;
};

/* what was measured of a point */
struct outcome {
	struct samples us, rates;
};

static void outcome_fini(struct outcome *outcome)
{
	samples_fini(&outcome->us);
	samples_fini(&outcome->rates);
}

struct under_way {
	struct ramet_call *call;
	uint64_t begin_ns;
};

static int finish(struct under_way *way, size_t size, struct samples *ret_us, struct ramet_err *err)
{
	struct ramet_result *result = NULL;
	if (!way->call)
		return 0;
	int rc = ramet_wait(way->call, -1, &result, err);
	if (rc == 0)
		samples_add(ret_us, (double)(now_ns() - way->begin_ns) / 1e3);
	const char *output = rc == 0 ? result->output : NULL;
	if (output && (result->output_len != size || output[0] != 'x' || output[size - 1] != 'x'))
		rc = err_set(err, RAMET_EINTERNAL, "echo answered something else");
	ramet_result_free(result);
	ramet_call_free(steal_ptr(&way->call));
	return rc;
}

static int block(struct ramet *ramet, size_t size, unsigned outstanding, const void *data,
	struct outcome *ret, struct ramet_err *err)
{
	struct ramet_call_options options = ramet_call_options_default();
	struct under_way ways[MOST] = {0};
	const unsigned count = (unsigned)MIN(BLOCK_CALLS, MAX(BLOCK_BYTES / size, 4));
	int rc = 0;
	options.flags = RAMET_CALL_BINARY;
	uint64_t begin_ns = now_ns();
	for (unsigned i = 0; rc == 0 && i < count + outstanding; i++) {
		struct under_way *way = &ways[i % outstanding];
		rc = finish(way, size, &ret->us, err);
		if (rc < 0 || i >= count)
			continue;
		way->begin_ns = now_ns();
		rc = ramet_call_async(ramet, "echo", data, size, &options, &way->call, err);
	}
	samples_add(&ret->rates, count / ((double)(now_ns() - begin_ns) / 1e9));
	for (unsigned i = 0; i < outstanding; i++)
		ramet_call_free(ways[i].call);
	return rc;
}

static void name_point(const struct point *point, char *name, size_t cap)
{
	const char *unit = "";
	size_t size = point->size;
	for (const char *units = "km"; size >= 1024 && *units; units++) {
		size /= 1024;
		unit = units;
	}
	snprintf(name, cap, "sweep_%zu%.1s_of_%u_on_%u", size, unit, point->outstanding,
		point->cpus);
}

static void report(const struct point *point, struct outcome *ours, struct outcome *alone)
{
	char name[64];
	name_point(point, name, sizeof(name));
	report_row(&(struct report_row){
		.name = name,
		.unit = "us",
		.value = samples_median(&ours->us),
		.baseline = alone ? "the same, one at a time" : NULL,
		.baseline_value = alone ? samples_median(&alone->us) : 0,
		.p50 = samples_median(&ours->us),
		.p99 = samples_quantile(&ours->us, 0.99),
		.p999 = samples_quantile(&ours->us, 0.999),
		.per_second = samples_median(&ours->rates),
		.n = ours->us.count,
	});
}

/* in turns with blocks of one call at a time; the first block of each only gets used to it */
static int measure(struct ramet *ramet, const struct point *point, struct ramet_err *err)
{
	CLEANUP(outcome_fini) struct outcome ours = {0};
	CLEANUP(outcome_fini) struct outcome alone = {0};
	CLEANUP(outcome_fini) struct outcome unused = {0};
	auto_free char *data = malloc(point->size);
	const bool several = point->outstanding > 1;
	if (!data)
		return err_nomem(err);
	memset(data, 'x', point->size);
	for (unsigned i = 0; i <= BLOCKS; i++) {
		int rc = block(
			ramet, point->size, point->outstanding, data, i ? &ours : &unused, err);
		if (rc == 0 && several)
			rc = block(ramet, point->size, 1, data, i ? &alone : &unused, err);
		if (rc < 0)
			return rc;
	}
	report(point, &ours, several ? &alone : NULL);
	return 0;
}

static int sweep(unsigned cpus, struct ramet_err *err)
{
	static const size_t sizes[] = {
		64, 1024, 4096, 16384, 65536, 262144, 1u << 20, 8u << 20, 64u << 20};
	static const unsigned outstanding[] = {1, 2, 4, 16, MOST};
	struct invoke_cluster cluster;
	pid_t instance = 0;
	int rc = invoke_echo_open(&cluster, 1, err);
	if (rc == 0)
		rc = invoke_warm_up(cluster.ramet, "echo", &instance, err);
	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(sizes); i++) {
		for (unsigned k = 0; rc == 0 && k < ARRAY_LEN(outstanding); k++) {
			const struct point point = {sizes[i], outstanding[k], cpus};
			if (outstanding[k] == 1 || sizes[i] * outstanding[k] <= WAY_BYTES)
				rc = measure(cluster.ramet, &point, err);
		}
	}
	invoke_cluster_close(&cluster);
	return rc;
}

int invoke_sweep(struct ramet_err *err)
{
	int rc = 0;
	for (unsigned cpus = 1; rc == 0 && cpus <= 2; cpus++) {
		rc = invoke_pin_to_first(cpus, err);
		if (rc == 0)
			rc = sweep(cpus, err);
	}
	(void)invoke_pin(0, -1, err);
	return rc;
}
