/* Two nodes' buses in one process and on one loop, for tests. */
#ifndef TESTS_CLUSTER_BUS_PAIR_H
#define TESTS_CLUSTER_BUS_PAIR_H

#include "base/err.h"
#include "base/loop.h"
#include "cluster/bus.h"

#include <stdbool.h>
#include <stdint.h>

struct bus_side {
	struct bus *bus;
	uint32_t node;
	unsigned ups, downs; /* of its link to the other */
	void *user; /* handed to handlers as their user's `user` */
	struct bus_options options;
};

struct bus_pair {
	struct loop *loop;
	struct bus_side side[2]; /* nodes 1 and 2 */
};

/* handlers get the struct bus_side as user */
bool bus_pair_init(struct bus_pair *pair, const struct bus_handler *handlers, unsigned count);
void bus_pair_fini(struct bus_pair *pair);
/* side a knows b's address */
void bus_pair_link(struct bus_pair *pair, unsigned a, unsigned b);
/* turn the loop until the condition holds; the test fails after 5 s */
#define BUS_PAIR_UNTIL(pair, cond) \
	do { \
		uint64_t until_ = now_ns() + 5 * NSEC_PER_SEC; \
		while (!(cond) && now_ns() < until_) \
			loop_turn((pair)->loop, 100 * NSEC_PER_MSEC, NULL); \
		REQUIRE(cond); \
	} while (0)

#endif
