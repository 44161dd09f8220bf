/* Calls as messages over the connection to rametd. */
#include "libramet/channel.h"

#include "base/cleanup.h"
#include "cluster/client_proto.h"
#include "libramet/message.h"
#include "libramet/result.h"

#include <stdlib.h>
#include <string.h>

#define ENVELOPE 1024 /* bytes of a call's message that are not its data, at most */

struct channel_socket {
	struct channel base;
	struct conn *conn;
};

static struct channel_socket *socket_of(struct channel *channel)
{
	return container_of(channel, struct channel_socket, base);
}

static void answered(struct channel_call *call, const struct message *message)
{
	struct ramet_result *result = NULL;
	struct ramet_err err = {0};
	conn_remove(&call->request);
	if (message_is(message, "result") || message_is(message, "error"))
		result_parse(message, call->function, &result, &err);
	else
		err_set(&err, RAMET_EPROTO, "rametd answered a call with \"%s\"", message->type);
	call->events->done(call, result, &err);
}

static void on_message(struct conn_request *request, struct message *received)
{
	struct channel_call *call = container_of(request, struct channel_call, request);
	auto_message struct message *message = received;
	if (message_is(message, "log"))
		return;
	if (message_is(message, "event")) {
		if (call->events->event)
			call->events->event(call, steal_ptr(&message));
		return;
	}
	if (!message_is(message, "accepted")) {
		answered(call, message);
		return;
	}
	char id[CLIENT_CALL_MAX + 1];
	if (wire_get_str(message->root, "call", id, sizeof(id), NULL) == 0)
		call->events->accepted(call, id);
}

static void on_lost(struct conn_request *request, const struct ramet_err *err)
{
	struct channel_call *call = container_of(request, struct channel_call, request);
	call->events->done(call, NULL, err);
}

static void pack_call(struct buf *b, uint64_t req, const struct channel_request *request)
{
	const struct ramet_call_options *o = request->options;
	bool events = o->flags & RAMET_CALL_EVENTS;
	message_begin(b, "call", req, 8 + events);
	if (events)
		wire_kbool(b, "events", true);
	wire_kstr(b, "name", request->function);
	wire_kbin(b, "data", request->data, request->len);
	wire_kbool(b, "binary", o->flags & RAMET_CALL_BINARY);
	wire_kuint(b, "node", o->node);
	wire_kuint(b, "deadline_ms", o->deadline_ms);
	wire_kbool(b, "detach", o->flags & RAMET_CALL_DETACH);
	wire_kuint(b, "rank", o->rank);
	wire_kuint(b, "size", o->group ? o->group : 1);
}

static int submit(struct channel *channel, const struct channel_request *request,
	struct channel_call *call, struct ramet_err *err)
{
	struct conn *conn = socket_of(channel)->conn;
	if (request->len > CLIENT_MAX_PAYLOAD)
		return err_set(err, RAMET_ELIMIT, "data of %zu bytes is more than %u", request->len,
			CLIENT_MAX_PAYLOAD);
	snprintf(call->function, sizeof(call->function), "%s", request->function);
	call->request.on_message = on_message;
	call->request.on_lost = on_lost;
	conn_add(conn, &call->request);
	CLEANUP(buf_fini) struct buf b = {0};
	pack_call(&b, call->request.req, request);
	int rc = conn_send(conn, &b, err);
	if (rc < 0)
		conn_remove(&call->request);
	return rc;
}

static bool room(const struct channel *channel, const struct channel_request *request)
{
	const struct channel_socket *s = container_of(channel, const struct channel_socket, base);
	return conn_has_room(s->conn, request->len + ENVELOPE);
}

static int cancel(struct channel *channel, struct channel_call *call, struct ramet_err *err)
{
	return conn_cancel(socket_of(channel)->conn, call->request.req, err);
}

static void forget(struct channel *channel, struct channel_call *call)
{
	conn_remove(&call->request);
}

static int event_fd(const struct channel *channel)
{
	return -1;
}

static int dispatch(struct channel *channel, struct ramet_err *err)
{
	return 0;
}

static void destroy(struct channel *channel)
{
	free(channel); /* the connection tells the calls that are left */
}

static const struct channel_ops ops = {
	.name = "socket",
	.submit = submit,
	.room = room,
	.cancel = cancel,
	.forget = forget,
	.fd = event_fd,
	.dispatch = dispatch,
	.destroy = destroy,
};

int channel_socket_create(struct conn *conn, struct channel **ret_channel, struct ramet_err *err)
{
	struct channel_socket *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(err);
	s->base.ops = &ops;
	s->conn = conn;
	*ret_channel = &s->base;
	return 0;
}
