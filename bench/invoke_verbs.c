/* Small calls to an instance in another guest, whose lease goes by RDMA; the floor is the round
 * trip of ib_write_lat between the same guests, whose two sides WRITE and poll. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "bench/guest_daemons.h"
#include "bench/perftest.h"

#define ROUNDS 5
#define CALLS 500 /* a round, */
#define WARM_UP 100 /* and before it: a lease that nobody uses does not last */
#define PEER 2 /* the guest with the instance */

/* one round of both; the first is not counted */
static int measure(struct ramet *ramet, struct samples *ret_ours, struct samples *ret_floor,
	struct ramet_err *err)
{
	for (int i = -1; i < ROUNDS; i++) {
		struct perftest_latency floor = {0};
		pid_t instance = 0;
		int rc = perftest_round_trip(PEER, &floor, err);
		if (rc == 0)
			rc = invoke_node2_warm_up(ramet, WARM_UP, &instance, err);
		if (rc == 0)
			rc = invoke_node2_block(ramet, CALLS, ret_ours, err);
		if (rc < 0)
			return rc;
		if (i < 0)
			samples_fini(ret_ours);
		else
			samples_add(ret_floor, floor.median_us);
	}
	return 0;
}

static int call_guest(struct samples *ret_ours, struct samples *ret_floor, struct ramet_err *err)
{
	struct invoke_cluster cluster = {0}; /* of the guests' daemons, which are not its own */
	int rc = ramet_open(guest_daemons_socket(), &cluster.ramet, err);
	if (rc == 0)
		rc = invoke_deploy(
			&cluster, BENCH_LIBS "/libbench_invoke.so", "echo", "echo", NULL, err);
	if (rc == 0)
		rc = measure(cluster.ramet, ret_ours, ret_floor, err);
	invoke_cluster_close(&cluster);
	return rc;
}

int invoke_verbs(struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0};
	CLEANUP(samples_fini) struct samples floor = {0};
	struct guest_daemons daemons;
	int rc = guest_daemons_start(&daemons, err);
	if (rc == 0)
		rc = call_guest(&ours, &floor, err);
	guest_daemons_end(&daemons, rc < 0);
	if (rc == 0)
		invoke_report("verbs_64", &ours, 0.5,
			"round trip of ib_write_lat between the same guests: twice what it says",
			&floor);
	return rc;
}
