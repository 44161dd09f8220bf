/* The in-process provider: a read is a copy at the post. Its peers may live on other loops and
 * threads; it is a full provider for tests and for nodes that share a process, with the errors and
 * delays that the contract asks for. */
#include "transport/mem.h"

#include "base/clock.h"
#include "base/fault.h"
#include "transport/mem_link.h"
#include "transport/provider.h"
#include "transport/segment_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_SLOT UINT32_MAX

struct mem_transport {
	struct transport base;
	struct mem_node *node;
	bool refused_any; /* some connection found nobody listening: flush() tells */
};

/* an operation whose end comes later: by an event from the peer, or by the peer's death */
struct mem_parked {
	struct transport_request request;
	bool used;
	uint32_t next_free;
};

struct mem_conn {
	struct transport_conn base;
	struct mem_link *link;
	unsigned side;
	bool refused;
	uint64_t since_ns; /* began to connect, or to close */
	struct mem_parked *parked; /* depth of them */
	uint32_t free, parked_count;
};

static struct mem_transport *mem_transport(struct transport *t)
{
	return container_of(t, struct mem_transport, base);
}

static struct mem_conn *mem_conn(struct transport_conn *conn)
{
	return container_of(conn, struct mem_conn, base);
}

static struct mem_side *ours(struct mem_conn *conn)
{
	return &conn->link->side[conn->side];
}

static struct mem_side *theirs(struct mem_conn *conn)
{
	return &conn->link->side[!conn->side];
}

static uint64_t link_stopped_ns(struct mem_link *link)
{
	uint64_t a = atomic_load(&link->side[0].node->stopped_ns);
	uint64_t b = atomic_load(&link->side[1].node->stopped_ns);
	return a && (!b || a < b) ? a : b;
}

static int mem_open(struct loop *loop, const struct transport_options *options,
	struct segment_table *table, struct transport **ret_transport, struct ramet_err *err)
{
	struct mem_transport *mt = calloc(1, sizeof(*mt));
	if (!mt)
		return err_nomem(err);
	int rc = mem_node_create(loop, table, &mt->node, err);
	if (rc < 0) {
		free(mt);
		return rc;
	}
	mt->node->owner = &mt->base;
	*ret_transport = &mt->base;
	return 0;
}

static void mem_close(struct transport *t)
{
	struct mem_transport *mt = mem_transport(t);
	mem_node_close(mt->node);
	mem_node_put(mt->node);
	free(mt);
}

void transport_mem_stop(struct transport *t)
{
	atomic_store(&mem_transport(t)->node->stopped_ns, now_ns());
}

/* Connections */

static int conn_open(struct mem_conn *conn)
{
	unsigned depth = MIN(conn->link->side[0].depth, conn->link->side[1].depth);
	conn->parked = calloc(depth, sizeof(*conn->parked));
	if (!conn->parked)
		return RAMET_ENOMEM;
	for (uint32_t i = 0; i < depth; i++)
		conn->parked[i].next_free = i + 1 < depth ? i + 1 : NO_SLOT;
	return transport_conn_opened(&conn->base, depth);
}

/* the peer hears that we are gone; nothing reaches this connection any more */
static void conn_finish(struct mem_conn *conn, const struct ramet_err *err)
{
	atomic_store(&ours(conn)->closed, true);
	ours(conn)->conn = NULL;
	struct mem_event *event = mem_event_new(conn->link, !conn->side, MEM_CLOSED, NULL, 0);
	if (event) /* else the peer finds out from `closed` at its next tick */
		mem_event_post(event);
	transport_conn_ended(&conn->base, err);
}

static void conn_fail(struct mem_conn *conn, const struct ramet_err *err)
{
	for (uint32_t i = 0; conn->parked_count > 0; i++) {
		if (!conn->parked[i].used)
			continue;
		conn->parked[i].used = false;
		conn->parked_count--;
		transport_complete(&conn->base, &conn->parked[i].request, err->code);
	}
	conn_finish(conn, err);
}

static void conn_fail_text(struct mem_conn *conn, int code, const char *what)
{
	struct ramet_err err = {0};
	err_set(&err, code, "%s: %s", conn->base.peer, what);
	conn_fail(conn, &err);
}

static void mem_conn_close(struct transport_conn *base)
{
	struct mem_conn *conn = mem_conn(base);
	conn->since_ns = now_ns();
	if (conn->parked_count == 0)
		conn_finish(conn, NULL);
}

static void mem_conn_abort(struct transport_conn *base)
{
	conn_fail_text(mem_conn(base), RAMET_ECLOSED, "the transport was closed");
}

static void mem_conn_free(struct transport_conn *base)
{
	struct mem_conn *conn = mem_conn(base);
	mem_link_put(conn->link);
	free(conn->parked);
	free(conn);
}

static struct mem_conn *conn_new(
	struct transport *t, struct mem_link *link, unsigned side, uint64_t domain)
{
	struct mem_conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	conn->link = mem_link_get(link);
	conn->side = side;
	conn->since_ns = now_ns();
	struct mem_side *s = ours(conn);
	s->conn = conn;
	s->domain = domain;
	s->depth = t->options.queue_depth;
	s->timeout_ms = t->options.peer_timeout_ms;
	return conn;
}

static int mem_connect(struct transport_domain *domain, const char *addr, const void *token,
	size_t token_len, struct transport_conn **ret_conn, struct ramet_err *err)
{
	struct mem_transport *mt = mem_transport(domain->transport);
	struct mem_node *server = mem_registry_find(addr);
	struct mem_link *link = mem_link_create(mt->node, server ? server : mt->node);
	mem_node_put(server);
	if (!link)
		return err_nomem(err);
	struct mem_conn *conn = conn_new(&mt->base, link, 0, domain->id);
	struct mem_event *event =
		conn ? mem_event_new(link, 1, MEM_CONNECT, token, token_len) : NULL;
	mem_link_put(link);
	if (!event) {
		if (conn)
			mem_conn_free(&conn->base);
		return err_nomem(err);
	}
	snprintf(event->name, sizeof(event->name), "%s", addr);
	if (!server)
		mem_event_free(event);
	conn->refused = !server || !mem_event_post(event);
	mt->refused_any |= conn->refused;
	*ret_conn = &conn->base;
	return 0;
}

/* Listening */

static int mem_listen(struct transport *t, const char *addr,
	struct transport_listener **ret_listener, struct ramet_err *err)
{
	if (strncmp(addr, "mem:", 4) != 0 || addr[4] == '\0')
		return err_set(err, RAMET_EINVAL, "listen on %s: not \"mem:name\"", addr);
	struct transport_listener *listener = calloc(1, sizeof(*listener));
	if (!listener)
		return err_nomem(err);
	int rc = mem_registry_add(addr, mem_transport(t)->node, err);
	if (rc < 0) {
		free(listener);
		return rc;
	}
	snprintf(listener->addr, sizeof(listener->addr), "%s", addr);
	*ret_listener = listener;
	return 0;
}

static void mem_listener_close(struct transport_listener *listener)
{
	mem_registry_remove(listener->addr);
	free(listener);
}

/* the event's link goes back to its other side as another kind of event */
static void event_reply(struct mem_event *event, enum mem_event_kind kind, int status)
{
	event->kind = kind;
	event->status = status;
	event->side = !event->side;
	mem_event_post(event);
}

static void event_connect(struct transport *t, struct mem_event *event)
{
	struct transport_listener *listener = NULL;
	list_for_each (l, &t->listeners, struct transport_listener, link) {
		if (strcmp(l->addr, event->name) == 0)
			listener = l;
	}
	if (!listener) {
		event_reply(event, MEM_REFUSED, RAMET_EPEER);
		return;
	}
	struct transport_accept accept;
	if (transport_ask(listener, event->data, event->len, listener->addr, &accept) < 0) {
		event_reply(event, MEM_REFUSED, RAMET_EPERM);
		return;
	}
	struct mem_conn *conn = NULL;
	if (!fault_hit("transport.admit"))
		conn = conn_new(t, event->link, 1, accept.domain->id);
	if (!conn) {
		transport_accept_failed(listener->transport, &accept);
		event_reply(event, MEM_REFUSED, RAMET_EPEER);
		return;
	}
	transport_conn_init(&conn->base, &accept, listener->addr);
	event_reply(event, MEM_ACCEPTED, 0);
	if (conn_open(conn) < 0)
		conn_fail_text(conn, RAMET_ENOMEM, "out of memory");
}

/* Operations */

static uint32_t parked_add(struct mem_conn *conn, const struct transport_request *request)
{
	uint32_t slot = conn->free;
	conn->free = conn->parked[slot].next_free;
	conn->parked[slot].request = *request;
	conn->parked[slot].used = true;
	conn->parked_count++;
	return slot;
}

static void parked_complete(struct mem_conn *conn, uint32_t slot, int status)
{
	conn->parked[slot].used = false;
	conn->parked[slot].next_free = conn->free;
	conn->free = slot;
	conn->parked_count--;
	transport_complete(&conn->base, &conn->parked[slot].request, status);
	if (conn->base.state == CONN_CLOSING && conn->parked_count == 0)
		conn_finish(conn, NULL);
}

/* the bytes of a read or write, under the lock of the segments of their owner */
static int copy_bytes(struct mem_conn *conn, const struct transport_request *request)
{
	const struct mem_side *peer = theirs(conn);
	struct segment_table *table = peer->node->table;
	bool write = request->op != TRANSPORT_READ;
	struct transport_segment *segment;
	segment_table_lock(table);
	int rc = segment_table_find(
		table, peer->domain, request->ref, request->len, write, &segment);
	if (rc == 0) {
		unsigned char *at = segment->addr + request->ref.offset;
		memcpy(write ? at : request->addr, write ? request->addr : at, request->len);
	}
	segment_table_unlock(table);
	return rc;
}

static int mem_post(struct transport_conn *base, const struct transport_request *request)
{
	struct mem_conn *conn = mem_conn(base);
	if (link_stopped_ns(conn->link) || atomic_load(&theirs(conn)->closed)) {
		parked_add(conn, request); /* ends with the connection */
		return 0;
	}
	bool tells = request->op == TRANSPORT_SEND || request->op == TRANSPORT_WRITE_IMM;
	struct mem_event *event = NULL;
	if (tells) {
		bool message = request->op == TRANSPORT_SEND;
		event = mem_event_new(conn->link, !conn->side, message ? MEM_MESSAGE : MEM_DOORBELL,
			request->addr, message ? request->len : 0);
		if (!event)
			return RAMET_ENOMEM;
		event->imm = request->imm;
	}
	int rc = 0;
	if (request->op != TRANSPORT_SEND && request->len > 0)
		rc = copy_bytes(conn, request);
	if (!tells || rc < 0) {
		if (event)
			mem_event_free(event);
		transport_complete(base, request, rc);
		return 0;
	}
	event->slot = parked_add(conn, request);
	mem_event_post(event);
	return 0;
}

/* Events from peers */

static void event_for_conn(struct mem_conn *conn, struct mem_event *event)
{
	switch (event->kind) {
	case MEM_ACCEPTED:
		if (conn->base.state == CONN_CONNECTING && conn_open(conn) < 0)
			conn_fail_text(conn, RAMET_ENOMEM, "out of memory");
		break;
	case MEM_REFUSED:
		conn_fail_text(conn, event->status,
			event->status == RAMET_EPERM ? "refused the token" : "nobody listens");
		break;
	case MEM_DOORBELL:
		transport_doorbell(&conn->base, event->imm);
		event_reply(event, MEM_ACK, 0);
		return;
	case MEM_MESSAGE:
		transport_message(&conn->base, event->data, event->len);
		event_reply(event, MEM_ACK, 0);
		return;
	case MEM_ACK:
		parked_complete(conn, event->slot, 0);
		break;
	case MEM_CLOSED:
		conn_fail_text(conn, RAMET_ECLOSED, "the peer closed the connection");
		break;
	case MEM_CONNECT:
		break;
	}
	mem_event_free(event);
}

void mem_event_run(struct mem_event *event)
{
	struct mem_side *side = &event->link->side[event->side];
	struct transport *t = side->node->owner;
	bool stopped = link_stopped_ns(event->link) != 0;
	if (stopped || (event->kind != MEM_CONNECT && !side->conn))
		mem_event_free(event); /* lost */
	else if (event->kind != MEM_CONNECT)
		event_for_conn(side->conn, event);
	else if (t)
		event_connect(t, event);
	else
		event_reply(event, MEM_REFUSED, RAMET_EPEER);
	if (t)
		transport_dispatch(t);
}

/* Time */

static void conn_tick(struct mem_conn *conn, uint64_t now)
{
	const struct transport_options *options = &conn->base.transport->options;
	if (conn->base.state == CONN_CONNECTING) {
		if (now >= conn->since_ns + options->handshake_ms * NSEC_PER_MSEC)
			conn_fail_text(conn, RAMET_EPEER, "did not answer in time");
		return;
	}
	const struct mem_side *sides = conn->link->side;
	uint64_t timeout = MIN(sides[0].timeout_ms, sides[1].timeout_ms) * NSEC_PER_MSEC;
	uint64_t stopped = link_stopped_ns(conn->link);
	if (stopped && now >= stopped + timeout)
		conn_fail_text(conn, RAMET_EPEER, "no sign of life");
	else if (!stopped && atomic_load(&theirs(conn)->closed))
		conn_fail_text(conn, RAMET_ECLOSED, "the peer closed the connection");
	else if (conn->base.state == CONN_CLOSING && now >= conn->since_ns + timeout)
		conn_fail_text(conn, RAMET_ECLOSED, "closed with operations in flight");
}

static void mem_tick(struct transport *t, uint64_t now)
{
	list_for_each (conn, &t->conns, struct transport_conn, link) {
		if (conn->state != CONN_ENDED)
			conn_tick(mem_conn(conn), now);
	}
}

static void mem_flush(struct transport *t, bool sleeps)
{
	(void)sleeps;
	struct mem_transport *mt = mem_transport(t);
	if (!mt->refused_any)
		return;
	mt->refused_any = false;
	list_for_each (conn, &t->conns, struct transport_conn, link) {
		if (mem_conn(conn)->refused && conn->state == CONN_CONNECTING)
			conn_fail_text(mem_conn(conn), RAMET_EPEER, "nobody listens");
	}
}

static void mem_poll(struct transport *t)
{
	(void)t; /* everything arrives by posts */
}

static int mem_segment_add(struct transport_segment *segment, struct ramet_err *err)
{
	if (segment->flags & TRANSPORT_SEGMENT_LOCAL)
		return 0;
	return segment_table_add(segment->domain->transport->table, segment, err);
}

static void mem_segment_remove(struct transport_segment *segment)
{
	/* waits for copies that peers are making: microseconds, as long as one memcpy */
	segment_table_remove(segment->domain->transport->table, segment);
	transport_segment_unreachable(segment);
}

const struct transport_ops transport_mem = {
	.name = "mem",
	.spins = true,
	.open = mem_open,
	.close = mem_close,
	.flush = mem_flush,
	.poll = mem_poll,
	.tick = mem_tick,
	.listen = mem_listen,
	.listener_close = mem_listener_close,
	.connect = mem_connect,
	.conn_close = mem_conn_close,
	.conn_abort = mem_conn_abort,
	.conn_free = mem_conn_free,
	.post = mem_post,
	.segment_add = mem_segment_add,
	.segment_remove = mem_segment_remove,
};
