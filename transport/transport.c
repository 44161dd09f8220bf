/* The core: opening and closing a transport, and the turn of its loop: flush, tick, and telling
 * users what happened. */
#include "transport/transport.h"

#include "base/clock.h"
#include "transport/core.h"
#include "transport/provider.h"
#include "transport/segment_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PEER_TIMEOUT_DEFAULT_MS 800
#define HANDSHAKE_DEFAULT_MS 2000
#define TICKS_PER_TIMEOUT 8

static const struct transport_ops *const providers[] = {
	&transport_mem,
	&transport_tcp,
#ifdef RAMET_VERBS
	&transport_verbs,
#endif
};

static const struct transport_ops *provider_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		if (strcmp(providers[i]->name, name) == 0)
			return providers[i];
	}
	return NULL;
}

static int options_fill(
	const struct transport_options *given, struct transport_options *ret, struct ramet_err *err)
{
	struct transport_options o = given ? *given : (struct transport_options){0};
	if (o.queue_depth == 0)
		o.queue_depth = TRANSPORT_DEPTH_DEFAULT;
	if (o.peer_timeout_ms == 0)
		o.peer_timeout_ms = PEER_TIMEOUT_DEFAULT_MS;
	if (o.handshake_ms == 0)
		o.handshake_ms = HANDSHAKE_DEFAULT_MS;
	if (o.queue_depth > TRANSPORT_DEPTH_MAX)
		return err_set(err, RAMET_EINVAL, "queue_depth %u: at most %u", o.queue_depth,
			TRANSPORT_DEPTH_MAX);
	if (o.peer_timeout_ms < TRANSPORT_TIMEOUT_MIN_MS ||
		o.peer_timeout_ms > TRANSPORT_TIMEOUT_MAX_MS)
		return err_set(err, RAMET_EINVAL, "peer_timeout_ms %u: from %u to %u",
			o.peer_timeout_ms, TRANSPORT_TIMEOUT_MIN_MS, TRANSPORT_TIMEOUT_MAX_MS);
	if (o.mtu != 0 && (o.mtu < 256 || o.mtu > 4096 || (o.mtu & (o.mtu - 1))))
		return err_set(err, RAMET_EINVAL, "mtu %u: 256, 512, 1024, 2048 or 4096", o.mtu);
	if (o.service_level > 15 || o.traffic_class > 255 || o.gid_index > 255 || o.port > 255)
		return err_set(err, RAMET_EINVAL,
			"service level at most 15; traffic class, GID index and port at most 255");
	*ret = o;
	return 0;
}

static bool transport_on_idle(struct loop_idle *idle)
{
	struct transport *t = container_of(idle, struct transport, idle);
	if (transport_spin_turn(t))
		return true;
	/* handlers post again: their work leaves in the same turn, but the loop must get on in the
	 * end */
	for (unsigned round = 0; round < 4; round++) {
		loop_timer_cancel(&t->kick);
		t->ops->flush(t, true);
		transport_dispatch(t);
		if (t->kick.heap_pos == 0)
			break;
	}
	/* what is left has set the kick timer */
	return transport_lingers(t);
}

/* wakes the loop; the work is done by the idle hook at the end of that turn */
static void transport_on_kick(struct loop_timer *timer)
{
	(void)timer;
}

void transport_kick(struct transport *t)
{
	if (t->kick.heap_pos == 0)
		loop_timer_set(t->loop, &t->kick, 1, transport_on_kick);
}

static void transport_on_tick(struct loop_timer *timer)
{
	struct transport *t = container_of(timer, struct transport, ticker);
	uint64_t now = now_ns();
	uint64_t late = now - timer->deadline_ns;
	t->stood_ns = late > 2 * t->tick_ns ? late : 0;
	t->ops->tick(t, now);
	if (!list_empty(&t->conns) || t->strangers > 0)
		loop_timer_set(t->loop, &t->ticker, now + t->tick_ns, transport_on_tick);
	transport_dispatch(t);
}

void transport_tick_faster(struct transport *t, uint64_t interval_ns)
{
	uint64_t deadline = now_ns() + interval_ns;
	t->tick_ns = MIN(t->tick_ns, interval_ns);
	if (t->ticker.heap_pos == 0 || deadline < t->ticker.deadline_ns)
		loop_timer_set(t->loop, &t->ticker, deadline, transport_on_tick);
}

int transport_open(const char *provider_name, struct loop *loop,
	const struct transport_options *options, struct transport **ret_transport,
	struct ramet_err *err)
{
	const struct transport_ops *ops = provider_find(provider_name);
	if (!ops && strcmp(provider_name, "verbs") == 0)
		return err_set(err, RAMET_ENOTSUP,
			"transport provider \"verbs\": built without libibverbs and librdmacm");
	if (!ops)
		return err_set(err, RAMET_ENOTSUP, "no transport provider \"%s\"", provider_name);
	struct transport_options filled;
	int rc = options_fill(options, &filled, err);
	if (rc < 0)
		return rc;

	struct segment_table *table;
	rc = segment_table_create(&table, err);
	if (rc < 0)
		return rc;
	struct transport *t;
	rc = ops->open(loop, &filled, table, &t, err);
	if (rc < 0) {
		segment_table_put(table);
		return rc;
	}
	t->ops = ops;
	t->loop = loop;
	t->options = filled;
	transport_spin_open(t);
	t->table = table;
	list_init(&t->conns);
	list_init(&t->listeners);
	list_init(&t->domains);
	list_init(&t->segments);
	list_init(&t->ended);
	list_init(&t->drained);
	t->tick_ns = MIN(filled.peer_timeout_ms, filled.handshake_ms) * NSEC_PER_MSEC /
		TICKS_PER_TIMEOUT;
	loop_idle_add(loop, &t->idle, transport_on_idle);
	*ret_transport = t;
	return 0;
}

void transport_close(struct transport *t)
{
	if (!t)
		return;
	t->closing = true;
	list_for_each_safe (conn, &t->conns, struct transport_conn, link) {
		if (conn->state == CONN_ENDED)
			continue;
		conn->state = CONN_CLOSING;
		t->ops->conn_abort(conn);
	}
	while (!list_empty(&t->listeners))
		transport_listener_close(
			list_first(&t->listeners, struct transport_listener, link));
	while (!list_empty(&t->conns))
		transport_dispatch(t);
	list_for_each_safe (segment, &t->segments, struct transport_segment, link)
		transport_segment_remove(segment, NULL, NULL);
	transport_segments_tell_drained(t);
	list_for_each_safe (domain, &t->domains, struct transport_domain, link) {
		list_remove(&domain->link);
		free(domain);
	}
	loop_idle_remove(&t->idle);
	loop_timer_cancel(&t->kick);
	loop_timer_cancel(&t->ticker);
	segment_table_put(t->table);
	free(t->done);
	t->ops->close(t);
}

const char *transport_device(const struct transport *t)
{
	return t->ops->device ? t->ops->device(t) : "";
}

unsigned transport_poll(struct transport *t)
{
	if (t->handlers > 0)
		return 0;
	t->ops->flush(t, false);
	t->ops->poll(t);
	return transport_dispatch(t);
}

int transport_listen(struct transport *t, const char *addr,
	int (*on_accept)(void *user, const void *token, size_t token_len, const char *peer,
		struct transport_accept *ret),
	void *user, struct transport_listener **ret_listener, struct ramet_err *err)
{
	if (strlen(addr) >= TRANSPORT_ADDR_MAX)
		return err_set(err, RAMET_EINVAL, "listen on %.80s: address too long", addr);
	struct transport_listener *listener;
	int rc = t->ops->listen(t, addr, &listener, err);
	if (rc < 0)
		return rc;
	listener->transport = t;
	listener->on_accept = on_accept;
	listener->user = user;
	list_append(&t->listeners, &listener->link);
	*ret_listener = listener;
	return 0;
}

const char *transport_listener_addr(const struct transport_listener *listener)
{
	return listener->addr;
}

void transport_listener_close(struct transport_listener *listener)
{
	if (!listener)
		return;
	list_remove(&listener->link);
	listener->transport->ops->listener_close(listener);
}

int transport_ask(struct transport_listener *listener, const void *token, size_t token_len,
	const char *peer, struct transport_accept *ret)
{
	struct transport_accept accept = {0};
	listener->transport->handlers++;
	int rc = listener->on_accept(listener->user, token, token_len, peer, &accept);
	listener->transport->handlers--;
	if (rc < 0)
		return rc;
	bool ours =
		accept.domain && accept.handler && accept.domain->transport == listener->transport;
	if (accept.on_stream ? !listener->streams : !ours) {
		transport_accept_failed(listener->transport, &accept);
		return RAMET_EINTERNAL;
	}
	*ret = accept;
	return 0;
}

void transport_accept_failed(struct transport *t, const struct transport_accept *accept)
{
	if (!accept->on_failed)
		return;
	t->handlers++;
	accept->on_failed(accept->user);
	t->handlers--;
}

int transport_done_reserve(struct transport *t, unsigned more)
{
	size_t need = t->done_reserved + more;
	if (need > t->done_cap) {
		size_t cap = MAX(t->done_cap * 2, need);
		struct transport_completion *done = malloc(cap * sizeof(*done));
		if (!done)
			return RAMET_ENOMEM;
		for (size_t i = 0; i < t->done_count; i++)
			done[i] = t->done[(t->done_head + i) % t->done_cap];
		free(t->done);
		t->done = done;
		t->done_cap = cap;
		t->done_head = 0;
	}
	t->done_reserved = need;
	return 0;
}

void transport_complete(
	struct transport_conn *conn, const struct transport_request *request, int status)
{
	struct transport *t = conn->transport;
	size_t at = t->done_head + t->done_count++;
	t->done[at < t->done_cap ? at : at - t->done_cap] = (struct transport_completion){
		.conn = conn,
		.cookie = request->cookie,
		.status = status,
		.op = request->op,
		.len = request->len,
	};
	conn->pending--;
	if (request->local)
		transport_segment_unuse(request->local);
}

/* the last calls of connections whose completions have all been told */
static void dispatch_ended(struct transport *t)
{
	list_for_each_safe (conn, &t->ended, struct transport_conn, end_link) {
		if (conn->inflight > 0)
			continue;
		list_remove(&conn->end_link);
		list_remove(&conn->link);
		t->done_reserved -= conn->depth;
		conn->handler->on_closed(conn->user, conn, &conn->end);
		transport_domain_destroy(conn->domain);
		t->ops->conn_free(conn);
	}
}

unsigned transport_dispatch(struct transport *t)
{
	if (t->handlers > 0)
		return 0;
	t->handlers++;
	/* only what is there now: a handler that posts again must not keep the loop here for ever
	 */
	unsigned told = (unsigned)t->done_count;
	for (unsigned i = 0; i < told; i++) {
		const struct transport_completion c = t->done[t->done_head];
		t->done_head = t->done_head + 1 < t->done_cap ? t->done_head + 1 : 0;
		t->done_count--;
		c.conn->inflight--;
		if (c.conn->handler->on_complete)
			c.conn->handler->on_complete(c.conn->user, &c);
	}
	dispatch_ended(t);
	transport_segments_tell_drained(t);
	t->handlers--;
	if (t->done_count > 0 || !list_empty(&t->ended))
		transport_kick(t);
	return told;
}
