/* Requests that run functions: call, burst, wait; and cancel, which ends any request. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/bursts.h"
#include "cluster/calls.h"
#include "cluster/client_proto.h"
#include "cluster/follow.h"
#include "cluster/node.h"

#include <stdio.h>
#include <string.h>

/* --- results --- */

static void pack_result(
	struct buf *b, const char *type, uint64_t req, const struct call_result *result)
{
	client_message(b, type, req, CALL_RESULT_PAIRS);
	call_result_pack_pairs(result, b);
}

static void tell_accepted(struct client_request *request, const char *id)
{
	struct buf b = {0};
	client_message(&b, "accepted", request->req, 1);
	wire_kstr(&b, "call", id);
	client_request_tell(request, &b);
}

/* --- call --- */

struct call {
	struct client_request request; /* first */
	char id[CALL_ID_MAX];
	struct follow *follow;
	struct buf last; /* the answer, while the end of the output is awaited */
	bool over;
};

static int call_cancel(struct client_request *request, struct ramet_err *err)
{
	struct call *call = container_of(request, struct call, request);
	return calls_cancel(request->clients->node->calls, request->uid, call->id);
}

static void call_abandon(struct client_request *request)
{
	struct call *call = container_of(request, struct call, request);
	if (!call->over)
		calls_forget(request->clients->node->calls, call->id);
	client_request_end(request);
}

static void call_free(struct client_request *request)
{
	struct call *call = container_of(request, struct call, request);
	follow_stop(call->follow, NULL, NULL);
	buf_fini(&call->last);
	free(call);
}

static const struct client_request_ops call_ops = {
	.cancel = call_cancel,
	.abandon = call_abandon,
	.free = call_free,
};

static void on_output(void *user, uint32_t node, const struct log_chunk *chunk)
{
	struct call *call = user;
	if (chunk->len > 0)
		clients_tell_log(&call->request, node, chunk);
}

static void on_output_end(void *user, uint64_t lost)
{
	struct call *call = user;
	call->follow = NULL;
	client_request_answer(&call->request, &call->last);
}

static void on_call_done(void *user, const struct call_result *result)
{
	struct call *call = user;
	call->over = true;
	if (!call->follow) {
		struct buf b = {0};
		pack_result(&b, "result", call->request.req, result);
		client_request_answer(&call->request, &b);
		return;
	}
	/* what it printed comes before its result */
	pack_result(&call->last, "result", call->request.req, result);
	follow_stop(call->follow, on_output_end, call);
}

static int get_ms(
	const struct wire_value *body, const char *key, uint64_t *ret_ns, struct ramet_err *err)
{
	uint64_t ms;
	int rc = wire_get_uint_or(body, key, UINT32_MAX, 0, &ms, err);
	if (rc == 0)
		*ret_ns = ms * NSEC_PER_MSEC;
	return rc;
}

static int get_data(const struct wire_value *body, const void **ret_data, size_t *ret_len,
	struct ramet_err *err)
{
	int rc = wire_get_bin(body, "data", ret_data, ret_len, err);
	if (rc == 0 && *ret_len > CLIENT_MAX_PAYLOAD)
		rc = err_set(err, RAMET_ELIMIT, "the input has %zu bytes: at most %u are allowed",
			*ret_len, CLIENT_MAX_PAYLOAD);
	return rc;
}

struct call_fields {
	char name[CALL_NAME_MAX];
	struct call_request request;
	bool follow;
};

static int parse_call(struct client *client, const struct wire_value *body, struct call_fields *ret,
	struct ramet_err *err)
{
	uint64_t rank = 0, size = 1;
	struct call_request *request = &ret->request;
	int rc = client_get_name(body, ret->name, err);
	if (rc == 0)
		rc = get_data(body, &request->data, &request->len, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "binary", false, &request->binary, err);
	if (rc == 0)
		rc = client_get_node(client, body, &request->node, err);
	if (rc == 0)
		rc = get_ms(body, "deadline_ms", &request->deadline_ns, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "detach", false, &request->detach, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "follow", false, &ret->follow, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "rank", UINT32_MAX, 0, &rank, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "size", UINT32_MAX, 1, &size, err);
	if (rc == 0 && rank >= MAX(size, 1u))
		rc = err_set(err, RAMET_EINVAL, "rank %u of %u", (unsigned)rank, (unsigned)size);
	if (rc < 0)
		return rc;
	request->tenant = client->uid;
	request->function = ret->name;
	request->rank = (uint32_t)rank;
	request->size = (uint32_t)MAX(size, 1u);
	return 0;
}

/* nobody waits: told at once what its id is */
static int submit_detached(struct client *client, uint64_t req, const struct call_fields *fields,
	struct ramet_err *err)
{
	struct node *node = client->clients->node;
	struct registry_entry *entry;
	char id[CALL_ID_MAX];
	int rc = registry_find(node->registry, client->uid, fields->name, &entry, err);
	if (rc < 0)
		return rc;
	struct call_result result = {0};
	snprintf(result.function, sizeof(result.function), "%s", entry->name);
	snprintf(result.version, sizeof(result.version), "%s", entry->version->id);
	rc = calls_submit(node->calls, &fields->request, NULL, NULL, id, err);
	if (rc < 0)
		return rc;
	struct buf b = {0};
	client_message(&b, "accepted", req, 1);
	wire_kstr(&b, "call", id);
	client_answer(client, &b);
	if (client->closing)
		return 0;
	snprintf(result.id, sizeof(result.id), "%s", id);
	result.rank = fields->request.rank;
	result.size = fields->request.size;
	pack_result(&b, "result", req, &result);
	client_answer(client, &b);
	return 0;
}

static int begin_follow(struct call *call, struct ramet_err *err)
{
	struct log_filter filter = {.uid = call->request.uid, .all_uids = call->request.uid == 0};
	snprintf(filter.call, sizeof(filter.call), "%s", call->id);
	return follow_start(call->request.clients->node->follows, &filter, 0, on_output, call,
		&call->follow, err);
}

int clients_on_call(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct call_fields fields = {0};
	struct client_request *request;
	int rc = parse_call(client, body, &fields, err);
	if (rc < 0)
		return rc;
	if (fields.request.detach)
		return submit_detached(client, req, &fields, err);
	rc = client_request_begin(client, req, sizeof(struct call), &call_ops, &request, err);
	if (rc < 0)
		return rc;
	struct call *call = container_of(request, struct call, request);
	/* the id first, so that nothing it prints is missed */
	calls_make_id(client->clients->node->calls, call->id);
	fields.request.id = call->id;
	if (fields.follow)
		rc = begin_follow(call, err);
	if (rc == 0)
		rc = calls_submit(client->clients->node->calls, &fields.request, on_call_done, call,
			NULL, err);
	if (rc < 0) {
		client_request_end(request);
		return rc;
	}
	tell_accepted(request, call->id);
	return 0;
}

/* --- burst --- */

struct burst {
	struct client_request request; /* first */
	char id[CALL_ID_MAX];
};

static int burst_cancel(struct client_request *request, struct ramet_err *err)
{
	struct burst *burst = container_of(request, struct burst, request);
	return bursts_cancel(request->clients->node->bursts, request->uid, burst->id);
}

static void burst_abandon(struct client_request *request)
{
	struct burst *burst = container_of(request, struct burst, request);
	bursts_forget(request->clients->node->bursts, burst->id);
	client_request_end(request);
}

static void burst_free(struct client_request *request)
{
	free(container_of(request, struct burst, request));
}

static const struct client_request_ops burst_ops = {
	.cancel = burst_cancel,
	.abandon = burst_abandon,
	.free = burst_free,
};

static void on_burst_result(void *user, const struct call_result *result)
{
	struct burst *burst = user;
	struct buf b = {0};
	pack_result(&b, "result", burst->request.req, result);
	client_request_tell(&burst->request, &b);
}

static void on_burst_summary(void *user, const struct burst_summary *summary)
{
	struct burst *burst = user;
	struct buf b = {0};
	client_message(&b, "summary", burst->request.req, 9);
	wire_kuint(&b, "n", summary->count);
	wire_kuint(&b, "ok", summary->ok);
	wire_kuint(&b, "failed", summary->failed);
	wire_kuint(&b, "warm", summary->warm);
	wire_kuint(&b, "local_fork", summary->local_fork);
	wire_kuint(&b, "remote_fork", summary->remote_fork);
	wire_kuint(&b, "cold", summary->cold);
	wire_kuint(&b, "nodes", summary->nodes);
	wire_kuint(&b, "total", summary->total_ns);
	client_request_answer(&burst->request, &b);
}

static const struct burst_handler burst_handler = {
	.on_result = on_burst_result,
	.on_summary = on_burst_summary,
};

int clients_on_burst(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct burst_request fields = {.tenant = client->uid};
	struct client_request *request;
	char name[CALL_NAME_MAX];
	uint64_t n;
	int rc = client_get_name(body, name, err);
	if (rc == 0)
		rc = get_data(body, &fields.data, &fields.len, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "binary", false, &fields.binary, err);
	if (rc == 0)
		rc = client_get_node(client, body, &fields.node, err);
	if (rc == 0)
		rc = get_ms(body, "deadline_ms", &fields.deadline_ns, err);
	if (rc == 0)
		rc = wire_get_uint(body, "n", UINT32_MAX, &n, err);
	if (rc == 0 && (n == 0 || n > CLIENT_MAX_BURST))
		rc = err_set(err, RAMET_ELIMIT, "a burst of %u: 1 to %u are allowed", (unsigned)n,
			CLIENT_MAX_BURST);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct burst), &burst_ops, &request, err);
	if (rc < 0)
		return rc;
	struct burst *burst = container_of(request, struct burst, request);
	fields.function = name;
	fields.count = (uint32_t)n;
	rc = bursts_submit(
		client->clients->node->bursts, &fields, &burst_handler, burst, burst->id, err);
	if (rc < 0) {
		client_request_end(request);
		return rc;
	}
	tell_accepted(request, burst->id);
	return 0;
}

/* --- wait --- */

struct wait {
	struct client_request request; /* first */
	struct call_wait *wait; /* NULL: it is over */
};

static int wait_cancel(struct client_request *request, struct ramet_err *err)
{
	struct ramet_err cancelled = {0};
	err_set(&cancelled, RAMET_ECANCELED, "waiting was cancelled; the call goes on");
	client_request_fail(request, &cancelled);
	return 0;
}

static void wait_free(struct client_request *request)
{
	struct wait *wait = container_of(request, struct wait, request);
	if (wait->wait)
		calls_wait_cancel(wait->wait);
	free(wait);
}

static const struct client_request_ops wait_ops = {
	.cancel = wait_cancel,
	.abandon = client_request_end,
	.free = wait_free,
};

static void on_wait_done(void *user, const struct call_result *result)
{
	struct wait *wait = user;
	wait->wait = NULL;
	/* a result without a function is about the waiting, not about the call */
	if (!result->function[0] && result->error.err.code) {
		client_request_fail_with(&wait->request, &result->error);
		return;
	}
	struct buf b = {0};
	pack_result(&b, "result", wait->request.req, result);
	client_request_answer(&wait->request, &b);
}

int clients_on_wait(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct client_request *request;
	char id[CALL_ID_MAX];
	uint64_t timeout_ns;
	int rc = wire_get_str(body, "call", id, sizeof(id), err);
	if (rc == 0)
		rc = get_ms(body, "timeout_ms", &timeout_ns, err);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct wait), &wait_ops, &request, err);
	if (rc < 0)
		return rc;
	struct wait *wait = container_of(request, struct wait, request);
	rc = calls_wait(client->clients->node->calls, client->uid, id, timeout_ns, on_wait_done,
		wait, &wait->wait, err);
	if (rc < 0) {
		wait->wait = NULL;
		client_request_end(request);
	}
	return rc;
}

/* --- cancel --- */

static int cancel_id(struct client *client, const char *id, struct ramet_err *err)
{
	struct node *node = client->clients->node;
	if (calls_cancel(node->calls, client->uid, id) == 0 ||
		bursts_cancel(node->bursts, client->uid, id) == 0)
		return 0;
	return err_set(err, RAMET_ENOTFOUND, "no call %s: it is over, or never was", id);
}

static int cancel_request(struct client *client, uint64_t of, struct ramet_err *err)
{
	struct client_request *request = client_find_request(client, of);
	if (!request)
		return err_set(err, RAMET_ENOTFOUND, "request %llu is over, or never was",
			(unsigned long long)of);
	if (!request->ops->cancel)
		return err_set(err, RAMET_ENOTSUP, "a request of this kind cannot be cancelled");
	int rc = request->ops->cancel(request, err);
	if (rc < 0 && (!err || !err->code))
		err_set(err, rc, "request %llu: %s", (unsigned long long)of, err_text(rc));
	return rc;
}

int clients_on_cancel(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	char id[CALL_ID_MAX];
	uint64_t of;
	int rc = wire_get_uint_or(body, "of", UINT64_MAX, 0, &of, err);
	if (rc == 0)
		rc = wire_get_str_or(body, "call", "", id, sizeof(id), err);
	if (rc < 0)
		return rc;
	if (!of && !id[0])
		return err_set(err, RAMET_EPROTO, "cancel needs of or call");
	rc = of ? cancel_request(client, of, err) : cancel_id(client, id, err);
	if (rc < 0 || client->closing)
		return rc;
	struct buf b = {0};
	client_message(&b, "cancelled", req, 0);
	client_answer(client, &b);
	return 0;
}
