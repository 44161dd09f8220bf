/* Requests of clients, from their begin to their one final answer; and what several types parse
 * alike. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <stdlib.h>

int client_request_begin(struct client *client, uint64_t req, size_t size,
	const struct client_request_ops *ops, struct client_request **ret_request,
	struct ramet_err *err)
{
	struct client_request *request = calloc(1, size);
	if (!request)
		return err_nomem(err);
	request->clients = client->clients;
	request->client = client;
	request->req = req;
	request->uid = client->uid;
	request->ops = ops;
	list_append(&client->requests, &request->link);
	client->nrequests++;
	*ret_request = request;
	return 0;
}

void client_message(struct buf *b, const char *type, uint64_t req, uint32_t pairs)
{
	wire_map(b, 2 + pairs);
	wire_kstr(b, "t", type);
	wire_kuint(b, "req", req);
}

bool client_request_tell(struct client_request *request, struct buf *b)
{
	if (request->client)
		return client_send(request->client, b);
	buf_fini(b);
	return false;
}

void client_request_end(struct client_request *request)
{
	if (request->client)
		request->client->nrequests--;
	list_remove(&request->link);
	request->ops->free(request);
}

void client_request_answer(struct client_request *request, struct buf *b)
{
	struct client *client = request->client;
	struct buf own = *b; /* b may be part of the request */
	*b = (struct buf){0};
	client_request_end(
		request); /* before sending, which may close the client and abandon its requests */
	if (client)
		client_send(client, &own);
	else
		buf_fini(&own);
}

static void pack_failure(struct buf *b, uint64_t req, const struct call_error *error)
{
	client_message(b, "error", req, 1);
	wire_key(b, "error");
	call_error_pack(error, b);
}

void client_request_fail_with(struct client_request *request, const struct call_error *error)
{
	struct buf b = {0};
	pack_failure(&b, request->req, error);
	client_request_answer(request, &b);
}

void client_request_fail(struct client_request *request, const struct ramet_err *error)
{
	struct call_error full = {0};
	call_error_set(&full, error, request->clients->node->config.node);
	client_request_fail_with(request, &full);
	call_error_fini(&full);
}

size_t client_queued(const struct client_request *request)
{
	return request->client ? frame_queued(request->client->conn) : 0;
}

void client_answer_err(struct client *client, uint64_t req, const struct ramet_err *error)
{
	struct buf b = {0};
	struct call_error full = {0};
	call_error_set(&full, error, client->clients->node->config.node);
	pack_failure(&b, req, &full);
	call_error_fini(&full);
	client_send(client, &b);
}

struct client_request *client_find_request(struct client *client, uint64_t req)
{
	list_for_each (request, &client->requests, struct client_request, link)
		if (request->req == req)
			return request;
	return NULL;
}

int client_get_name(const struct wire_value *body, char dst[CALL_NAME_MAX], struct ramet_err *err)
{
	int rc = wire_get_str(body, "name", dst, CALL_NAME_MAX, err);
	if (rc == 0 && !app_name_valid(dst))
		rc = err_set(err, RAMET_EINVAL, "\"%s\" is not a function's name", dst);
	return rc;
}

int client_get_node(struct client *client, const struct wire_value *body, uint32_t *ret_node,
	struct ramet_err *err)
{
	const struct node *node = client->clients->node;
	uint64_t id;
	int rc = wire_get_uint_or(body, "node", UINT32_MAX, 0, &id, err);
	if (rc < 0)
		return rc;
	if (id && id != node->config.node && !members_find(node->members, (uint32_t)id))
		return err_set(err, RAMET_ENOTFOUND,
			"no node %u in this cluster; `ramet nodes` lists them", (unsigned)id);
	*ret_node = (uint32_t)id;
	return 0;
}

void client_pack_result(
	struct buf *b, const char *type, uint64_t req, const struct call_result *result)
{
	client_message(b, type, req, CALL_RESULT_PAIRS);
	call_result_pack_pairs(result, b);
}

void client_tell_accepted(struct client_request *request, const char *id)
{
	struct buf b = {0};
	client_message(&b, "accepted", request->req, 1);
	wire_kstr(&b, "call", id);
	client_request_tell(request, &b);
}

int client_get_ms(
	const struct wire_value *body, const char *key, uint64_t *ret_ns, struct ramet_err *err)
{
	uint64_t ms;
	int rc = wire_get_uint_or(body, key, UINT32_MAX, 0, &ms, err);
	if (rc == 0)
		*ret_ns = ms * NSEC_PER_MSEC;
	return rc;
}

int client_get_data(const struct wire_value *body, const void **ret_data, size_t *ret_len,
	struct ramet_err *err)
{
	int rc = wire_get_bin(body, "data", ret_data, ret_len, err);
	if (rc == 0 && *ret_len > CLIENT_MAX_PAYLOAD)
		rc = err_set(err, RAMET_ELIMIT, "the input has %zu bytes: at most %u are allowed",
			*ret_len, CLIENT_MAX_PAYLOAD);
	return rc;
}
