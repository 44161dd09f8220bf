/* The request call: one run of a function, awaited, followed, listened to or detached. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/calls.h"
#include "cluster/client_proto.h"
#include "cluster/follow.h"
#include "cluster/node.h"

#include <stdio.h>
#include <string.h>

_Static_assert(CLIENT_EVENT_WEIGHT == HOST_EVENT_WEIGHT && CLIENT_EVENT_WINDOW == HOST_EVENT_WINDOW,
	"what clients weigh is what instances weigh");

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

static void on_event(void *user, const struct call_event *event)
{
	struct call *call = user;
	struct buf b = {0};
	client_message(&b, "event", call->request.req, CALL_EVENT_PAIRS);
	call_event_pack_pairs(event, &b);
	client_request_tell(&call->request, &b); /* which may forget the call */
}

int clients_on_taken(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	uint64_t of = 0;
	uint64_t weight = 0;
	int rc = wire_get_uint(body, "of", UINT64_MAX, &of, err);
	if (rc == 0)
		rc = wire_get_uint(body, "weight", UINT64_MAX, &weight, err);
	if (rc < 0)
		return rc;
	struct client_request *request = client_find_request(client, of);
	if (request && request->ops == &call_ops) {
		const struct call *call = container_of(request, struct call, request);
		calls_taken(client->clients->node->calls, call->id, weight);
	}
	struct buf b = {0};
	client_message(&b, "taken", req, 0);
	client_send(client, &b);
	return 0;
}

static void on_call_done(void *user, const struct call_result *result)
{
	struct call *call = user;
	call->over = true;
	if (!call->follow) {
		struct buf b = {0};
		client_pack_result(&b, "result", call->request.req, result);
		client_request_answer(&call->request, &b);
		return;
	}
	/* what it printed comes before its result */
	client_pack_result(&call->last, "result", call->request.req, result);
	follow_stop(call->follow, on_output_end, call);
}

struct call_fields {
	char name[CALL_NAME_MAX];
	struct call_request request;
	bool follow, events;
};

static int parse_call(struct client *client, const struct wire_value *body, struct call_fields *ret,
	struct ramet_err *err)
{
	uint64_t rank = 0, size = 1;
	struct call_request *request = &ret->request;
	int rc = client_get_name(body, ret->name, err);
	if (rc == 0)
		rc = client_get_data(body, &request->data, &request->len, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "binary", false, &request->binary, err);
	if (rc == 0)
		rc = client_get_node(client, body, &request->node, err);
	if (rc == 0)
		rc = client_get_ms(body, "deadline_ms", &request->deadline_ns, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "detach", false, &request->detach, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "follow", false, &ret->follow, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "events", false, &ret->events, err);
	if (rc == 0 && ret->events && request->detach)
		rc = err_set(err, RAMET_EINVAL, "nobody listens to a detached call");
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
	client_send(client, &b);
	if (client->closing)
		return 0;
	snprintf(result.id, sizeof(result.id), "%s", id);
	result.rank = fields->request.rank;
	result.size = fields->request.size;
	client_pack_result(&b, "result", req, &result);
	client_send(client, &b);
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
	fields.request.on_event = fields.events ? on_event : NULL;
	if (fields.follow)
		rc = begin_follow(call, err);
	if (rc == 0)
		rc = calls_submit(client->clients->node->calls, &fields.request, on_call_done, call,
			NULL, err);
	if (rc < 0) {
		client_request_end(request);
		return rc;
	}
	client_tell_accepted(request, call->id);
	return 0;
}
