/* How many calls of each function there were here, how they were started, and how many failed. */
#include "cluster/calls_internal.h"

#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct function_counter *counter_of(
	struct calls *calls, uint32_t tenant, const char *function)
{
	list_for_each (c, &calls->counters, struct function_counter, link)
		if (c->tenant == tenant && strcmp(c->function, function) == 0)
			return c;
	return NULL;
}

static void count_start(struct calls_function_stats *stats, enum start_kind kind, uint64_t calls)
{
	stats->warm += kind == START_WARM ? calls : 0;
	stats->local_fork += kind == START_LOCAL_FORK ? calls : 0;
	stats->remote_fork += kind == START_REMOTE_FORK ? calls : 0;
	stats->cold += kind == START_COLD ? calls : 0;
}

static struct function_counter *counter_for(
	struct calls *calls, uint32_t tenant, const char *function)
{
	struct function_counter *c = counter_of(calls, tenant, function);
	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->tenant = tenant;
	snprintf(c->function, sizeof(c->function), "%s", function);
	list_append(&calls->counters, &c->link);
	return c;
}

void calls_count_leased(
	struct calls *calls, const struct lease *lease, uint64_t served, uint64_t failed)
{
	calls->total += served;
	calls->failed += failed;
	struct function_counter *c = counter_for(calls, lease->app->uid, lease->function);
	if (!c)
		return;
	c->stats.calls += served;
	count_start(&c->stats, lease->kind, served);
	c->stats.failed += failed;
}

/* each call once in the cluster: by the node on which it ran, or which could not place it */
void calls_count(const struct call *call, const struct call_result *result)
{
	struct calls *calls = call->calls;
	bool failed = result->error.err.code < 0;
	if (result->node != 0 && result->node != calls->node->config.node)
		return;
	calls->total++;
	calls->failed += failed;
	struct function_counter *c = counter_for(calls, call->app->uid, call->function);
	if (!c)
		return;
	c->stats.calls++;
	c->stats.failed += failed;
	count_start(&c->stats, result->start, 1);
}

void calls_get_function_stats(const struct calls *calls, uint32_t tenant, const char *function,
	struct calls_function_stats *ret_stats)
{
	struct function_counter *c = counter_of((struct calls *)calls, tenant, function);
	*ret_stats = c ? c->stats : (struct calls_function_stats){0};
}
