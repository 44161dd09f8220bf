/* Questions to all peers: see gather.h. */
#include "cluster/gather.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/loop.h"
#include "cluster/bus.h"
#include "cluster/bus_proto.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <stdlib.h>

struct question {
	struct gather *gather;
	uint32_t node;
	uint64_t call; /* bus request that waits, or 0 */
};

struct gather {
	struct node *node;
	const struct gather_handler *handler;
	void *user;
	struct question *questions;
	uint32_t *silent;
	unsigned nquestions, nsilent, waiting;
	struct loop_timer done;
};

static void on_done(struct loop_timer *timer)
{
	struct gather *gather = container_of(timer, struct gather, done);
	gather->handler->on_done(gather->user, gather->silent, gather->nsilent);
	gather_cancel(gather);
}

static void question_over(struct gather *gather)
{
	if (gather->waiting == 0)
		loop_timer_set(gather->node->loop, &gather->done, now_ns(), on_done);
}

static void on_answer(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct question *question = user;
	struct gather *gather = question->gather;
	question->call = 0;
	gather->waiting--;
	if (error || gather->handler->on_answer(gather->user, question->node, body) < 0)
		gather->silent[gather->nsilent++] = question->node;
	question_over(gather);
}

static void ask(struct gather *gather, uint32_t node, const char *type, const struct buf *text)
{
	struct question *question = &gather->questions[gather->nquestions++];
	struct buf copy = {0};
	buf_append(&copy, text->data, text->len);
	question->gather = gather;
	question->node = node;
	if (bus_call(gather->node->bus, node, type, &copy, GATHER_TIMEOUT_NS, on_answer, question,
		    &question->call, NULL) < 0)
		gather->silent[gather->nsilent++] = node;
	else
		gather->waiting++;
}

int gather_start(struct node *node, uint32_t only, const char *type, const struct buf *question,
	const struct gather_handler *handler, void *user, struct gather **ret_gather,
	struct ramet_err *err)
{
	unsigned count = members_count(node->members);
	bool ours = only == node->config.node;
	if (only && !ours && !members_find(node->members, only))
		return err_set(err, RAMET_ENOTFOUND, "no node %u in this cluster", only);
	struct gather *gather = calloc(1, sizeof(*gather));
	if (!gather)
		return err_nomem(err);
	gather->node = node;
	gather->handler = handler;
	gather->user = user;
	gather->questions = calloc(count + 1, sizeof(*gather->questions));
	gather->silent = calloc(count + 1, sizeof(*gather->silent));
	if (!gather->questions || !gather->silent ||
		loop_timer_set(
			node->loop, &gather->done, now_ns() + 2 * GATHER_TIMEOUT_NS, on_done) < 0) {
		gather_cancel(gather);
		return err_nomem(err);
	}
	for (unsigned i = 0; i < count && !ours; i++) {
		uint32_t peer = members_at(node->members, i)->info.node;
		if (!only || only == peer)
			ask(gather, peer, type, question);
	}
	question_over(gather);
	*ret_gather = gather;
	return 0;
}

void gather_cancel(struct gather *gather)
{
	if (!gather)
		return;
	for (unsigned i = 0; i < gather->nquestions; i++)
		if (gather->questions[i].call)
			bus_forget(gather->node->bus, gather->questions[i].call);
	loop_timer_cancel(&gather->done);
	free(gather->questions);
	free(gather->silent);
	free(gather);
}

void gather_pack_rows(struct buf *b, uint32_t count, const struct buf *rows)
{
	wire_map(b, 2);
	wire_kuint(b, "count", count);
	wire_kbin(b, "rows", rows->data, rows->len);
	if (rows->oom)
		b->oom = true;
}

int gather_take_rows(const struct wire_value *body, struct buf *rows, uint32_t *io_count,
	uint32_t max, struct ramet_err *err)
{
	const struct wire_limits limits = {
		.bytes = BUS_MAX_MESSAGE, .depth = BUS_WIRE_DEPTH, .items = BUS_WIRE_ITEMS};
	const void *data = NULL;
	uint64_t count = 0;
	size_t len = 0;
	int rc = wire_get_uint(body, "count", UINT32_MAX, &count, err);
	if (rc == 0)
		rc = wire_get_bin(body, "rows", &data, &len, err);
	if (rc < 0)
		return rc;
	if (count > max - MIN(max, *io_count))
		return err_set(err, RAMET_ELIMIT, "more than %u rows", max);

	/* what is relayed to clients must be exactly that many maps */
	struct wire_msg *msg = NULL;
	struct buf array = {0};
	wire_array(&array, (uint32_t)count);
	wire_raw(&array, data, len);
	rc = wire_end(&array, err);
	if (rc == 0)
		rc = wire_parse(array.data, array.len, limits, &msg, err);
	if (rc == 0) {
		for (uint32_t i = 0; rc == 0 && i < count; i++)
			if (!wire_is_map(wire_at(wire_root(msg), i)))
				rc = err_set(err, RAMET_EPROTO, "rows: a map was expected");
		wire_free(msg);
	}
	buf_fini(&array);
	if (rc == 0) {
		buf_append(rows, data, len);
		*io_count += (uint32_t)count;
	}
	return rc;
}
