/* Listening and connecting by librdmacm. The greeting travels in the private data of the request
 * and of its answer, so a stranger is known for one before anything was made for it. */
#include "base/clock.h"
#include "base/fault.h"
#include "transport/addr.h"
#include "transport/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG 256
#define EVENTS_AT_ONCE 64
#define DROPS_LOGGED 20 /* lines per DROPS_PERIOD_NS and transport */
#define DROPS_PERIOD_NS (10 * NSEC_PER_SEC)
#define REJECTED_BY_USER 28 /* the reason of a refusal that has private data of ours */

/* an event, after it was acknowledged: an id can only be destroyed then */
struct cm_event {
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	struct verbs_listener *listener;
	int status;
	size_t len;
	unsigned char data[UINT8_MAX];
};

/* --- what is the same for both sides --- */

static void id_tune(struct verbs_transport *vt, struct rdma_cm_id *id)
{
	const struct transport_options *options = &vt->base.options;
	uint8_t timeout = verbs_qp_timeout(options->peer_timeout_ms * NSEC_PER_MSEC);
	uint8_t tos = (uint8_t)options->traffic_class;
	/* both are wishes: an old kernel knows neither, and its defaults do */
	(void)rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, 1);
	if (tos)
		(void)rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &tos, 1);
}

static struct rdma_conn_param conn_param(const void *data, size_t len)
{
	return (struct rdma_conn_param){
		.private_data = data,
		.private_data_len = (uint8_t)len,
		.retry_count = VERBS_RETRIES,
		.rnr_retry_count = VERBS_RNR_RETRIES,
	};
}

/* The address that was bound lies on another device than the one that was found first: take that,
 * unless one was named, or the first is in use already. */
static int device_of_id(struct verbs_transport *vt, const struct rdma_cm_id *id, struct loop *loop,
	struct ramet_err *err)
{
	if (!id->verbs || id->verbs == vt->device.context)
		return 0;
	if (vt->base.options.device[0] || !list_empty(&vt->pds))
		return err_set(err, RAMET_EINVAL,
			"the address belongs to RDMA device %s, not to %s", id->verbs->device->name,
			vt->device.context->device->name);
	struct transport_options options = vt->base.options;
	struct verbs_device device;
	memcpy(options.device, id->verbs->device->name,
		strnlen(id->verbs->device->name, sizeof(options.device) - 1) + 1);
	options.port = id->port_num;
	int rc = verbs_device_choose(&options, &device, err);
	if (rc < 0)
		return rc;
	verbs_cq_close(vt);
	vt->channel = NULL;
	vt->device = device;
	return verbs_cq_open(vt, loop, err);
}

/* --- connecting --- */

static void conn_connect(struct verbs_conn *conn)
{
	struct transport *t = conn->base.transport;
	struct ramet_err err = {0};
	if (conn->id->verbs != verbs_transport(t)->device.context) {
		verbs_conn_fail(conn, RAMET_EPEER,
			"the way there does not lead over RDMA device %s",
			verbs_transport(t)->device.context->device->name);
		return;
	}
	if (verbs_conn_prepare(conn, conn->base.domain, &t->options, &err) < 0) {
		verbs_conn_fail(conn, RAMET_EPEER, "%s", err.msg);
		return;
	}
	unsigned char hello[GREETING_HELLO_SIZE];
	greeting_hello_encode(&conn->hello, hello);
	struct rdma_conn_param param = conn_param(hello, sizeof(hello));
	if (rdma_connect(conn->id, &param) < 0)
		verbs_conn_fail(conn, RAMET_EPEER, "connect: %s", strerrordesc_np(errno));
	else
		conn->phase = VERBS_CONNECT;
}

static void conn_on_resolved(struct verbs_conn *conn)
{
	if (conn->phase == VERBS_RESOLVE_ROUTE) {
		conn_connect(conn);
		return;
	}
	id_tune(verbs_transport(conn->base.transport), conn->id);
	if (rdma_resolve_route(conn->id, (int)conn->base.transport->options.handshake_ms) < 0)
		verbs_conn_fail(conn, RAMET_EPEER, "route: %s", strerrordesc_np(errno));
	else
		conn->phase = VERBS_RESOLVE_ROUTE;
}

static void conn_on_established(struct verbs_conn *conn, const struct cm_event *event)
{
	const struct transport_options *options = &conn->base.transport->options;
	struct greeting_welcome welcome;
	int rc = 0;
	if (conn->phase == VERBS_CONNECT) {
		rc = event->len < GREETING_WELCOME_SIZE
			? RAMET_EPROTO
			: greeting_welcome_parse(event->data, &welcome);
		if (rc == 0)
			rc = welcome.status;
		if (rc == 0)
			verbs_conn_agree(conn, MIN(welcome.depth, options->queue_depth),
				MIN(welcome.timeout_ms, options->peer_timeout_ms));
	}
	if (rc < 0)
		verbs_conn_fail(conn, rc, "handshake: %s", err_text(rc));
	else if (conn->phase != VERBS_OPEN)
		verbs_conn_open(conn);
}

static void conn_on_rejected(struct verbs_conn *conn, const struct cm_event *event)
{
	struct greeting_welcome welcome;
	if (event->status != REJECTED_BY_USER || event->len < GREETING_WELCOME_SIZE)
		verbs_conn_fail(
			conn, RAMET_EPEER, "connect: nobody listens (reason %d)", event->status);
	else if (greeting_welcome_parse(event->data, &welcome) < 0 || welcome.status == 0)
		verbs_conn_fail(conn, RAMET_EPROTO, "handshake: a malformed refusal");
	else if (welcome.status == RAMET_EPERM)
		verbs_conn_fail(conn, RAMET_EPERM, "the peer refused our token");
	else if (welcome.status == RAMET_EVERSION)
		verbs_conn_fail(conn, RAMET_EVERSION, "the peer speaks another version than %u",
			GREETING_VERSION);
	else
		verbs_conn_fail(conn, welcome.status, "handshake: %s", err_text(welcome.status));
}

static void conn_on_event(struct verbs_conn *conn, const struct cm_event *event)
{
	switch (event->type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		conn_on_resolved(conn);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		conn_on_established(conn, event);
		break;
	case RDMA_CM_EVENT_REJECTED:
		conn_on_rejected(conn, event);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		/* a goodbye, if there was one, has arrived before */
		while (verbs_cq_poll(conn) > 0)
			;
		verbs_conn_fail(conn, RAMET_EPEER, "the peer's process has ended");
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
	case RDMA_CM_EVENT_ADDR_CHANGE:
		break;
	default:
		verbs_conn_fail(
			conn, RAMET_EPEER, "%s (%d)", rdma_event_str(event->type), event->status);
	}
}

int verbs_connect(struct transport_domain *domain, const char *addr, const void *token,
	size_t token_len, struct transport_conn **ret_conn, struct ramet_err *err)
{
	struct transport *t = domain->transport;
	struct verbs_transport *vt = verbs_transport(t);
	struct sockaddr_storage sa;
	socklen_t len;
	int rc = addr_parse(addr, &sa, &len, err);
	if (rc < 0)
		return rc;
	struct verbs_conn *conn = verbs_conn_new();
	if (!conn)
		return err_nomem(err);
	greeting_hello_fill(&conn->hello, &t->options, token, token_len);
	if (rdma_create_id(vt->events, &conn->id, conn, RDMA_PS_TCP) < 0) {
		rc = err_errno(err, RAMET_EIO, "connect to %s", addr);
		verbs_conn_free(&conn->base);
		return rc;
	}
	if (rdma_resolve_addr(
		    conn->id, NULL, (struct sockaddr *)&sa, (int)t->options.handshake_ms) < 0) {
		conn->begin_errno = errno;
		list_append(&vt->dirty, &conn->dirty);
	}
	*ret_conn = &conn->base;
	return 0;
}

/* --- listening --- */

static void refuse(struct verbs_transport *vt, struct rdma_cm_id *id, int status, const char *why)
{
	const struct greeting_welcome welcome = {.status = status};
	unsigned char bytes[GREETING_WELCOME_SIZE];
	char peer[TRANSPORT_ADDR_MAX];
	greeting_welcome_encode(&welcome, bytes);
	addr_format_peer(rdma_get_peer_addr(id), peer);
	(void)rdma_reject(id, bytes, sizeof(bytes)); /* or it finds out by itself */
	rdma_destroy_id(id);
	if (log_limit(&vt->drops, DROPS_LOGGED, DROPS_PERIOD_NS))
		log_warn("transport.dropped", "peer=%s provider=verbs reason=\"%s\"", peer, why);
}

static void admit(struct verbs_transport *vt, struct rdma_cm_id *id,
	const struct greeting_hello *hello, const struct transport_accept *accept, const char *peer)
{
	const struct transport_options *options = &vt->base.options;
	struct verbs_conn *conn = fault_hit("transport.admit") ? NULL : verbs_conn_new();
	if (!conn) {
		transport_accept_failed(&vt->base, accept);
		refuse(vt, id, RAMET_ENOMEM, "out of memory");
		return;
	}
	struct ramet_err err = {0};
	conn->id = id;
	id->context = conn;
	id_tune(vt, id);
	if (verbs_conn_prepare(conn, accept->domain, options, &err) < 0) {
		conn->id = NULL;
		verbs_conn_free(&conn->base);
		transport_accept_failed(&vt->base, accept);
		refuse(vt, id, RAMET_ENOMEM, err.msg);
		return;
	}
	const struct greeting_welcome welcome = {
		.depth = options->queue_depth, .timeout_ms = options->peer_timeout_ms};
	unsigned char bytes[GREETING_WELCOME_SIZE];
	greeting_welcome_encode(&welcome, bytes);
	transport_conn_init(&conn->base, accept, peer);
	verbs_conn_agree(conn, MIN(hello->depth, options->queue_depth),
		MIN(hello->timeout_ms, options->peer_timeout_ms));
	conn->phase = VERBS_ACCEPTED;
	struct rdma_conn_param param = conn_param(bytes, sizeof(bytes));
	if (rdma_accept(id, &param) < 0)
		verbs_conn_fail(conn, RAMET_EPEER, "accept: %s", strerrordesc_np(errno));
}

static void on_request(struct verbs_transport *vt, const struct cm_event *event)
{
	char peer[TRANSPORT_ADDR_MAX];
	struct greeting_hello hello;
	struct transport_accept accept;
	struct rdma_cm_id *id = event->id;
	addr_format_peer(rdma_get_peer_addr(id), peer);
	int rc = event->len < GREETING_HELLO_SIZE ? RAMET_EPROTO
						  : greeting_hello_parse(event->data, &hello);
	if (rc == RAMET_EVERSION)
		refuse(vt, id, RAMET_EVERSION, "it speaks another version");
	else if (rc < 0)
		refuse(vt, id, RAMET_EPERM, "a malformed hello");
	else if (id->verbs != vt->device.context)
		refuse(vt, id, RAMET_EPERM, "it came over another device");
	else if (transport_ask(
			 &event->listener->base, hello.token, hello.token_len, peer, &accept) < 0)
		refuse(vt, id, RAMET_EPERM, "its token was refused");
	else
		admit(vt, id, &hello, &accept, peer);
}

int verbs_listen(struct transport *t, const char *addr, struct transport_listener **ret_listener,
	struct ramet_err *err)
{
	struct verbs_transport *vt = verbs_transport(t);
	struct sockaddr_storage sa;
	socklen_t len;
	int rc = addr_parse(addr, &sa, &len, err);
	if (rc < 0)
		return rc;
	struct verbs_listener *listener = calloc(1, sizeof(*listener));
	if (!listener)
		return err_nomem(err);
	listener->transport = vt;
	if (rdma_create_id(vt->events, &listener->id, listener, RDMA_PS_TCP) < 0)
		rc = err_errno(err, RAMET_EIO, "listen on %s", addr);
	else if (rdma_bind_addr(listener->id, (struct sockaddr *)&sa) < 0)
		rc = errno == EADDRINUSE
			? err_errno(err, RAMET_EEXIST, "listen on %s", addr)
			: err_errno(err, RAMET_EIO, "listen on %s: no RDMA device has it", addr);
	if (rc == 0)
		rc = device_of_id(vt, listener->id, t->loop, err);
	if (rc == 0 && rdma_listen(listener->id, BACKLOG) < 0)
		rc = err_errno(
			err, errno == EADDRINUSE ? RAMET_EEXIST : RAMET_EIO, "listen on %s", addr);
	if (rc < 0) {
		verbs_listener_close(&listener->base);
		return rc;
	}
	addr_format_peer(rdma_get_local_addr(listener->id), listener->base.addr);
	*ret_listener = &listener->base;
	return 0;
}

void verbs_listener_close(struct transport_listener *base)
{
	struct verbs_listener *listener = container_of(base, struct verbs_listener, base);
	if (listener->id)
		rdma_destroy_id(listener->id);
	free(listener);
}

/* --- events --- */

static void cm_on_event(struct verbs_transport *vt, const struct cm_event *event)
{
	if (event->type == RDMA_CM_EVENT_CONNECT_REQUEST) {
		on_request(vt, event);
		return;
	}
	list_for_each (base, &vt->base.listeners, struct transport_listener, link) {
		if (container_of(base, struct verbs_listener, base)->id == event->id)
			return; /* of no use to it */
	}
	struct verbs_conn *conn = event->id->context;
	if (conn->phase != VERBS_ENDED)
		conn_on_event(conn, event);
}

static bool cm_next(struct verbs_transport *vt, struct cm_event *ret)
{
	struct rdma_cm_event *raw;
	if (rdma_get_cm_event(vt->events, &raw) < 0)
		return false;
	ret->type = raw->event;
	ret->id = raw->id;
	ret->status = raw->status;
	ret->len = 0;
	bool request = raw->event == RDMA_CM_EVENT_CONNECT_REQUEST;
	ret->listener = request ? raw->listen_id->context : NULL;
	if (request || raw->event == RDMA_CM_EVENT_ESTABLISHED ||
		raw->event == RDMA_CM_EVENT_REJECTED) {
		ret->len = raw->param.conn.private_data_len;
		if (ret->len > 0)
			memcpy(ret->data, raw->param.conn.private_data, ret->len);
	}
	rdma_ack_cm_event(raw);
	return true;
}

static void events_on_event(struct loop_watch *watch, uint32_t events)
{
	struct verbs_transport *vt = container_of(watch, struct verbs_transport, events_watch);
	struct cm_event event;
	for (unsigned i = 0; i < EVENTS_AT_ONCE && cm_next(vt, &event); i++)
		cm_on_event(vt, &event);
	transport_dispatch(&vt->base);
}

int verbs_cm_open(struct verbs_transport *vt, struct loop *loop, struct ramet_err *err)
{
	vt->events = rdma_create_event_channel();
	if (!vt->events || fcntl(vt->events->fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, RAMET_ENOTSUP, "RDMA connections (modprobe rdma_ucm)");
	return loop_watch_add(
		loop, &vt->events_watch, vt->events->fd, EPOLLIN, events_on_event, err);
}

void verbs_cm_close(struct verbs_transport *vt)
{
	loop_watch_remove(&vt->events_watch);
	if (vt->events)
		rdma_destroy_event_channel(vt->events);
}
