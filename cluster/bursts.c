/* Bursts: splitting, sending the shares, collecting results. A share on this node is as many calls;
 * a share on a peer is one message, and its results come back as notices. A rank whose node goes
 * away is called again elsewhere if the function allows it, else it is LOST. */
#include "cluster/bursts_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_ID_MAX (CALL_ID_MAX - 7) /* leaves room for ".65536" */

void burst_member_id(const char *group, uint32_t rank, char dst[CALL_ID_MAX])
{
	snprintf(dst, CALL_ID_MAX, "%.*s.%u", GROUP_ID_MAX, group, rank % (CLIENT_MAX_BURST + 1));
}

struct burst *bursts_find(const struct bursts *bursts, const char *id)
{
	list_for_each (burst, &bursts->list, struct burst, link)
		if (strcmp(burst->id, id) == 0)
			return burst;
	return NULL;
}

static void burst_free(struct burst *burst)
{
	loop_timer_cancel(&burst->timer);
	list_for_each_safe (share, &burst->shares, struct share, link)
		share_free(share);
	list_remove(&burst->link);
	app_version_put(burst->app);
	free(burst->nodes);
	free(burst->ranks);
	free(burst->data);
	free(burst);
}

/* --- results --- */

static void count_node(struct burst *burst, uint32_t node)
{
	if (node == 0)
		return;
	for (uint32_t i = 0; i < burst->nnodes; i++)
		if (burst->nodes[i] == node)
			return;
	burst->nodes[burst->nnodes++] = node;
}

static void add_up(struct burst *burst, const struct call_result *result)
{
	struct burst_summary *s = &burst->summary;
	if (result->error.err.code < 0)
		s->failed++;
	else
		s->ok++;
	s->warm += result->start == START_WARM;
	s->local_fork += result->start == START_LOCAL_FORK;
	s->remote_fork += result->start == START_REMOTE_FORK;
	s->cold += result->start == START_COLD;
	if (burst->nnodes < burst->bursts->node->config.npeers + 1)
		count_node(burst, result->node);
}

static void summarize(struct loop_timer *timer)
{
	struct burst *burst = container_of(timer, struct burst, timer);
	burst->summary.count = burst->count;
	burst->summary.nodes = burst->nnodes;
	burst->summary.total_ns = now_ns() - burst->begun_ns;
	struct burst_handler handler = burst->handler;
	struct burst_summary summary = burst->summary;
	void *user = burst->user;
	bool silent = burst->silent;
	burst_free(burst);
	if (!silent)
		handler.on_summary(user, &summary);
}

void rank_over(struct rank *rank, const struct call_result *result)
{
	struct burst *burst = rank->burst;
	if (rank->state == RANK_OVER)
		return;
	rank->state = RANK_OVER;
	burst->over++;
	add_up(burst, result);
	if (!burst->silent)
		burst->handler.on_result(burst->user, result);
	if (burst->over == burst->count)
		(void)loop_timer_set(burst->bursts->node->loop, &burst->timer, now_ns(), summarize);
}

void rank_failed(struct rank *rank, const struct ramet_err *err)
{
	struct burst *burst = rank->burst;
	struct call_result result = {
		.rank = (uint32_t)(rank - burst->ranks),
		.size = burst->count,
		.error = {.err = *err, .node = rank->node},
	};
	burst_member_id(burst->id, result.rank, result.id);
	memcpy(result.function, burst->function, sizeof(result.function));
	snprintf(result.version, sizeof(result.version), "%s", burst->app->id);
	result.ns.total = now_ns() - burst->begun_ns;
	rank_over(rank, &result);
}

/* --- a rank on this node, or again wherever there is room --- */

static void on_rank_result(void *user, const struct call_result *result)
{
	rank_over(user, result);
}

uint64_t burst_time_left(const struct burst *burst)
{
	if (burst->deadline_ns == 0)
		return 0;
	uint64_t now = now_ns();
	return burst->deadline_ns > now ? burst->deadline_ns - now : 1;
}

void rank_call(struct rank *rank, uint32_t node)
{
	struct burst *burst = rank->burst;
	char id[CALL_ID_MAX];
	struct ramet_err err = {0};
	struct call_request request = {
		.tenant = burst->tenant,
		.function = burst->function,
		.app = burst->app,
		.data = burst->data,
		.len = burst->len,
		.binary = burst->binary,
		.node = node,
		.deadline_ns = burst_time_left(burst),
		.rank = (uint32_t)(rank - burst->ranks),
		.size = burst->count,
		.own_instance = true,
		.id = id,
	};
	burst_member_id(burst->id, request.rank, id);
	rank->state = RANK_HERE;
	rank->node = burst->bursts->node->config.node;
	if (calls_submit(burst->bursts->node->calls, &request, on_rank_result, rank, NULL, &err) <
		0)
		rank_failed(rank, &err);
}

/* --- beginning --- */

static void spread(struct loop_timer *timer)
{
	struct burst *burst = container_of(timer, struct burst, timer);
	uint32_t here = burst->bursts->node->config.node;
	uint32_t first = 0;
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECANCELED, "the burst was cancelled");
	for (uint32_t i = 0; burst->cancelled && i < burst->count; i++)
		rank_failed(&burst->ranks[i], &err);
	if (burst->cancelled)
		return;
	/* remote shares first: they take longest */
	while (first < burst->count) {
		uint32_t node = burst->ranks[first].node;
		uint32_t n = 1;
		while (first + n < burst->count && burst->ranks[first + n].node == node)
			n++;
		if (node != here)
			share_begin(burst, node, first, n);
		first += n;
	}
	for (uint32_t i = 0; i < burst->count; i++)
		if (burst->ranks[i].state == RANK_UNSENT)
			rank_call(&burst->ranks[i], here);
}

static int place(struct burst *burst, uint32_t pinned, struct ramet_err *err)
{
	struct bursts *bursts = burst->bursts;
	auto_free struct place_node *nodes = NULL;
	unsigned count = 0;
	int rc = calls_view(bursts->node->calls, burst->app, burst->function, &nodes, &count, err);
	if (rc < 0)
		return rc;
	auto_free uint32_t *counts = calloc(count, sizeof(*counts));
	if (!counts)
		return err_nomem(err);
	struct place_request request = {.here = bursts->node->config.node, .pinned = pinned};
	rc = place_burst(nodes, count, &request, burst->count, counts, err);
	if (rc < 0)
		return rc;
	uint32_t rank = 0;
	for (unsigned i = 0; i < count; i++)
		for (uint32_t n = 0; n < counts[i] && rank < burst->count; n++)
			burst->ranks[rank++].node = nodes[i].id;
	return 0;
}

static int fill(struct burst *burst, const struct burst_request *request, struct ramet_err *err)
{
	burst->data = malloc(MAX(request->len, (size_t)1));
	burst->ranks = calloc(request->count, sizeof(*burst->ranks));
	burst->nodes = calloc(burst->bursts->node->config.npeers + 1, sizeof(*burst->nodes));
	if (!burst->data || !burst->ranks || !burst->nodes)
		return err_nomem(err);
	if (request->len > 0)
		memcpy(burst->data, request->data, request->len);
	burst->len = request->len;
	burst->binary = request->binary;
	burst->tenant = request->tenant;
	burst->count = request->count;
	burst->begun_ns = now_ns();
	uint64_t span = request->deadline_ns ? request->deadline_ns
					     : burst->app->limits.deadline_ms * NSEC_PER_MSEC;
	burst->deadline_ns = span ? burst->begun_ns + MIN(span, UINT64_MAX / 8) : 0;
	snprintf(burst->function, sizeof(burst->function), "%s", request->function);
	for (uint32_t i = 0; i < burst->count; i++)
		burst->ranks[i].burst = burst;
	return 0;
}

int bursts_submit(struct bursts *bursts, const struct burst_request *request,
	const struct burst_handler *handler, void *user, char ret_id[CALL_ID_MAX],
	struct ramet_err *err)
{
	struct node *node = bursts->node;
	struct registry_entry *entry = NULL;
	if (request->count == 0 || request->count > CLIENT_MAX_BURST)
		return err_set(err, RAMET_EINVAL, "a burst has 1 to %u instances, not %u",
			CLIENT_MAX_BURST, request->count);
	if (request->len > CLIENT_MAX_PAYLOAD)
		return err_set(err, RAMET_ELIMIT, "the input has %zu bytes, the limit is %u",
			request->len, CLIENT_MAX_PAYLOAD);
	int rc = registry_find(node->registry, request->tenant, request->function, &entry, err);
	if (rc < 0)
		return rc;
	struct burst *burst = calloc(1, sizeof(*burst));
	if (!burst)
		return err_nomem(err);
	burst->bursts = bursts;
	burst->app = app_version_get(entry->version);
	burst->handler = *handler;
	burst->user = user;
	list_init(&burst->shares);
	list_append(&bursts->list, &burst->link);
	rc = fill(burst, request, err);
	if (rc == 0)
		rc = place(burst, request->node, err);
	if (rc == 0)
		rc = loop_timer_set(node->loop, &burst->timer, now_ns(), spread);
	if (rc < 0) {
		burst_free(burst);
		return rc;
	}
	calls_make_id(node->calls, burst->id);
	memcpy(ret_id, burst->id, CALL_ID_MAX);
	return 0;
}

int bursts_cancel(struct bursts *bursts, uint32_t tenant, const char *id)
{
	struct burst *burst = bursts_find(bursts, id);
	if (!burst || burst->over == burst->count || (tenant != 0 && tenant != burst->tenant))
		return RAMET_ENOTFOUND;
	if (burst->cancelled)
		return 0;
	burst->cancelled = true;
	shares_cancel(burst);
	for (uint32_t i = 0; i < burst->count; i++) {
		char member[CALL_ID_MAX];
		burst_member_id(burst->id, i, member);
		if (burst->ranks[i].state == RANK_HERE)
			(void)calls_cancel(bursts->node->calls, 0, member);
	}
	return 0; /* ranks that were not sent yet are failed by spread() */
}

void bursts_forget(struct bursts *bursts, const char *id)
{
	struct burst *burst = bursts_find(bursts, id);
	if (!burst)
		return;
	burst->silent = true;
	(void)bursts_cancel(bursts, 0, id);
}

/* --- beginning and end --- */

int bursts_create(struct node *node, struct bursts **ret_bursts, struct ramet_err *err)
{
	struct bursts *bursts = calloc(1, sizeof(*bursts));
	if (!bursts)
		return err_nomem(err);
	bursts->node = node;
	list_init(&bursts->list);
	list_init(&bursts->guests);
	*ret_bursts = bursts;
	return 0;
}

void bursts_destroy(struct bursts *bursts)
{
	if (!bursts)
		return;
	list_for_each_safe (burst, &bursts->list, struct burst, link)
		burst_free(burst);
	list_for_each_safe (guest, &bursts->guests, struct guest, link)
		guest_free(guest);
	free(bursts);
}
