/* The shares of a burst that run on peers: one message each, results come back as notices; what a
 * lost node had is called again elsewhere if the function allows it. */
#include "cluster/bursts_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/calls.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARE_ACK_NS (5000 * NSEC_PER_MSEC)

void share_free(struct share *share)
{
	if (share->bus_id != 0)
		bus_forget(share->burst->bursts->node->bus, share->bus_id);
	list_remove(&share->link);
	free(share);
}

static int pack_share(const struct share *share, struct buf *b, struct ramet_err *err)
{
	const struct burst *burst = share->burst;
	wire_map(b, share->with_meta ? 11 : 10);
	wire_kstr(b, "id", burst->id);
	wire_kuint(b, "uid", burst->tenant);
	wire_kstr(b, "function", burst->function);
	wire_kstr(b, "version", burst->app->id);
	wire_kbin(b, "data", burst->len ? burst->data : "", burst->len);
	wire_kbool(b, "binary", burst->binary);
	wire_kuint(b, "deadline", burst_time_left(burst));
	wire_kuint(b, "first", share->first);
	wire_kuint(b, "count", share->count);
	wire_kuint(b, "size", burst->count);
	if (share->with_meta) {
		wire_key(b, "meta");
		app_version_pack(burst->app, b);
	}
	return wire_end(b, err);
}

static void on_share_answer(
	void *user, const struct wire_value *body, const struct ramet_err *error);

static int send_share(struct share *share, struct ramet_err *err)
{
	struct bus *bus = share->burst->bursts->node->bus;
	CLEANUP(buf_fini) struct buf b = {0};
	int rc = pack_share(share, &b, err);
	if (rc == 0)
		rc = bus_call(bus, share->node, "burst.run", &b, SHARE_ACK_NS, on_share_answer,
			share, &share->bus_id, err);
	return rc;
}

static void lost_ranks(struct burst *burst, uint32_t node, uint32_t first, uint32_t count,
	const struct ramet_err *err, bool begun)
{
	for (uint32_t i = first; i < first + count; i++) {
		struct rank *rank = &burst->ranks[i];
		if (rank->state != RANK_AWAY || rank->node != node)
			continue;
		if ((!begun || burst->app->idempotent) && !burst->cancelled)
			rank_call(rank, 0);
		else
			rank_failed(rank, err);
	}
}

static void on_share_answer(
	void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct share *share = user;
	struct burst *burst = share->burst;
	(void)body;
	share->bus_id = 0;
	if (error && error->code == RAMET_ENOTFOUND && !share->with_meta) {
		struct ramet_err err = {0};
		share->with_meta = true; /* it has not heard of the version yet */
		if (send_share(share, &err) == 0)
			return;
	}
	struct share ended = *share;
	share_free(share);
	if (!error)
		return; /* begun: results come as notices */
	struct ramet_err lost = *error;
	bool away = error->code == RAMET_EPEER || error->code == RAMET_ETIMEOUT ||
		error->code == RAMET_ECLOSED;
	if (away)
		err_set(&lost, RAMET_ELOST, "node %u went away while it had this rank", ended.node);
	/* what a peer refused did not begin, but would be refused again */
	if (away || burst->cancelled) {
		lost_ranks(burst, ended.node, ended.first, ended.count, &lost, true);
		return;
	}
	for (uint32_t i = ended.first; i < ended.first + ended.count; i++)
		if (burst->ranks[i].state == RANK_AWAY)
			rank_failed(&burst->ranks[i], &lost);
}

void share_begin(struct burst *burst, uint32_t node, uint32_t first, uint32_t count)
{
	struct ramet_err err = {0};
	struct share *share = calloc(1, sizeof(*share));
	for (uint32_t i = first; i < first + count; i++) {
		burst->ranks[i].node = node;
		burst->ranks[i].state = RANK_AWAY;
	}
	if (share) {
		share->burst = burst;
		share->node = node;
		share->first = first;
		share->count = count;
		list_append(&burst->shares, &share->link);
		if (send_share(share, &err) == 0)
			return;
		share_free(share);
	}
	lost_ranks(burst, node, first, count, &err, false);
}

void shares_cancel(struct burst *burst)
{
	struct bus *bus = burst->bursts->node->bus;
	for (uint32_t i = 0; i < burst->count; i++) {
		struct rank *rank = &burst->ranks[i];
		if (rank->state != RANK_AWAY ||
			(i > 0 && rank[-1].state == RANK_AWAY && rank[-1].node == rank->node))
			continue;
		CLEANUP(buf_fini) struct buf b = {0};
		wire_map(&b, 1);
		wire_kstr(&b, "id", burst->id);
		if (wire_end(&b, NULL) == 0)
			bus_notify(bus, rank->node, "burst.cancel", &b);
	}
}

void bursts_on_result(
	struct bursts *bursts, struct bus_request *request, const struct wire_value *body)
{
	char id[CALL_ID_MAX];
	const struct wire_value *map = NULL;
	struct call_result result = {0};
	struct ramet_err err = {0};
	uint32_t node = bus_request_node(request);
	int rc = wire_get_str(body, "id", id, sizeof(id), &err);
	if (rc == 0)
		rc = wire_get_map(body, "result", &map, &err);
	if (rc == 0)
		rc = call_result_parse(map, &result, &err);
	bus_reply(request, NULL);
	if (rc < 0) {
		log_err(LOG_WARN, "burst.result", &err);
		return;
	}
	struct burst *burst = bursts_find(bursts, id);
	struct rank *rank = burst && result.rank < burst->count ? &burst->ranks[result.rank] : NULL;
	if (rank && rank->state == RANK_AWAY && rank->node == node) {
		bool again = result.error.err.code == RAMET_ELOST && burst->app->idempotent;
		if (call_result_unfit(&result, burst->app))
			again = calls_note_unfit(bursts->node->calls, burst->app, node);
		if (again && !burst->cancelled)
			rank_call(rank, 0);
		else
			rank_over(rank, &result);
	}
	call_result_fini(&result);
}

void bursts_node_down(struct bursts *bursts, uint32_t node)
{
	struct ramet_err err = {0};
	err_set(&err, RAMET_ELOST, "node %u went away while it had this rank", node);
	list_for_each (burst, &bursts->list, struct burst, link)
		lost_ranks(burst, node, 0, burst->count, &err, true);
	list_for_each (guest, &bursts->guests, struct guest, link)
		if (guest->node == node)
			guest->node = 0; /* calls_node_down() cancels its calls; nobody wants their
					    results */
}
