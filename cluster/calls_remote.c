/* Calls that run on another node than the one a client gave them to: asking a peer, and serving
 * one. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/bus.h"
#include "cluster/node.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MAX_NS (3600ull * NSEC_PER_SEC)

/* --- asking --- */

static void pack_run(const struct call *call, struct buf *b)
{
	uint64_t now = now_ns();
	uint64_t left = call->deadline_ns == 0 ? 0
		: call->deadline_ns > now      ? call->deadline_ns - now
					       : 1;
	wire_map(b, 10 + call->with_meta + (call->on_event != NULL));
	wire_kstr(b, "id", call->id);
	wire_kuint(b, "uid", call->tenant);
	wire_kstr(b, "function", call->function);
	wire_kstr(b, "version", call->app->id);
	wire_kbin(b, "data", call->data, call->len);
	wire_kbool(b, "binary", call->binary);
	wire_kuint(b, "deadline", left);
	wire_kuint(b, "rank", call->rank);
	wire_kuint(b, "size", call->size);
	wire_kbool(b, "own", call->own);
	if (call->on_event)
		wire_kbool(b, "events", true);
	if (call->with_meta) {
		wire_key(b, "meta");
		app_version_pack(call->app, b);
	}
}

static struct call_peer *find_peer(const struct calls *calls, uint32_t node)
{
	list_for_each (peer, &calls->peers, struct call_peer, link)
		if (peer->node == node)
			return peer;
	return NULL;
}

unsigned calls_forwarded_to(const struct calls *calls, uint32_t node)
{
	const struct call_peer *peer = find_peer(calls, node);
	return peer ? peer->calls : 0;
}

static void count_at_peer(struct call *call)
{
	struct call_peer *peer = find_peer(call->calls, call->peer);
	if (!peer) {
		peer = calloc(1, sizeof(*peer));
		if (!peer)
			return; /* it is placed as if it were not there */
		peer->node = call->peer;
		list_append(&call->calls->peers, &peer->link);
	}
	peer->calls++;
	call->counted = peer;
}

void calls_destroy_peers(struct calls *calls)
{
	list_for_each_safe (peer, &calls->peers, struct call_peer, link)
		free(peer);
}

static void leave_peer(struct call *call)
{
	struct call_peer *peer = steal_ptr(&call->counted);
	if (peer)
		peer->calls--;
	call->bus_id = 0;
	call->state = CALL_WAITING;
	call->calls->nforwarded--;
}

static void forward_failed(struct call *call, const struct ramet_err *cause)
{
	struct call_error error = {.err = *cause, .node = call->peer};
	if (cause->code == RAMET_ENOTFOUND && !call->with_meta) {
		call->with_meta = true; /* the peer has not heard of the version yet: tell it */
		call_forward(call, call->peer);
		return;
	}
	if (cause->code == RAMET_EPEER || cause->code == RAMET_ECLOSED) {
		error.retryable = true;
		err_set(&error.err, RAMET_ELOST,
			"node %u went away while it had the call; whether it ran is unknown",
			call->peer);
		if (call_retry(call, &error, true))
			return;
	}
	call_finish_error(call, &error);
}

static void on_answer(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct call *call = user;
	leave_peer(call);
	if (error) {
		forward_failed(call, error);
		return;
	}
	struct call_result result = {0};
	struct ramet_err err = {0};
	if (call_result_parse(body, &result, &err) < 0) {
		err_prefix(&err, "answer of node %u", call->peer);
		struct call_error bad = {.err = err, .node = call->peer};
		call_finish_error(call, &bad);
		return;
	}
	bool lost = result.error.err.code == RAMET_ELOST;
	bool refused = call_result_unfit(&result, call->app);
	if ((!lost && !refused) || !call_retry(call, &result.error, lost))
		call_finish(call, &result);
	call_result_fini(&result);
}

static void on_part(void *user, const struct wire_value *body)
{
	struct call *call = user;
	struct call_event event;
	if (call->on_event && call_event_parse(body, &event, NULL) == 0)
		call->on_event(call->user, &event);
}

void call_forward(struct call *call, uint32_t peer)
{
	struct node *node = call->calls->node;
	CLEANUP(buf_fini) struct buf b = {0};
	struct ramet_err err = {0};
	call->peer = peer;
	pack_run(call, &b);
	int rc = wire_end(&b, &err);
	if (rc == 0)
		rc = bus_call(
			node->bus, peer, "call.run", &b, 0, on_answer, call, &call->bus_id, &err);
	if (rc < 0) {
		call_fail_err(call, &err);
		return;
	}
	if (call->on_event)
		bus_want_parts(node->bus, call->bus_id, on_part);
	call->state = CALL_FORWARDED;
	call->calls->nforwarded++;
	count_at_peer(call);
}

void call_unforward(struct call *call, bool tell)
{
	struct node *node = call->calls->node;
	bus_forget(node->bus, call->bus_id);
	leave_peer(call);
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "id", call->id);
	wire_kuint(&b, "uid", call->tenant);
	if (tell && wire_end(&b, NULL) == 0)
		bus_notify(node->bus, call->peer, "call.cancel", &b);
}

void call_tell_taken(struct call *call, uint64_t weight)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 3);
	wire_kstr(&b, "id", call->id);
	wire_kuint(&b, "uid", call->tenant);
	wire_kuint(&b, "weight", weight);
	if (wire_end(&b, NULL) == 0)
		bus_notify(call->calls->node->bus, call->peer, "call.taken", &b);
}

/* --- serving --- */

static void served_event(void *user, const struct call_event *event)
{
	struct buf b = {0};
	wire_map(&b, CALL_EVENT_PAIRS);
	call_event_pack_pairs(event, &b);
	bus_part(user, &b);
}

static void served_done(void *user, const struct call_result *result)
{
	struct bus_request *request = user;
	CLEANUP(buf_fini) struct buf b = {0};
	struct ramet_err err = {0};
	call_result_pack(result, &b);
	if (wire_end(&b, &err) == 0)
		bus_reply(request, &b);
	else
		bus_reply_err(request, &err);
}

void call_served_drop(call_done_fn *done, void *user)
{
	struct ramet_err err = {0};
	if (done != served_done)
		return;
	err_set(&err, RAMET_ECLOSED, "the node is shutting down");
	bus_reply_err(user, &err);
}

/* the version a peer means: ours if we know it, else the one it describes */
static int version_of(struct calls *calls, const struct wire_value *body,
	struct app_version **ret_app, struct ramet_err *err)
{
	char id[VERSION_HEX + 1];
	int rc = wire_get_str(body, "version", id, sizeof(id), err);
	if (rc < 0)
		return rc;
	struct app_version *known = registry_version(calls->node->registry, id);
	if (known) {
		*ret_app = app_version_get(known);
		return 0;
	}
	if (!wire_has(body, "meta"))
		return err_set(err, RAMET_ENOTFOUND, "version %.12s is not known on node %u", id,
			calls->node->config.node);
	const struct wire_value *meta = NULL;
	rc = wire_get_map(body, "meta", &meta, err);
	return rc < 0 ? rc : app_version_parse(meta, id, ret_app, err);
}

static int parse_uint32(
	const struct wire_value *body, const char *key, uint32_t *ret, struct ramet_err *err)
{
	uint64_t value = 0;
	int rc = wire_get_uint(body, key, UINT32_MAX, &value, err);
	if (rc == 0)
		*ret = (uint32_t)value;
	return rc;
}

static int parse_run(const struct wire_value *body, struct call_request *r, char *id,
	char *function, struct ramet_err *err)
{
	uint64_t rank = 0;
	int rc = wire_get_str(body, "id", id, CALL_ID_MAX, err);
	if (rc == 0)
		rc = wire_get_str(body, "function", function, CALL_NAME_MAX, err);
	if (rc == 0)
		rc = parse_uint32(body, "uid", &r->tenant, err);
	if (rc == 0)
		rc = wire_get_bin(body, "data", &r->data, &r->len, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "binary", false, &r->binary, err);
	if (rc == 0)
		rc = wire_get_uint(body, "deadline", UINT64_MAX, &r->deadline_ns, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "rank", UINT32_MAX, 0, &rank, err);
	if (rc == 0)
		rc = parse_uint32(body, "size", &r->size, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "own", false, &r->own_instance, err);
	r->rank = (uint32_t)rank;
	return rc;
}

/* tenants are checked here too, though the asking node has done so: a peer that is wrong harms
 * itself only */
static int check_tenant(
	const struct call_request *r, const struct app_version *app, struct ramet_err *err)
{
	if (r->tenant != 0 && r->tenant != app->uid)
		return err_set(
			err, RAMET_EPERM, "version %.12s belongs to another tenant", app->id);
	if (!app_version_function(app, r->function))
		return err_set(err, RAMET_ENOTFOUND, "version %.12s has no function %s", app->id,
			r->function);
	return 0;
}

int calls_parse_order(struct calls *calls, const struct wire_value *body,
	struct call_order *ret_order, struct ramet_err *err)
{
	auto_app_version struct app_version *app = NULL;
	struct call_order *o = ret_order;
	o->request = (struct call_request){.id = o->id, .function = o->function};
	int rc = parse_run(body, &o->request, o->id, o->function, err);
	if (rc == 0)
		rc = version_of(calls, body, &app, err);
	if (rc == 0)
		rc = check_tenant(&o->request, app, err);
	if (rc == 0)
		o->app = o->request.app = steal_ptr(&app);
	return rc;
}

void calls_on_run(struct calls *calls, struct bus_request *request, const struct wire_value *body)
{
	struct call_order order;
	struct ramet_err err = {0};
	int rc = calls_parse_order(calls, body, &order, &err);
	bool events = false;
	if (rc == 0) {
		rc = wire_get_bool_or(body, "events", false, &events, &err);
		if (rc < 0)
			app_version_put(order.app);
	}
	if (rc == 0) {
		order.request.on_event = events ? served_event : NULL;
		order.request.origin = bus_request_node(request);
		rc = calls_submit(calls, &order.request, served_done, request, NULL, &err);
		app_version_put(order.app);
	}
	if (rc < 0)
		bus_reply_err(request, &err);
}

void calls_on_cancel(
	struct calls *calls, struct bus_request *request, const struct wire_value *body)
{
	char id[CALL_ID_MAX];
	uint32_t uid = 0;
	struct ramet_err err = {0};
	int rc = wire_get_str(body, "id", id, sizeof(id), &err);
	if (rc == 0)
		rc = parse_uint32(body, "uid", &uid, &err);
	if (rc == 0)
		rc = calls_cancel(calls, uid, id);
	if (rc < 0 && err.code == 0)
		err_set(&err, rc, "call %s is over, or never was", id);
	if (rc < 0)
		bus_reply_err(request, &err);
	else
		bus_reply(request, NULL);
}

void calls_on_taken(struct calls *calls, struct bus_request *request, const struct wire_value *body)
{
	char id[CALL_ID_MAX];
	uint64_t weight = 0;
	const struct call *call = NULL;
	if (wire_get_str(body, "id", id, sizeof(id), NULL) == 0 &&
		wire_get_uint(body, "weight", UINT64_MAX, &weight, NULL) == 0)
		call = calls_find(calls, id);
	if (call && call->origin == bus_request_node(request))
		calls_taken(calls, id, weight);
	bus_reply(request, NULL);
}

void calls_on_wait(struct calls *calls, struct bus_request *request, const struct wire_value *body)
{
	char id[CALL_ID_MAX];
	uint32_t uid = 0;
	uint64_t timeout = 0;
	struct call_wait *wait = NULL;
	struct ramet_err err = {0};
	int rc = wire_get_str(body, "id", id, sizeof(id), &err);
	if (rc == 0)
		rc = parse_uint32(body, "uid", &uid, &err);
	if (rc == 0)
		rc = wire_get_uint(body, "timeout", WAIT_MAX_NS, &timeout, &err);
	if (rc == 0)
		rc = calls_wait(calls, uid, id, timeout, served_done, request, &wait, &err);
	if (rc < 0)
		bus_reply_err(request, &err);
}

void calls_node_down(struct calls *calls, uint32_t node)
{
	/* What we had forwarded there has failed through the bus already. It may live, and only we
	 * not hear it: then it learns that its calls are lost, and runs again those that it may. */
	for (unsigned i = 0; i < CALLS_BUCKETS; i++)
		list_for_each_safe (call, &calls->buckets[i], struct call, link)
			if (call->origin == node)
				call_orphan(call);
}
