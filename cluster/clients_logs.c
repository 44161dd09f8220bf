/* Requests for output: what the rings of this node and of peers keep, then what is printed from now
 * on. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "cluster/bus.h"
#include "cluster/client_proto.h"
#include "cluster/follow.h"
#include "cluster/gather.h"
#include "cluster/log_wire.h"
#include "cluster/node.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX (64u << 20) /* bytes gathered for one request; the rest counts as lost */

/* a kept chunk, waiting to be sorted by time */
struct kept {
	uint32_t node;
	struct log_chunk chunk; /* data is owned */
};

struct logs {
	struct client_request request; /* first */
	struct gather *gather;
	struct follow *follow;
	struct log_filter filter;
	uint32_t node;
	uint64_t tail; /* lines; 0: all */
	bool wants_follow;
	bool over; /* the call it is about has ended, or does not run */
	struct kept *kept;
	size_t nkept, cap, bytes;
	bool running;
	uint64_t lost;
};

bool clients_tell_log(struct client_request *request, uint32_t node, const struct log_chunk *chunk)
{
	/* a client that is slow loses output, not its connection */
	if (client_queued(request) > CLIENTS_MAX_QUEUE / 4)
		return false;
	struct buf b = {0};
	client_message(&b, "log", request->req, LOG_CHUNK_PAIRS);
	log_chunk_pack_pairs(node, chunk, &b);
	return client_request_tell(request, &b);
}

static void logs_free(struct client_request *request)
{
	struct logs *logs = container_of(request, struct logs, request);
	gather_cancel(logs->gather);
	follow_stop(logs->follow, NULL, NULL);
	for (size_t i = 0; i < logs->nkept; i++)
		free((void *)(uintptr_t)logs->kept[i].chunk.data);
	free(logs->kept);
	free(logs);
}

static void end(struct logs *logs, uint64_t lost)
{
	struct buf b = {0};
	client_message(&b, "end", logs->request.req, 1);
	wire_kuint(&b, "lost", logs->lost + lost);
	client_request_answer(&logs->request, &b);
}

static void on_follow_end(void *user, uint64_t lost)
{
	struct logs *logs = user;
	logs->follow = NULL;
	end(logs, lost);
}

static int logs_cancel(struct client_request *request, struct ramet_err *err)
{
	struct logs *logs = container_of(request, struct logs, request);
	if (logs->follow)
		follow_stop(logs->follow, on_follow_end, logs);
	else
		end(logs, 0);
	return 0;
}

static const struct client_request_ops logs_ops = {
	.cancel = logs_cancel,
	.abandon = client_request_end,
	.free = logs_free,
};

/* --- what is kept --- */

static void keep(struct logs *logs, uint32_t node, const struct log_chunk *chunk)
{
	if (logs->nkept == logs->cap) {
		size_t cap = logs->cap ? 2 * logs->cap : 64;
		struct kept *kept = realloc(logs->kept, cap * sizeof(*kept));
		if (!kept) {
			logs->lost += chunk->len;
			return;
		}
		logs->kept = kept;
		logs->cap = cap;
	}
	char *data =
		logs->bytes + chunk->len <= KEPT_MAX ? malloc(chunk->len ? chunk->len : 1) : NULL;
	if (!data) {
		logs->lost += chunk->len;
		return;
	}
	memcpy(data, chunk->data, chunk->len);
	struct kept *kept = &logs->kept[logs->nkept++];
	kept->node = node;
	kept->chunk = *chunk;
	kept->chunk.data = data;
	logs->bytes += chunk->len;
}

static void on_local(void *user, const struct log_chunk *chunk)
{
	struct logs *logs = user;
	keep(logs, logs->request.clients->node->config.node, chunk);
}

static int on_answer(void *user, uint32_t node, const struct wire_value *body)
{
	struct logs *logs = user;
	const struct wire_value *list;
	uint64_t lost;
	uint32_t count;
	if (wire_get_array(body, "chunks", &list, &count, NULL) < 0 ||
		wire_get_uint_or(body, "lost", UINT64_MAX, 0, &lost, NULL) < 0)
		return RAMET_EPROTO;
	bool running;
	if (wire_get_bool_or(body, "running", false, &running, NULL) < 0)
		return RAMET_EPROTO;
	logs->running |= running;
	logs->lost += lost;
	for (uint32_t i = 0; i < count; i++) {
		struct log_chunk chunk;
		if (log_chunk_parse(wire_at(list, i), &chunk, NULL) < 0)
			return RAMET_EPROTO;
		keep(logs, node, &chunk);
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	uint64_t ta = ((const struct kept *)a)->chunk.time_ns,
		 tb = ((const struct kept *)b)->chunk.time_ns;
	return ta < tb ? -1 : ta > tb;
}

/* Leaves the last `tail` lines: returns the first chunk to be told, shortened to its part. */
static size_t cut_tail(struct logs *logs)
{
	uint64_t lines = 0;
	bool at_end = true;
	for (size_t i = logs->nkept; logs->tail && i-- > 0;) {
		struct log_chunk *chunk = &logs->kept[i].chunk;
		for (size_t at = chunk->len; at-- > 0; at_end = false) {
			if (chunk->data[at] != '\n' || at_end || ++lines < logs->tail)
				continue;
			memmove((char *)(uintptr_t)chunk->data, chunk->data + at + 1,
				chunk->len - at - 1);
			chunk->len -= at + 1;
			return i;
		}
	}
	return 0;
}

/* false: the client has gone, and the request with it */
static bool tell_kept(struct logs *logs)
{
	struct client *client = logs->request.client;
	for (size_t i = cut_tail(logs); i < logs->nkept; i++) {
		const struct kept *kept = &logs->kept[i];
		size_t len = kept->chunk.len;
		if (len == 0)
			continue;
		bool told = clients_tell_log(&logs->request, kept->node, &kept->chunk);
		if (client->closing)
			return false;
		if (!told)
			logs->lost += len;
	}
	return true;
}

static void on_gathered(void *user, const uint32_t *silent, unsigned nsilent)
{
	struct logs *logs = user;
	logs->gather = NULL;
	if (logs->nkept)
		qsort(logs->kept, logs->nkept, sizeof(*logs->kept), by_time);
	if (!tell_kept(logs))
		return;
	/* of a call that printed something and runs nowhere nothing more will come */
	bool over = logs->over || (logs->filter.call[0] && logs->nkept && !logs->running);
	if (logs->follow && over)
		follow_stop(logs->follow, on_follow_end, logs);
	else if (!logs->follow)
		end(logs, 0);
}

static const struct gather_handler gather_handler = {
	.on_answer = on_answer, .on_done = on_gathered};

/* --- what comes --- */

static void on_chunk(void *user, uint32_t node, const struct log_chunk *chunk)
{
	struct logs *logs = user;
	bool ended = chunk->len == 0 && strcmp(chunk->tag.call, logs->filter.call) == 0;
	if (logs->gather) { /* what is kept is told first */
		logs->over |= ended;
		if (chunk->len)
			keep(logs, node, chunk);
		return;
	}
	if (ended) {
		follow_stop(logs->follow, on_follow_end, logs);
		return;
	}
	struct client *client = logs->request.client;
	size_t len = chunk->len;
	if (len && !clients_tell_log(&logs->request, node, chunk) && !client->closing)
		logs->lost += len;
}

static int parse(struct client *client, const struct wire_value *body, struct logs *logs,
	struct ramet_err *err)
{
	logs->filter.uid = client->uid;
	logs->filter.all_uids = client->uid == 0;
	int rc = wire_get_bool_or(body, "follow", false, &logs->wants_follow, err);
	if (rc == 0)
		rc = wire_get_str_or(
			body, "call", "", logs->filter.call, sizeof(logs->filter.call), err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "instance", UINT64_MAX, 0, &logs->filter.instance, err);
	if (rc == 0)
		rc = wire_get_str_or(body, "function", "", logs->filter.function,
			sizeof(logs->filter.function), err);
	if (rc == 0)
		rc = client_get_node(client, body, &logs->node, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "tail", UINT64_MAX, 0, &logs->tail, err);
	return rc;
}

/* First what is kept, here and there, then the follow: a peer handles both in this order, so that
 * nothing is told twice. */
static int begin(struct logs *logs, struct ramet_err *err)
{
	struct node *node = logs->request.clients->node;
	struct buf question = {0};
	if (!logs->node || logs->node == node->config.node) {
		logs->lost += logrings_each(node->logs, &logs->filter, on_local, logs);
		logs->running |= logrings_running(node->logs, logs->filter.call);
	}
	wire_map(&question, LOG_FILTER_PAIRS);
	log_filter_pack_pairs(&logs->filter, &question);
	int rc = gather_start(
		node, logs->node, "logs", &question, &gather_handler, logs, &logs->gather, err);
	buf_fini(&question);
	if (rc == 0 && logs->wants_follow)
		rc = follow_start(node->follows, &logs->filter, logs->node, on_chunk, logs,
			&logs->follow, err);
	return rc;
}

int clients_on_logs(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct client_request *request;
	int rc = client_request_begin(client, req, sizeof(struct logs), &logs_ops, &request, err);
	if (rc < 0)
		return rc;
	struct logs *logs = container_of(request, struct logs, request);
	rc = parse(client, body, logs, err);
	if (rc == 0)
		rc = begin(logs, err);
	if (rc < 0)
		client_request_end(request);
	return rc;
}

/* --- asked by a peer --- */

struct answer {
	struct buf chunks;
	uint32_t count;
	uint32_t node;
};

static void pack_answer(void *user, const struct log_chunk *chunk)
{
	struct answer *answer = user;
	if (answer->chunks.len > KEPT_MAX)
		return;
	wire_map(&answer->chunks, LOG_CHUNK_PAIRS);
	log_chunk_pack_pairs(answer->node, chunk, &answer->chunks);
	answer->count++;
}

void clients_on_peer_logs(
	struct node *node, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	struct log_filter filter;
	struct answer answer = {.node = node->config.node};
	if (log_filter_parse(body, &filter, &err) < 0) {
		bus_reply_err(request, &err);
		return;
	}
	uint64_t lost = logrings_each(node->logs, &filter, pack_answer, &answer);
	struct buf b = {0};
	wire_map(&b, 3);
	wire_kuint(&b, "lost", lost);
	wire_kbool(&b, "running", logrings_running(node->logs, filter.call));
	wire_key(&b, "chunks");
	wire_array(&b, answer.count);
	wire_raw(&b, answer.chunks.data, answer.chunks.len);
	b.oom |= answer.chunks.oom;
	buf_fini(&answer.chunks);
	bus_reply(request, &b);
}
