/* Requests that list things: ps, nodes, functions, seeds. Rows of this node, and those of peers
 * gathered. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "cluster/bus.h"
#include "cluster/client_proto.h"
#include "cluster/gather.h"
#include "cluster/node.h"
#include "cluster/node_rows.h"

#include <stdlib.h>
#include <string.h>

struct list_request {
	struct client_request request; /* first */
	struct gather *gather;
	enum rows_kind kind;
	struct buf rows;
	uint32_t count;
	struct rows_totals *totals; /* functions only */
};

static void list_free(struct client_request *request)
{
	struct list_request *list = container_of(request, struct list_request, request);
	gather_cancel(list->gather);
	buf_fini(&list->rows);
	rows_totals_destroy(list->totals);
	free(list);
}

static const struct client_request_ops list_ops = {
	.abandon = client_request_end, .free = list_free};

static void answer(struct list_request *list, const uint32_t *silent, unsigned nsilent)
{
	struct buf b = {0};
	client_message(&b, "rows", list->request.req, 2);
	wire_key(&b, "rows");
	wire_array(&b, list->count);
	wire_raw(&b, list->rows.data, list->rows.len);
	wire_key(&b, "silent");
	wire_array(&b, nsilent);
	for (unsigned i = 0; i < nsilent; i++)
		wire_uint(&b, silent[i]);
	b.oom |= list->rows.oom;
	client_request_answer(&list->request, &b);
}

static int on_answer(void *user, uint32_t node, const struct wire_value *body)
{
	struct list_request *list = user;
	if (list->totals)
		return rows_totals_add(list->totals, body);
	return gather_take_rows(body, &list->rows, &list->count, CLIENT_MAX_ROWS, NULL);
}

static void on_done(void *user, const uint32_t *silent, unsigned nsilent)
{
	struct list_request *list = user;
	list->gather = NULL;
	if (list->totals)
		rows_functions(list->request.clients->node, list->request.uid, list->totals,
			&list->rows, &list->count);
	answer(list, silent, nsilent);
}

static const struct gather_handler gather_handler = {.on_answer = on_answer, .on_done = on_done};

static int begin(struct list_request *list, uint32_t only, struct ramet_err *err)
{
	struct node *node = list->request.clients->node;
	uid_t uid = list->request.uid;
	struct buf question = {0};
	if (list->kind == ROWS_NODES) { /* all that is to be said of peers is known here */
		rows_nodes(node, only, &list->rows, &list->count);
		answer(list, NULL, 0);
		return 0;
	}
	if (list->kind == ROWS_VERSIONS) {
		rows_versions(node, uid, &list->rows, &list->count);
		answer(list, NULL, 0);
		return 0;
	}
	if (list->kind == ROWS_FUNCTIONS) {
		int rc = rows_totals_create(&list->totals, err);
		if (rc < 0)
			return rc;
	}
	if (!only || only == node->config.node) {
		if (list->totals)
			rows_totals_add_own(list->totals, node);
		else
			rows_pack(node, list->kind, uid, &list->rows, &list->count);
	}
	wire_map(&question, 2);
	wire_kstr(&question, "what", rows_kind_name(list->kind));
	wire_kuint(&question, "uid", uid);
	int rc = gather_start(
		node, only, "list", &question, &gather_handler, list, &list->gather, err);
	buf_fini(&question);
	return rc;
}

int clients_on_list(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct client_request *request;
	enum rows_kind kind = ROWS_PS;
	char what[16];
	uint32_t node = 0;
	int rc = wire_get_str(body, "what", what, sizeof(what), err);
	if (rc == 0 && rows_kind_from_name(what, &kind) < 0)
		rc = err_set(err, RAMET_EINVAL,
			"what: \"%s\" is none of ps, nodes, functions, seeds, versions", what);
	if (rc == 0)
		rc = client_get_node(client, body, &node, err);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct list_request), &list_ops, &request, err);
	if (rc != 0)
		return rc;
	struct list_request *list = container_of(request, struct list_request, request);
	list->kind = kind;
	rc = begin(list, node, err);
	if (rc < 0)
		client_request_end(request);
	return rc;
}

void clients_on_peer_list(
	struct node *node, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	struct buf rows = {0}, b = {0};
	enum rows_kind kind = ROWS_PS;
	uint32_t count = 0;
	char what[16];
	uint64_t uid = 0;
	int rc = wire_get_str(body, "what", what, sizeof(what), &err);
	if (rc == 0 && rows_kind_from_name(what, &kind) < 0)
		rc = err_set(&err, RAMET_EPROTO, "what: unknown rows");
	if (rc == 0)
		rc = wire_get_uint(body, "uid", UINT32_MAX - 1, &uid, &err);
	if (rc < 0) {
		bus_reply_err(request, &err);
		return;
	}
	if (kind == ROWS_FUNCTIONS)
		rows_totals_pack_own(node, &rows, &count);
	else
		rows_pack(node, kind, (uid_t)uid, &rows, &count);
	gather_pack_rows(&b, count, &rows);
	buf_fini(&rows);
	bus_reply(request, &b);
}
