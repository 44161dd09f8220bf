/* Placement by start kind and load: see place.h. */
#include "scheduler/place.h"

#include <stddef.h>

static const char *const kind_names[START_KINDS] = {
	[START_NONE] = "",
	[START_WARM] = "warm",
	[START_LOCAL_FORK] = "local-fork",
	[START_REMOTE_FORK] = "remote-fork",
	[START_COLD] = "cold",
};

const char *start_kind_name(enum start_kind kind)
{
	return (unsigned)kind < START_KINDS ? kind_names[kind] : "";
}

/* What a decision is made of; compared field by field, in this order, the smaller being better. */
struct offer {
	bool full;
	enum start_kind kind;
	uint64_t fill; /* load for the capacity, in 1/65536 */
	bool away;
};

#define CAPACITY_MAX 8192u /* keeps level times capacity within 64 bits */

static uint64_t capacity_of(const struct place_node *node)
{
	if (node->capacity == 0)
		return 1;
	return node->capacity < CAPACITY_MAX ? node->capacity : CAPACITY_MAX;
}

static uint64_t fill_of(const struct place_node *node, uint64_t more)
{
	return ((node->load + more) << 16) / capacity_of(node);
}

static bool full(const struct place_node *node)
{
	return node->capacity && node->load >= node->capacity;
}

/* the least loaded peer whose seed could be forked on `at` */
static const struct place_node *source_for(
	const struct place_node *nodes, unsigned count, const struct place_node *at)
{
	const struct place_node *best = NULL;
	for (unsigned i = 0; i < count; i++) {
		const struct place_node *node = &nodes[i];
		if (!node->alive || !node->seed || node->id == at->id ||
			node->class_id != at->class_id)
			continue;
		if (!best || fill_of(node, 0) < fill_of(best, 0))
			best = node;
	}
	return best;
}

static enum start_kind kind_at(const struct place_node *nodes, unsigned count,
	const struct place_node *at, uint32_t *ret_source)
{
	*ret_source = 0;
	if (at->warm > 0)
		return START_WARM;
	if (at->seed)
		return START_LOCAL_FORK;
	const struct place_node *source = source_for(nodes, count, at);
	if (!source)
		return at->no_cold ? START_NONE : START_COLD;
	*ret_source = source->id;
	return START_REMOTE_FORK;
}

static bool better(const struct offer *a, const struct offer *b)
{
	if (a->full != b->full)
		return !a->full;
	/* where it has to wait, for a processor at least, a fork costs little beside that */
	if (a->full && a->kind != START_COLD && b->kind != START_COLD && a->fill != b->fill)
		return a->fill < b->fill;
	if (a->kind != b->kind)
		return a->kind < b->kind;
	/* where nobody waits, a call that stays here saves the way */
	if (!a->full && a->away != b->away)
		return !a->away;
	if (a->fill != b->fill)
		return a->fill < b->fill;
	return !a->away && b->away;
}

static int check_pinned(const struct place_node *nodes, unsigned count,
	const struct place_request *request, struct ramet_err *err)
{
	bool any = false;
	for (unsigned i = 0; i < count; i++) {
		any |= nodes[i].alive;
		if (request->pinned && nodes[i].id == request->pinned) {
			if (nodes[i].alive)
				return 0;
			return err_set(err, RAMET_EPEER, "node %u is down", request->pinned);
		}
	}
	if (request->pinned)
		return err_set(err, RAMET_ENOTFOUND, "no node %u in this cluster", request->pinned);
	return any ? 0 : err_set(err, RAMET_EPEER, "no node is up");
}

static int nowhere(const struct place_request *request, struct ramet_err *err)
{
	static const char what[] = "no node holds a seed of the app that it could fork";
	if (request->pinned)
		return err_set(err, RAMET_EREFUSED,
			"node %u lacks the app's interpreter, and %s: deploy on a node that has it",
			request->pinned, what);
	return err_set(err, RAMET_EREFUSED, "every node lacks the app's interpreter, and %s", what);
}

static bool may_run(const struct place_node *node, const struct place_request *request)
{
	return node->alive && (request->pinned ? node->id == request->pinned : !node->unfit);
}

int place_call(const struct place_node *nodes, unsigned count, const struct place_request *request,
	struct place_decision *ret_decision, struct ramet_err *err)
{
	int rc = check_pinned(nodes, count, request, err);
	if (rc < 0)
		return rc;

	struct offer best = {0};
	struct place_decision decision = {0};
	for (unsigned i = 0; i < count; i++) {
		const struct place_node *node = &nodes[i];
		if (!may_run(node, request))
			continue;
		uint32_t source;
		struct offer offer = {
			.full = full(node),
			.kind = kind_at(nodes, count, node, &source),
			.fill = fill_of(node, 0),
			.away = node->id != request->here,
		};
		if (offer.kind == START_NONE || (decision.node && !better(&offer, &best)))
			continue;
		best = offer;
		decision = (struct place_decision){
			.node = node->id, .kind = offer.kind, .source = source};
	}
	if (!decision.node)
		return nowhere(request, err);
	*ret_decision = decision;
	return 0;
}

/* how many calls node takes before its load exceeds level × capacity (level in 1/65536) */
static uint64_t room_below(const struct place_node *node, uint64_t level)
{
	uint64_t holds = (level * capacity_of(node)) >> 16;
	return holds > node->load ? holds - node->load : 0;
}

static bool takes_part(const struct place_node *nodes, unsigned count,
	const struct place_node *node, const struct place_request *request)
{
	uint32_t source;
	if (!may_run(node, request))
		return false;
	return !node->no_cold || kind_at(nodes, count, node, &source) != START_NONE;
}

static uint64_t room_of_all(const struct place_node *nodes, unsigned count,
	const struct place_request *request, uint64_t level)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < count; i++)
		if (takes_part(nodes, count, &nodes[i], request))
			sum += room_below(&nodes[i], level);
	return sum;
}

/* One of the calls that the level below leaves over: to the node that is then the least full,
 * ourselves first. */
static void give_one(const struct place_node *nodes, unsigned count,
	const struct place_request *request, uint32_t *counts)
{
	unsigned best = count;
	for (unsigned i = 0; i < count; i++) {
		if (!takes_part(nodes, count, &nodes[i], request))
			continue;
		uint64_t fill = fill_of(&nodes[i], counts[i] + 1ull);
		uint64_t least =
			best < count ? fill_of(&nodes[best], counts[best] + 1ull) : UINT64_MAX;
		if (fill < least || (fill == least && nodes[i].id == request->here))
			best = i;
	}
	counts[best]++;
}

int place_burst(const struct place_node *nodes, unsigned count, const struct place_request *request,
	uint32_t n, uint32_t *ret_counts, struct ramet_err *err)
{
	int rc = check_pinned(nodes, count, request, err);
	if (rc < 0)
		return rc;

	bool any = false;
	for (unsigned i = 0; i < count; i++)
		any |= takes_part(nodes, count, &nodes[i], request);
	if (!any)
		return nowhere(request, err);

	/* the highest water level whose room is not more than n, then the few that are left one by
	 * one */
	uint64_t low = 0, high = 1ull << 50;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;
		if (room_of_all(nodes, count, request, mid) <= n)
			low = mid;
		else
			high = mid;
	}
	uint32_t given = 0;
	for (unsigned i = 0; i < count; i++) {
		ret_counts[i] = takes_part(nodes, count, &nodes[i], request)
			? (uint32_t)room_below(&nodes[i], low)
			: 0;
		given += ret_counts[i];
	}
	while (given++ < n)
		give_one(nodes, count, request, ret_counts);
	return 0;
}

uint64_t place_room_elsewhere(const struct place_node *nodes, unsigned count, uint32_t here)
{
	static const struct place_request anywhere = {0};
	uint64_t room = 0;
	for (unsigned i = 0; i < count; i++)
		if (nodes[i].id != here && takes_part(nodes, count, &nodes[i], &anywhere))
			room += room_below(&nodes[i], 1 << 16);
	return room;
}
