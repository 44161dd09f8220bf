/* Where a call runs: the view of the cluster that the scheduler decides on, and what is done with
 * its decision. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/seeds.h"
#include "scheduler/place.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned warm_here(
	const struct calls *calls, const struct app_version *app, const char *function)
{
	unsigned n = 0;
	const char *pool = app_version_pool(app, function);
	list_for_each (s, &calls->idle, struct servant, idle_link)
		if (strcmp(s->app->id, app->id) == 0 &&
			(!s->pool || strcmp(s->pool->function, pool) == 0))
			n++;
	return n;
}

/* what initialises the app is missing; of an interpreter that the app names a peer's view says
 * nothing */
static bool lacks_engine(const struct app_version *app, const struct member_info *info, bool here)
{
	if (strcmp(app->lang, "python") != 0)
		return false;
	if (app->python[0])
		return here && access(app->python, X_OK) < 0;
	return !info->python;
}

static void view_peer(const struct calls *calls, const struct member *member,
	const struct app_version *app, struct place_node *ret)
{
	const struct holding *holding = member_holds(member, app->id);
	*ret = (struct place_node){
		.id = member->info.node,
		.alive = member->alive && member->known && member->sees_us,
		.seed = holding != NULL,
		.warm = holding ? holding->idle : 0,
		.load = MAX(member->load.busy + member->load.queued,
			calls_forwarded_to(calls, member->info.node)),
		.capacity = member->load.capacity,
		.class_id = member->info.class_id,
		.no_cold = member->known && lacks_engine(app, &member->info, false),
		.unfit = calls_unfit(calls, app, member->info.node),
	};
}

/* where none is fit, one of them says why */
static void give_another_chance(struct place_node *nodes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (nodes[i].alive && !nodes[i].unfit)
			return;
	for (unsigned i = 0; i < count; i++)
		nodes[i].unfit = false;
}

int calls_view(struct calls *calls, const struct app_version *app, const char *function,
	struct place_node **ret_nodes, unsigned *ret_count, struct ramet_err *err)
{
	struct node *node = calls->node;
	unsigned peers = members_count(node->members);
	struct place_node *nodes = calloc(peers + 1, sizeof(*nodes));
	if (!nodes)
		return err_nomem(err);
	nodes[0] = (struct place_node){
		.id = node->config.node,
		.alive = true,
		.seed = seeds_have(node->seeds, app->uid, app->id),
		.warm = warm_here(calls, app, function),
		.load = calls->nrunning + calls->nqueued + leases_busy(calls),
		.capacity = node->config.capacity,
		.class_id = node->self.class_id,
		.no_cold = lacks_engine(app, &node->self, true),
		.unfit = calls_unfit(calls, app, node->config.node),
	};
	for (unsigned i = 0; i < peers; i++)
		view_peer(calls, members_at(node->members, i), app, &nodes[i + 1]);
	give_another_chance(nodes, peers + 1);
	*ret_nodes = nodes;
	*ret_count = peers + 1;
	return 0;
}

static int decide(struct call *call, uint32_t *ret_node, struct ramet_err *err)
{
	struct node *node = call->calls->node;
	auto_free struct place_node *nodes = NULL;
	unsigned count = 0;
	int rc = calls_view(call->calls, call->app, call->function, &nodes, &count, err);
	if (rc < 0)
		return rc;
	struct place_request request = {.here = node->config.node, .pinned = call->pinned};
	struct place_decision decision = {0};
	rc = place_call(nodes, count, &request, &decision, err);
	if (rc == 0)
		*ret_node = decision.node;
	return rc;
}

void call_place(struct call *call)
{
	struct ramet_err err = {0};
	uint32_t node = 0;
	if (decide(call, &node, &err) < 0)
		call_fail_err(call, &err);
	else if (node == call->calls->node->config.node)
		call_run_here(call);
	else
		call_forward(call, node);
}
