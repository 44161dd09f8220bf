/* Leases follow placement: where this node is at capacity and others are not, slow calls are not
 * kept here by the leases that their clients happen to have. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/node.h"
#include "scheduler/place.h"

#include <stdlib.h>

#define SLOW_LOOKS 2 /* in a row: its call took a tick at least; to forward one takes far less */

void lease_look_slow(struct lease *lease, const struct slots_view *view)
{
	if (view->running > 0 && view->served == lease->counted)
		lease->slow_looks++;
	else
		lease->slow_looks = 0;
}

static uint64_t load_here(struct calls *calls)
{
	return calls->nrunning + calls->nqueued + leases_busy(calls);
}

static uint64_t room_elsewhere(
	struct calls *calls, const struct app_version *app, const char *function)
{
	auto_free struct place_node *nodes = NULL;
	struct ramet_err err = {0};
	unsigned count = 0;
	if (calls_view(calls, app, function, &nodes, &count, &err) < 0)
		return 0; /* without memory all stays as it is */
	return place_room_elsewhere(nodes, count, calls->node->config.node);
}

int lease_check_spread(
	struct calls *calls, const struct registry_entry *entry, struct ramet_err *err)
{
	if (load_here(calls) < calls->node->config.capacity ||
		room_elsewhere(calls, entry->version, entry->name) == 0)
		return 0;
	return err_set(err, RAMET_EAGAIN, "this node is at capacity, and others are not");
}

/* One at a time: where its next call goes is seen in the load before another is told to go. */
void leases_spread(struct calls *calls)
{
	unsigned leaving = 0;
	struct lease *slow = NULL;
	list_for_each (lease, &calls->leases, struct lease, link) {
		if (lease->once || lease->pinned || lease->slow_looks < SLOW_LOOKS)
			continue;
		if (lease->state == LEASE_ACTIVE)
			slow = lease;
		else
			leaving++;
	}
	if (!slow || load_here(calls) <= (uint64_t)calls->node->config.capacity + leaving ||
		room_elsewhere(calls, slow->app, slow->function) <= leaving)
		return;
	log_debug("lease.spread", "lease=%llu function=%s", (unsigned long long)slow->id,
		slow->function);
	lease_close(slow);
}
