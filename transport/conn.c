/* Connections as every provider shares them: states, the bound on what is in flight, the checks of
 * a post, and the queue of completions that keeps handlers out of the user's own calls. */
#include "transport/core.h"
#include "transport/provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void transport_conn_init(
	struct transport_conn *conn, const struct transport_accept *accept, const char *peer)
{
	struct transport *t = accept->domain->transport;
	conn->transport = t;
	conn->domain = accept->domain;
	conn->domain->refs++;
	conn->handler = accept->handler;
	conn->user = accept->user;
	conn->state = CONN_CONNECTING;
	snprintf(conn->peer, sizeof(conn->peer), "%s", peer);
	list_init(&conn->end_link);
	list_append(&t->conns, &conn->link);
	transport_tick_faster(t, t->tick_ns);
}

int transport_connect(struct transport_domain *domain, const char *addr, const void *token,
	size_t token_len, const struct transport_handler *handler, void *user,
	struct transport_conn **ret_conn, struct ramet_err *err)
{
	struct transport *t = domain->transport;
	if (t->closing)
		return err_set(err, RAMET_ECLOSED, "connect to %s: the transport is closing", addr);
	if (token_len > TRANSPORT_TOKEN_MAX || strlen(addr) >= TRANSPORT_ADDR_MAX)
		return err_set(
			err, RAMET_EINVAL, "connect to %.80s: address or token too long", addr);

	struct transport_conn *conn;
	int rc = t->ops->connect(domain, addr, token, token_len, &conn, err);
	if (rc < 0)
		return rc;
	const struct transport_accept accept = {
		.domain = domain, .handler = handler, .user = user};
	transport_conn_init(conn, &accept, addr);
	transport_kick(t);
	*ret_conn = conn;
	return 0;
}

const char *transport_conn_peer(const struct transport_conn *conn)
{
	return conn->peer;
}

unsigned transport_conn_depth(const struct transport_conn *conn)
{
	return conn->depth;
}

unsigned transport_conn_inflight(const struct transport_conn *conn)
{
	return conn->inflight;
}

void transport_conn_close(struct transport_conn *conn)
{
	if (conn->state == CONN_CLOSING || conn->state == CONN_ENDED)
		return;
	conn->state = CONN_CLOSING;
	conn->transport->ops->conn_close(conn);
}

int transport_conn_opened(struct transport_conn *conn, unsigned depth)
{
	int rc = transport_done_reserve(conn->transport, depth);
	if (rc < 0)
		return rc;
	conn->depth = depth;
	conn->state = CONN_OPEN;
	if (!conn->handler->on_connected)
		return 0;
	conn->transport->handlers++;
	conn->handler->on_connected(conn->user, conn);
	conn->transport->handlers--;
	return 0;
}

void transport_conn_ended(struct transport_conn *conn, const struct ramet_err *err)
{
	if (conn->state == CONN_ENDED)
		return;
	err_clear(&conn->end);
	if (err && conn->state != CONN_CLOSING) /* after our own close no end is an error */
		err_copy(&conn->end, err);
	conn->state = CONN_ENDED;
	list_append(&conn->transport->ended, &conn->end_link);
	transport_kick(conn->transport);
}

void transport_conn_failed(struct transport_conn *conn, int code, const char *fmt, va_list ap)
{
	struct ramet_err err = {0};
	err_vset(&err, code, fmt, ap);
	err_prefix(&err, "%s", conn->peer);
	transport_conn_ended(conn, &err);
}

void transport_doorbell(struct transport_conn *conn, uint32_t imm)
{
	if (!conn->handler->on_doorbell)
		return;
	conn->transport->handlers++;
	conn->handler->on_doorbell(conn->user, conn, imm);
	conn->transport->handlers--;
}

void transport_message(struct transport_conn *conn, const void *data, size_t len)
{
	if (!conn->handler->on_message)
		return;
	conn->transport->handlers++;
	conn->handler->on_message(conn->user, conn, data, len);
	conn->transport->handlers--;
}

/* whether local memory is what the contract says */
static int request_check(const struct transport_conn *conn, const struct transport_request *req)
{
	if (req->op == TRANSPORT_SEND)
		return req->len > 0 ? 0 : RAMET_EINVAL;
	if (req->len == 0)
		return req->op == TRANSPORT_WRITE_IMM ? 0 : RAMET_EINVAL;

	const struct transport_segment *s = req->local;
	if (!s || s->domain != conn->domain || s->removed)
		return RAMET_EINVAL;
	uintptr_t at = (uintptr_t)req->addr, start = (uintptr_t)s->addr;
	if (at < start || at - start > s->len || req->len > s->len - (at - start))
		return RAMET_EINVAL;
	if (req->op == TRANSPORT_READ && s->flags == 0)
		return RAMET_EINVAL;
	return 0;
}

static int conn_post(struct transport_conn *conn, const struct transport_request *req)
{
	if (conn->state != CONN_OPEN) {
		if (conn->state == CONN_CONNECTING)
			return RAMET_EINVAL;
		return conn->end.code < 0 ? conn->end.code : RAMET_ECLOSED;
	}
	int rc = request_check(conn, req);
	if (rc < 0)
		return rc;
	if (conn->inflight >= conn->depth)
		return RAMET_EAGAIN;

	/* counted first: a provider may complete within post() */
	conn->inflight++;
	conn->pending++;
	if (req->local)
		req->local->users++;
	rc = conn->transport->ops->post(conn, req);
	if (rc < 0) {
		conn->inflight--;
		conn->pending--;
		if (req->local)
			req->local->users--;
		return rc;
	}
	transport_kick(conn->transport);
	return 0;
}

int transport_read(struct transport_conn *conn, struct segment_ref src,
	struct transport_segment *local, void *dst, size_t len, uint64_t cookie)
{
	if (len > TRANSPORT_OP_MAX)
		return RAMET_EINVAL;
	const struct transport_request req = {
		.op = TRANSPORT_READ,
		.len = (uint32_t)len,
		.cookie = cookie,
		.ref = src,
		.local = local,
		.addr = dst,
	};
	return conn_post(conn, &req);
}

int transport_write(struct transport_conn *conn, struct segment_ref dst,
	struct transport_segment *local, const void *src, size_t len, uint64_t cookie)
{
	if (len > TRANSPORT_OP_MAX)
		return RAMET_EINVAL;
	const struct transport_request req = {
		.op = TRANSPORT_WRITE,
		.len = (uint32_t)len,
		.cookie = cookie,
		.ref = dst,
		.local = local,
		.addr = (unsigned char *)(uintptr_t)src, /* only read */
	};
	return conn_post(conn, &req);
}

int transport_write_imm(struct transport_conn *conn, struct segment_ref dst,
	struct transport_segment *local, const void *src, size_t len, uint32_t imm, uint64_t cookie)
{
	if (len > TRANSPORT_OP_MAX)
		return RAMET_EINVAL;
	const struct transport_request req = {
		.op = TRANSPORT_WRITE_IMM,
		.len = (uint32_t)len,
		.imm = imm,
		.cookie = cookie,
		.ref = len ? dst : (struct segment_ref){0},
		.local = len ? local : NULL,
		.addr = len ? (unsigned char *)(uintptr_t)src : NULL, /* only read */
	};
	return conn_post(conn, &req);
}

int transport_send(struct transport_conn *conn, const void *data, size_t len, uint64_t cookie)
{
	if (len > TRANSPORT_SEND_MAX)
		return RAMET_EINVAL;
	const struct transport_request req = {
		.op = TRANSPORT_SEND,
		.len = (uint32_t)len,
		.cookie = cookie,
		.addr = (unsigned char *)(uintptr_t)data, /* only read */
	};
	return conn_post(conn, &req);
}
