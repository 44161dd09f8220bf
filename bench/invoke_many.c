/* Calls per second with several outstanding, against one at a time. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <stdio.h>

#define BLOCKS 15
#define CALLS 4000

static int compare(struct ramet *ramet, unsigned outstanding, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples many = {0};
	CLEANUP(samples_fini) struct samples one = {0};
	char name[32];
	snprintf(name, sizeof(name), outstanding == 16 ? "outstanding_64" : "outstanding_64_of_%u",
		outstanding);
	for (unsigned block = 0; block < BLOCKS; block++) {
		double fast = 0;
		double slow = 0;
		int rc = invoke_rate(ramet, "echo", outstanding, CALLS, &fast, err);
		if (rc == 0)
			rc = invoke_rate(ramet, "echo", 1, CALLS, &slow, err);
		if (rc < 0)
			return rc;
		samples_add(&many, fast);
		samples_add(&one, slow);
	}
	report_samples(name, "calls/s", &many, "one outstanding", &one);
	return 0;
}

int invoke_many(struct ramet_err *err)
{
	static const unsigned outstanding[] = {2, 4, 16, 64};
	struct invoke_cluster cluster;
	pid_t instance = 0;
	int rc = invoke_echo_open(&cluster, 1, err);
	if (rc == 0)
		rc = invoke_warm_up(cluster.ramet, "echo", &instance, err);
	if (rc == 0)
		rc = invoke_pin(0, 0, err); /* one CPU: what is saved is sleeping and waking */
	if (rc == 0)
		rc = invoke_pin(instance, 0, err);
	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(outstanding); i++)
		rc = compare(cluster.ramet, outstanding[i], err);
	(void)invoke_pin(0, -1, err);
	invoke_cluster_close(&cluster);
	return rc;
}
