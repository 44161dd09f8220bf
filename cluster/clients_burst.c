/* The request burst: one function, many calls at the same time. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "cluster/bursts.h"
#include "cluster/client_proto.h"
#include "cluster/node.h"

#include <stdlib.h>

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
	client_pack_result(&b, "result", burst->request.req, result);
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
	uint64_t n = 0;
	int rc = client_get_name(body, name, err);
	if (rc == 0)
		rc = client_get_data(body, &fields.data, &fields.len, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "binary", false, &fields.binary, err);
	if (rc == 0)
		rc = client_get_node(client, body, &fields.node, err);
	if (rc == 0)
		rc = client_get_ms(body, "deadline_ms", &fields.deadline_ns, err);
	if (rc == 0)
		rc = wire_get_uint(body, "n", UINT32_MAX, &n, err);
	if (rc == 0 && (n == 0 || n > CLIENT_MAX_BURST))
		rc = err_set(err, RAMET_ELIMIT, "a burst of %u: 1 to %u are allowed", (unsigned)n,
			CLIENT_MAX_BURST);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct burst), &burst_ops, &request, err);
	if (rc != 0)
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
	client_tell_accepted(request, burst->id);
	return 0;
}
