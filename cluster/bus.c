/* The bus: peers, requests in flight, dispatch. Sockets are in bus_socket.c, messages' form in
 * bus_proto.h. */
#include "cluster/bus.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "cluster/bus_pending.h"
#include "cluster/bus_proto.h"
#include "cluster/bus_socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define HEADER_LIMITS ((struct wire_limits){.bytes = BUS_MAX_HEADER, .depth = 3, .items = 64})
#define BODY_LIMITS \
	((struct wire_limits){ \
		.bytes = BUS_MAX_MESSAGE, .depth = BUS_WIRE_DEPTH, .items = BUS_WIRE_ITEMS})
#define SILENCE_DEFAULT_MS 6400
#define TURN_MESSAGES 256 /* from one socket, before others have their turn */

struct bus_peer {
	struct list link;
	struct bus *bus;
	uint32_t node;
	struct bus_socket dealer, monitor;
	/* as the monitor told: for a moment after a loss ZeroMQ still takes messages, for nobody */
	bool connected;
};

/* a request of a peer that waits for our answer */
struct bus_request {
	struct list link;
	struct bus *bus; /* NULL: the bus has gone */
	uint32_t node;
	uint64_t req; /* 0: a notice */
	bool incomplete; /* a part could not be sent: the answer is an error */
	zmq_msg_t id;
};

struct bus {
	struct bus_options options;
	void *ctx;
	struct bus_socket router;
	char addr[256];
	struct list peers;
	struct list requests;
	struct bus_pending pending;
	struct loop_idle idle;
	struct log_limit garbage;
};

struct header {
	char type[BUS_TYPE_MAX + 1];
	uint64_t from, req;
	const struct wire_value *load;
};

static struct bus_peer *find_peer(struct bus *bus, uint32_t node)
{
	list_for_each (peer, &bus->peers, struct bus_peer, link)
		if (peer->node == node)
			return peer;
	return NULL;
}

static int pack_header(struct bus *bus, struct buf *b, const char *type, uint64_t req, bool load)
{
	load = load && bus->options.pack_load;
	wire_map(b, load ? 4 : 3);
	wire_kstr(b, "t", type);
	wire_kuint(b, "from", bus->options.node);
	wire_kuint(b, "req", req);
	if (load) {
		wire_key(b, "load");
		bus->options.pack_load(bus->options.user, b);
	}
	return wire_end(b, NULL);
}

/* takes body; NULL stands for an empty map */
static int send_message(struct bus *bus, struct bus_socket *socket, const zmq_msg_t *id,
	const char *type, uint64_t req, bool load, struct buf *body)
{
	struct buf header = {0}, empty = {0};
	if (!body) {
		wire_map(&empty, 0);
		body = &empty;
	}
	pack_header(bus, &header, type, req, load);
	loop_idle_due(bus->options.loop); /* on_idle() looks at what sending may have swallowed */
	return bus_socket_send(socket, id, &header, body);
}

static void drop_garbage(struct bus *bus, const char *why, const struct ramet_err *err)
{
	if (log_limit(&bus->garbage, 5, 10 * NSEC_PER_SEC))
		log_warn("bus.dropped", "why=\"%s\" detail=\"%s\"", why, err ? err->msg : "");
}

/* --- requests of ours --- */

int bus_call(struct bus *bus, uint32_t node, const char *type, struct buf *body,
	uint64_t timeout_ns, bus_answer_fn *fn, void *user, uint64_t *ret_id, struct ramet_err *err)
{
	struct buf own = {0};
	uint64_t id;
	if (body) {
		own = *body;
		*body = (struct buf){0};
	}
	struct bus_peer *peer = find_peer(bus, node);
	int rc = peer
		? bus_pending_add(&bus->pending, node, type, timeout_ns, fn, user, &id, err)
		: err_set(err, RAMET_ENOTFOUND, "no node %u in this cluster's configuration", node);
	if (rc < 0) {
		buf_fini(&own);
		return rc;
	}
	if (peer->connected) {
		rc = send_message(bus, &peer->dealer, NULL, type, id, false, body ? &own : NULL);
	} else {
		buf_fini(&own);
		rc = RAMET_EPEER;
	}
	if (rc < 0) {
		bus_pending_drop(&bus->pending, id);
		return err_set(err, rc, "send %s to node %u: %s", type, node,
			rc == RAMET_EPEER ? "it is not connected" : err_text(rc));
	}
	if (ret_id)
		*ret_id = id;
	return 0;
}

void bus_want_parts(struct bus *bus, uint64_t id, bus_part_fn *fn)
{
	bus_pending_want_parts(&bus->pending, id, fn);
}

void bus_forget(struct bus *bus, uint64_t id)
{
	bus_pending_drop(&bus->pending, id);
}

void bus_notify(struct bus *bus, uint32_t node, const char *type, struct buf *body)
{
	struct bus_peer *peer = find_peer(bus, node);
	if (peer && peer->connected)
		send_message(bus, &peer->dealer, NULL, type, 0, true, body);
	else if (body)
		buf_fini(body);
}

void bus_peer_down(struct bus *bus, uint32_t node)
{
	struct ramet_err error = {0};
	err_set(&error, RAMET_EPEER, "node %u died or cannot be reached", node);
	bus_pending_fail(&bus->pending, node, &error);
}

/* --- requests of peers --- */

static void request_free(struct bus_request *request)
{
	list_remove(&request->link);
	zmq_msg_close(&request->id);
	free(request);
}

uint32_t bus_request_node(const struct bus_request *request)
{
	return request->node;
}

void bus_reply(struct bus_request *request, struct buf *body)
{
	struct bus *bus = request->bus;
	struct buf own = {0};
	if (body) {
		own = *body;
		*body = (struct buf){0};
	}
	if (own.oom || request->incomplete) {
		struct ramet_err error = {0};
		if (own.oom)
			err_nomem(&error);
		else
			err_set(&error, RAMET_EIO, "node %u could not send a part of its answer",
				bus ? bus->options.node : 0);
		buf_fini(&own);
		bus_reply_err(request, &error);
		return;
	}
	if (bus && request->req)
		send_message(bus, &bus->router, &request->id, "answer", request->req, true,
			body ? &own : NULL);
	else
		buf_fini(&own);
	request_free(request);
}

void bus_part(struct bus_request *request, struct buf *body)
{
	struct bus *bus = request->bus;
	struct buf own = *body;
	*body = (struct buf){0};
	if (own.oom)
		request->incomplete = true;
	if (!bus || !request->req || request->incomplete)
		buf_fini(&own);
	else if (send_message(bus, &bus->router, &request->id, "part", request->req, true, &own) <
		0)
		request->incomplete = true;
}

void bus_reply_err(struct bus_request *request, const struct ramet_err *error)
{
	struct bus *bus = request->bus;
	struct buf body = {0};
	wire_map(&body, 1);
	wire_key(&body, "error");
	wire_err(&body, error);
	if (bus && request->req)
		send_message(bus, &bus->router, &request->id, "error", request->req, true, &body);
	else
		buf_fini(&body);
	request_free(request);
}

static void dispatch(struct bus *bus, const struct header *header, const zmq_msg_t *id,
	const struct wire_value *body)
{
	const struct bus_handler *handler = NULL;
	for (unsigned i = 0; i < bus->options.nhandlers && !handler; i++)
		if (strcmp(bus->options.handlers[i].type, header->type) == 0)
			handler = &bus->options.handlers[i];

	struct bus_request *request = calloc(1, sizeof(*request));
	if (!request)
		return;
	request->bus = bus;
	request->node = (uint32_t)header->from;
	request->req = header->req;
	zmq_msg_init(&request->id);
	zmq_msg_copy(&request->id, (zmq_msg_t *)(uintptr_t)id);
	list_append(&bus->requests, &request->link);
	if (!handler) {
		struct ramet_err error = {0};
		err_set(&error, RAMET_EPROTO, "unknown message type %s", header->type);
		drop_garbage(bus, "unknown type", &error);
		bus_reply_err(request, &error);
		return;
	}
	handler->fn(bus->options.user, request, body);
}

/* --- receiving --- */

static int read_header(const struct wire_value *map, struct header *ret, struct ramet_err *err)
{
	struct header header = {0};
	int rc = wire_get_str(map, "t", header.type, sizeof(header.type), err);
	if (rc == 0)
		rc = wire_get_uint(map, "from", UINT32_MAX, &header.from, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "req", UINT64_MAX, 0, &header.req, err);
	if (rc == 0 && wire_has(map, "load"))
		rc = wire_get_map(map, "load", &header.load, err);
	if (rc == 0)
		*ret = header;
	return rc;
}

static void on_answer(
	struct bus *bus, const struct header *header, uint32_t node, const struct wire_value *body)
{
	if (strcmp(header->type, "answer") == 0) {
		bus_pending_answer(&bus->pending, header->req, node, body, NULL);
		return;
	}
	if (strcmp(header->type, "part") == 0) {
		bus_pending_part(&bus->pending, header->req, node, body);
		return;
	}
	struct ramet_err error = {0}, parse = {0};
	if (wire_get_err(body, "error", &error, &parse) < 0 || error.code >= 0)
		err_set(&error, RAMET_EPROTO, "node %u answered with a malformed error", node);
	bus_pending_answer(&bus->pending, header->req, node, NULL, &error);
}

/* peer: whose DEALER it came on; NULL: on the ROUTER */
static void on_message(struct bus *bus, struct bus_peer *peer, struct bus_message *msg)
{
	struct ramet_err err = {0};
	struct wire_msg *head = NULL, *body = NULL;
	struct header header = {0};
	int rc = wire_parse(
		zmq_msg_data(&msg->header), zmq_msg_size(&msg->header), HEADER_LIMITS, &head, &err);
	if (rc == 0)
		rc = read_header(wire_root(head), &header, &err);
	if (rc == 0)
		rc = wire_parse(zmq_msg_data(&msg->body), zmq_msg_size(&msg->body), BODY_LIMITS,
			&body, &err);
	if (rc == 0 && !wire_is_map(wire_root(body)))
		rc = err_set(&err, RAMET_EPROTO, "the body is not a map");
	if (rc == 0 && peer && header.from != peer->node)
		rc = err_set(&err, RAMET_EPROTO, "node %llu answers at the address of node %u",
			(unsigned long long)header.from, peer->node);
	if (rc == 0 && !find_peer(bus, (uint32_t)header.from))
		rc = err_set(&err, RAMET_EPROTO, "node %llu is not in the configuration",
			(unsigned long long)header.from);
	if (rc < 0) {
		drop_garbage(bus, "malformed message", &err);
	} else {
		if (bus->options.on_heard)
			bus->options.on_heard(
				bus->options.user, (uint32_t)header.from, header.load);
		if (peer)
			on_answer(bus, &header, peer->node, wire_root(body));
		else
			dispatch(bus, &header, &msg->id, wire_root(body));
	}
	wire_free(body);
	wire_free(head);
}

static void drain(struct bus *bus, struct bus_socket *socket, struct bus_peer *peer)
{
	struct bus_message msg;
	bool bad;
	socket->check = false;
	for (unsigned i = 0; i < TURN_MESSAGES; i++) {
		if (!bus_socket_recv(socket, !peer, &msg, &bad))
			return;
		if (bad)
			drop_garbage(bus, "wrong number of parts", NULL);
		else
			on_message(bus, peer, &msg);
		bus_message_fini(&msg);
	}
	socket->check = true;
}

static void on_router(struct bus_socket *socket)
{
	drain(container_of(socket, struct bus, router), socket, NULL);
}

static void on_dealer(struct bus_socket *socket)
{
	struct bus_peer *peer = container_of(socket, struct bus_peer, dealer);
	drain(peer->bus, socket, peer);
}

static void on_monitor(struct bus_socket *socket)
{
	struct bus_peer *peer = container_of(socket, struct bus_peer, monitor);
	struct bus *bus = peer->bus;
	int told;
	socket->check = false;
	while ((told = bus_monitor_recv(socket)) != 0) {
		peer->connected = told > 0;
		if (told < 0)
			bus_peer_down(bus, peer->node);
		if (bus->options.on_link)
			bus->options.on_link(bus->options.user, peer->node, told > 0);
	}
}

static void check_socket(struct bus_socket *socket)
{
	if (socket->check)
		socket->on_ready(socket);
}

/* sending swallows edges: whoever was used in this turn is looked at before the loop sleeps, also
 * if it was used by what another's messages made us do */
static bool on_idle(struct loop_idle *idle)
{
	struct bus *bus = container_of(idle, struct bus, idle);
	check_socket(&bus->router);
	list_for_each (peer, &bus->peers, struct bus_peer, link) {
		check_socket(&peer->dealer);
		check_socket(&peer->monitor);
	}
	bool again = bus->router.check;
	list_for_each (peer, &bus->peers, struct bus_peer, link)
		again |= peer->dealer.check || peer->monitor.check;
	return again;
}

/* --- making and ending --- */

static void peer_free(struct bus_peer *peer)
{
	list_remove(&peer->link);
	bus_socket_close(&peer->monitor);
	bus_socket_close(&peer->dealer);
	free(peer);
}

int bus_add_peer(struct bus *bus, uint32_t node, const char *addr, struct ramet_err *err)
{
	if (node == bus->options.node || find_peer(bus, node))
		return err_set(err, RAMET_EEXIST, "node %u is there twice", node);
	struct bus_peer *peer = calloc(1, sizeof(*peer));
	if (!peer)
		return err_nomem(err);
	peer->bus = bus;
	peer->node = node;
	list_append(&bus->peers, &peer->link);
	char name[16];
	snprintf(name, sizeof(name), "%u", node);
	int rc = bus_socket_connect(
		bus->ctx, addr, bus->options.silence_ms, name, &peer->dealer, &peer->monitor, err);
	if (rc == 0)
		rc = bus_socket_watch(&peer->dealer, bus->options.loop, on_dealer, err);
	if (rc == 0)
		rc = bus_socket_watch(&peer->monitor, bus->options.loop, on_monitor, err);
	if (rc < 0)
		peer_free(peer);
	return rc;
}

int bus_create(const struct bus_options *options, struct bus **ret_bus, struct ramet_err *err)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	if (!bus)
		return err_nomem(err);
	bus->options = *options;
	if (bus->options.silence_ms == 0)
		bus->options.silence_ms = SILENCE_DEFAULT_MS;
	list_init(&bus->peers);
	list_init(&bus->requests);
	bus->pending.loop = options->loop;
	list_init(&bus->idle.link);
	bus->ctx = zmq_ctx_new();
	int rc = bus->ctx ? 0 : err_nomem(err);
	if (rc == 0)
		rc = bus_socket_bind(bus->ctx, options->listen, bus->options.silence_ms,
			&bus->router, bus->addr, sizeof(bus->addr), err);
	if (rc == 0)
		rc = bus_socket_watch(&bus->router, options->loop, on_router, err);
	if (rc < 0) {
		bus_destroy(bus);
		return rc;
	}
	loop_idle_add(options->loop, &bus->idle, on_idle);
	*ret_bus = bus;
	return 0;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	struct ramet_err error = {0};
	err_set(&error, RAMET_ECLOSED, "this node is shutting down");
	bus_pending_fail(&bus->pending, 0, &error);
	list_for_each_safe (request, &bus->requests, struct bus_request, link) {
		list_remove(&request->link);
		request->bus = NULL;
	}
	if (!list_empty(&bus->idle.link))
		loop_idle_remove(&bus->idle);
	list_for_each_safe (peer, &bus->peers, struct bus_peer, link)
		peer_free(peer);
	bus_socket_close(&bus->router);
	if (bus->ctx)
		zmq_ctx_term(bus->ctx);
	bus_pending_fini(&bus->pending);
	free(bus);
}

const char *bus_addr(const struct bus *bus)
{
	return bus->addr;
}
