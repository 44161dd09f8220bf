/* Leases of our clients on other nodes: the node is asked (leases_remote.h), the stream to it is
 * opened, and given to the client. Over TCP he has it to himself from then on, by RDMA a relay of
 * ours is in between (lease_relay.h), for as long as the request lasts. We tell him when that node
 * dies. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/app_version.h"
#include "cluster/bus.h"
#include "cluster/client_proto.h"
#include "cluster/data_paths.h"
#include "cluster/lease_relay.h"
#include "cluster/node.h"
#include "cluster/registry.h"
#include "cluster/segments.h"
#include "runtime/slots/slots.h"
#include "transport/stream.h"

#include <stdlib.h>
#include <string.h>

#define TAKE_NS (5 * NSEC_PER_SEC)

struct far_lease {
	struct client_request request; /* first */
	uint32_t node;
	uint64_t bus_id; /* 0: it has answered */
	struct slots slots; /* the client's, so that we can close them for it */
	struct stream_opening *opening;
	struct lease_relay *relay; /* by RDMA: for as long as the lease */
	char transport[16];
	char version[VERSION_HEX + 1];
	/* as the node says */
	uint64_t id; /* 0: none yet */
	uint64_t instance, pid, deadline_ms, output;
	bool idempotent, once;
};

static struct bus *bus_of(const struct far_lease *f)
{
	return f->request.clients->node->bus;
}

/* nothing of it is left on our side; the node ends it by itself when nobody comes */
static void let_go(struct far_lease *f)
{
	CLEANUP(buf_fini) struct buf b = {0};
	if (f->bus_id)
		bus_forget(bus_of(f), f->bus_id);
	f->bus_id = 0;
	stream_open_cancel(steal_ptr(&f->opening));
	lease_relay_end(steal_ptr(&f->relay));
	if (f->id == 0)
		return;
	wire_map(&b, 1);
	wire_kuint(&b, "lease", f->id);
	if (wire_end(&b, NULL) == 0)
		bus_notify(bus_of(f), f->node, "lease.close", &b);
	f->id = 0;
}

static int on_cancel(struct client_request *request, struct ramet_err *err)
{
	struct far_lease *f = container_of(request, struct far_lease, request);
	struct buf b = {0};
	(void)err;
	let_go(f);
	client_message(&b, "ended", request->req, 0);
	client_request_answer(request, &b);
	return 0;
}

static void on_abandon(struct client_request *request)
{
	let_go(container_of(request, struct far_lease, request));
	client_request_end(request);
}

static void on_free(struct client_request *request)
{
	struct far_lease *f = container_of(request, struct far_lease, request);
	if (request->client)
		request->client->nleases--;
	slots_close(&f->slots);
	lease_relay_end(f->relay);
	free(f);
}

static const struct client_request_ops far_ops = {
	.cancel = on_cancel, .abandon = on_abandon, .free = on_free};

static void tell_leased(struct far_lease *f, int fd)
{
	struct client *client = f->request.client;
	struct buf b = {0};
	client_message(&b, "leased", f->request.req, 11);
	wire_kuint(&b, "lease", f->id);
	wire_kstr(&b, "version", f->version);
	wire_kuint(&b, "node", f->node);
	wire_kuint(&b, "instance", f->instance);
	wire_kuint(&b, "pid", f->pid);
	wire_kuint(&b, "deadline_ms", f->deadline_ms);
	wire_kuint(&b, "output", f->output);
	wire_kbool(&b, "idempotent", f->idempotent);
	wire_kbool(&b, "once", f->once);
	wire_kbool(&b, "stream", true);
	wire_kuint(&b, "time", now_ns());
	const int fds[] = {f->slots.fd, fd};
	client_send_fds(client, &b, fds, 2);
}

static void on_opened(void *user, int opened, const struct ramet_err *error)
{
	struct far_lease *f = user;
	auto_close int fd = opened;
	struct ramet_err err = {0};
	struct node *node = f->request.clients->node;
	f->opening = NULL;
	if (fd < 0)
		data_paths_lost(node->paths, f->node, DATA_LEASES, f->transport, error);
	else
		data_paths_reached(node->paths, f->node, DATA_LEASES);
	int rc = fd < 0 ? error->code : slots_create(false, &f->slots, &err);
	if (rc == 0) {
		tell_leased(f, fd);
		return;
	}
	if (fd < 0)
		err = *error;
	err_prefix(&err, "calls to node %u", f->node);
	let_go(f);
	client_request_fail(&f->request, &err);
}

/* the client sees an end; the next lease goes another way */
static void on_lost(void *user, const struct ramet_err *err)
{
	const struct far_lease *f = user;
	data_paths_lost(f->request.clients->node->paths, f->node, DATA_LEASES, f->transport, err);
}

static const struct lease_relay_handler relay_handler = {
	.on_opened = on_opened, .on_lost = on_lost};

static int open_way(struct far_lease *f, const char *addr, const void *token, struct ramet_err *err)
{
	const struct node *node = f->request.clients->node;
	data_paths_taken(node->paths, f->node, DATA_LEASES, f->transport);
	if (strcmp(f->transport, "tcp") == 0)
		return stream_open(node->loop, addr, token, SEGMENTS_TOKEN_BYTES,
			node->config.rdma.peer_timeout_ms, on_opened, f, &f->opening, err);
	return lease_relay_open(node->segments, node->loop, f->transport, addr, token,
		SEGMENTS_TOKEN_BYTES, &relay_handler, f, &f->relay, err);
}

static int parse_taken(struct far_lease *f, const struct wire_value *body,
	char addr[TRANSPORT_ADDR_MAX], const void **ret_token, struct ramet_err *err)
{
	size_t len = 0;
	int rc = wire_get_uint(body, "lease", UINT64_MAX, &f->id, err);
	if (rc == 0)
		rc = wire_get_str(body, "transport", f->transport, sizeof(f->transport), err);
	if (rc == 0)
		rc = wire_get_str(body, "addr", addr, TRANSPORT_ADDR_MAX, err);
	if (rc == 0)
		rc = wire_get_bin(body, "token", ret_token, &len, err);
	if (rc == 0 && len != SEGMENTS_TOKEN_BYTES)
		rc = err_set(err, RAMET_EPROTO, "a token of %zu bytes", len);
	if (rc == 0)
		rc = wire_get_uint(body, "instance", UINT64_MAX, &f->instance, err);
	if (rc == 0)
		rc = wire_get_uint(body, "pid", INT32_MAX, &f->pid, err);
	if (rc == 0)
		rc = wire_get_uint(body, "deadline_ms", UINT32_MAX, &f->deadline_ms, err);
	if (rc == 0)
		rc = wire_get_uint(body, "output", UINT64_MAX, &f->output, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "idempotent", false, &f->idempotent, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "once", false, &f->once, err);
	return rc;
}

static void on_taken(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct far_lease *f = user;
	char addr[TRANSPORT_ADDR_MAX];
	const void *token = NULL;
	struct ramet_err err = {0};
	f->bus_id = 0;
	int rc = error ? error->code : parse_taken(f, body, addr, &token, &err);
	if (error)
		err = *error;
	if (rc == 0)
		rc = open_way(f, addr, token, &err);
	if (rc == 0)
		return;
	let_go(f);
	client_request_fail(&f->request, &err);
}

static int ask(struct far_lease *f, const char *function, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	const struct node *node = f->request.clients->node;
	wire_map(&b, 4);
	wire_kuint(&b, "uid", f->request.uid);
	wire_kbool(&b, "verbs", data_paths_verbs(node->paths, f->node, DATA_LEASES));
	wire_kstr(&b, "function", function);
	wire_kstr(&b, "version", f->version);
	int rc = wire_end(&b, err);
	if (rc == 0)
		rc = bus_call(bus_of(f), f->node, "lease.take", &b, TAKE_NS, on_taken, f,
			&f->bus_id, err);
	return rc;
}

int clients_lease_far(struct client *client, uint64_t req, const char *function, uint32_t node,
	struct ramet_err *err)
{
	struct client_request *request = NULL;
	struct registry_entry *entry = NULL;
	int rc = registry_find(client->clients->node->registry, client->uid, function, &entry, err);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct far_lease), &far_ops, &request, err);
	if (rc < 0)
		return rc;
	client->nleases++;
	struct far_lease *f = container_of(request, struct far_lease, request);
	f->node = node;
	memcpy(f->version, entry->version->id, sizeof(f->version));
	rc = ask(f, function, err);
	if (rc < 0)
		client_request_end(request);
	return rc;
}

/* calls after this are those of the next version: the client submits nothing more */
void clients_leases_drop_version(struct clients *clients, const char *version)
{
	list_for_each (client, &clients->list, struct client, link) {
		list_for_each (request, &client->requests, struct client_request, link) {
			struct far_lease *f = container_of(request, struct far_lease, request);
			if (request->ops == &far_ops && f->slots.header &&
				strcmp(f->version, version) == 0)
				slots_set_closing(&f->slots);
		}
	}
}

/* who is only asked is told by the bus */
static struct far_lease *find_on(struct clients *clients, uint32_t node)
{
	list_for_each (client, &clients->list, struct client, link) {
		list_for_each (request, &client->requests, struct client_request, link) {
			struct far_lease *f = container_of(request, struct far_lease, request);
			if (request->ops == &far_ops && f->node == node && f->bus_id == 0)
				return f;
		}
	}
	return NULL;
}

void clients_leases_node_down(struct clients *clients, uint32_t node)
{
	struct ramet_err err;
	err_set(&err, RAMET_ELOST,
		"node %u went away while it had the call; whether it ran is unknown", node);
	struct far_lease *f = NULL;
	while ((f = find_on(clients, node))) { /* telling one client may end others */
		f->id = 0;
		let_go(f);
		client_request_fail(&f->request, &err);
	}
}
