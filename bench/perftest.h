/* The baselines of RDMA: ib_read_lat, ib_read_bw and ib_write_lat of the package perftest, with
 * their defaults, between this guest and the memory of one of the guests. */
#ifndef BENCH_PERFTEST_H
#define BENCH_PERFTEST_H

#include "base/err.h"

#include <stdbool.h>

struct perftest_latency {
	double median_us, mean_us;
};
/* of READs of 4 KiB, one at a time; events: it sleeps until each is complete, rather than spin */
int perftest_latency(
	unsigned guest, bool events, struct perftest_latency *ret, struct ramet_err *err);
/* of 64 bytes there and 64 back, which ib_write_lat reports half of: each side WRITEs, and polls
 * its memory for what the other one writes */
int perftest_round_trip(unsigned guest, struct perftest_latency *ret, struct ramet_err *err);
/* MiB/s of READs of 64 KiB, many at a time */
int perftest_bandwidth(unsigned guest, double *ret_mib, struct ramet_err *err);

#endif
