/* Shares of peers' bursts that run here. */
#include "cluster/bursts_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void guest_free(struct guest *guest)
{
	list_remove(&guest->link);
	free(guest);
}

static void on_guest_result(void *user, const struct call_result *result)
{
	struct guest *guest = user;
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "id", guest->id);
	wire_key(&b, "result");
	call_result_pack(result, &b);
	struct ramet_err err = {0};
	if (wire_end(&b, &err) < 0)
		log_err(LOG_ERROR, "burst.result", &err); /* the peer's deadline ends that rank */
	else if (guest->node != 0)
		bus_notify(guest->bursts->node->bus, guest->node, "burst.result", &b);
	if (--guest->left > 0)
		return;
	guest_free(guest);
}

static void guest_rank_failed(struct guest *guest, const struct call_request *request,
	const struct app_version *app, const struct ramet_err *err)
{
	struct call_result result = {
		.rank = request->rank,
		.size = request->size,
		.error = {.err = *err, .node = guest->bursts->node->config.node},
	};
	snprintf(result.id, sizeof(result.id), "%s", request->id);
	snprintf(result.function, sizeof(result.function), "%s", request->function);
	snprintf(result.version, sizeof(result.version), "%s", app->id);
	on_guest_result(guest, &result);
}

static void guest_run(
	struct guest *guest, const struct call_order *order, uint32_t first, uint32_t count)
{
	char id[CALL_ID_MAX];
	struct calls *calls = guest->bursts->node->calls;
	struct call_request request = order->request;
	request.app = order->app;
	request.id = id;
	request.origin = guest->node;
	request.own_instance = true;
	guest->left = count; /* whose last result frees it, also from within this loop */
	for (uint32_t i = 0; i < count; i++) {
		struct ramet_err err = {0};
		request.rank = first + i;
		burst_member_id(order->id, request.rank, id);
		if (calls_submit(calls, &request, on_guest_result, guest, NULL, &err) < 0)
			guest_rank_failed(guest, &request, order->app, &err);
	}
}

static int parse_share(const struct wire_value *body, uint32_t *ret_first, uint32_t *ret_count,
	struct ramet_err *err)
{
	uint64_t first = 0;
	uint64_t count = 0;
	uint64_t size = 0;
	int rc = wire_get_uint(body, "size", CLIENT_MAX_BURST, &size, err);
	if (rc == 0)
		rc = wire_get_uint(body, "first", size, &first, err);
	if (rc == 0)
		rc = wire_get_uint(body, "count", size - first, &count, err);
	if (rc == 0 && count == 0)
		rc = err_set(err, RAMET_EPROTO, "count: 0");
	if (rc < 0)
		return rc;
	*ret_first = (uint32_t)first;
	*ret_count = (uint32_t)count;
	return 0;
}

void bursts_on_run(
	struct bursts *bursts, struct bus_request *bus_request, const struct wire_value *body)
{
	struct call_order order;
	struct ramet_err err = {0};
	uint32_t first = 0;
	uint32_t count = 0;
	struct guest *guest = NULL;
	int rc = calls_parse_order(bursts->node->calls, body, &order, &err);
	if (rc == 0) {
		rc = parse_share(body, &first, &count, &err);
		if (rc == 0 && !(guest = calloc(1, sizeof(*guest))))
			rc = err_nomem(&err);
		if (rc == 0) {
			guest->bursts = bursts;
			guest->node = bus_request_node(bus_request);
			memcpy(guest->id, order.id, sizeof(guest->id));
			list_append(&bursts->guests, &guest->link);
			bus_reply(bus_request, NULL);
			guest_run(guest, &order, first, count);
		}
		app_version_put(order.app);
	}
	if (rc < 0)
		bus_reply_err(bus_request, &err);
}

void bursts_on_cancel(
	struct bursts *bursts, struct bus_request *request, const struct wire_value *body)
{
	char id[CALL_ID_MAX];
	struct ramet_err err = {0};
	int rc = wire_get_str(body, "id", id, sizeof(id), &err);
	if (rc == 0)
		calls_cancel_group(bursts->node->calls, id, bus_request_node(request));
	bus_reply(request, NULL);
}
