/* Where a call runs and how its instance comes to be: pure decisions over a view of the cluster
 * that the caller made. No I/O, no clock, no memory of earlier calls: the same view and request
 * give the same decision, so that the very same code can run in a simulator. This is the seam for
 * the real scheduler. */
#ifndef SCHEDULER_PLACE_H
#define SCHEDULER_PLACE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* How an instance came to be, in order of cost. */
enum start_kind {
	START_NONE = 0, /* no instance was had */
	START_WARM, /* it was there */
	START_LOCAL_FORK,
	START_REMOTE_FORK,
	START_COLD, /* initialised from scratch */
};
#define START_KINDS 5
const char *start_kind_name(
	enum start_kind kind); /* "warm", "local-fork", "remote-fork", "cold", "" */

/* One node, as the deciding node sees it for one version of an app. */
struct place_node {
	uint64_t class_id; /* a seed travels only between nodes of one class */
	uint32_t id;
	bool alive;
	bool seed; /* holds the seed, so it forks locally and peers may read from it */
	uint32_t warm; /* idle instances that could take the call */
	uint32_t load; /* instances that run a call, and calls that wait for one */
	uint32_t capacity; /* instances it wants to run at once; 0: unknown, taken as 1 */
	bool unfit; /* lacks what the app needs there: only for calls that must run there */
	bool no_cold; /* lacks what initialises the app: nothing but forks there */
};

struct place_request {
	uint32_t here; /* the deciding node: preferred where costs are equal */
	uint32_t pinned; /* must run there; 0: anywhere */
};

struct place_decision {
	uint32_t node;
	enum start_kind kind;
	uint32_t source; /* whose seed a remote fork reads; else 0 */
};

/* place_call - the cheapest start: warm, else local fork, else remote fork from the least loaded
 * holder, else cold. Of equal ones here, else the emptiest. Unpinned, a node at capacity comes
 * after all that are not; where all are, the emptiest of those that need not start cold.
 * RAMET_ENOTFOUND: the pinned node is not in the view; RAMET_EPEER: it, or every node, is dead;
 * RAMET_EREFUSED: it, or every node, could only start cold, and cannot. */
int place_call(const struct place_node *nodes, unsigned count, const struct place_request *request,
	struct place_decision *ret_decision, struct ramet_err *err);

/* place_burst - spreads n calls by water-filling: each next call goes to the node with the least
 * load for its capacity; how each starts there is decided when it arrives. ret_counts[i] is how
 * many node i gets (the sum is n). Same errors. */
int place_burst(const struct place_node *nodes, unsigned count, const struct place_request *request,
	uint32_t n, uint32_t *ret_counts, struct ramet_err *err);

/* place_room_elsewhere - how many more calls the nodes other than here take before they are at
 * capacity */
uint64_t place_room_elsewhere(const struct place_node *nodes, unsigned count, uint32_t here);

#endif
