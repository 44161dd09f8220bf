/* Events of calls: kept from their arrival until they are taken. What has been freed rametd is told
 * of, so that the function may emit more. */
#include "libramet/call.h"
#include "libramet/conn.h"
#include "libramet/message.h"

#include <stdlib.h>
#include <string.h>

#define MILLION 1e6

struct event {
	struct ramet_event public; /* first */
	struct list link; /* of its call, until it is taken */
	struct ramet *ramet; /* a reference, once it is taken */
	uint64_t req; /* of the call */
	uint64_t weight;
	char bytes[]; /* chunk or text, and a NUL */
};

static struct event *event_new(size_t len)
{
	struct event *event = calloc(1, sizeof(*event) + len + 1);
	if (!event)
		return NULL;
	list_init(&event->link);
	event->public.size = sizeof(event->public);
	event->public.text = "";
	event->public.chunk = "";
	event->weight = CLIENT_EVENT_WEIGHT;
	return event;
}

static int parse_progress(
	const struct wire_value *map, struct event **ret_event, struct ramet_err *err)
{
	uint64_t millionths = 0;
	const char *text = NULL;
	size_t len = 0;
	int rc = wire_get_uint(map, "progress", (uint64_t)MILLION, &millionths, err);
	if (rc == 0)
		rc = wire_get_span(map, "text", &text, &len, err);
	struct event *event = rc == 0 ? event_new(len) : NULL;
	if (!event)
		return rc < 0 ? rc : err_nomem(err);
	memcpy(event->bytes, text, len);
	event->public.progress = 1;
	event->public.fraction = (double)millionths / MILLION;
	event->public.text = event->bytes;
	*ret_event = event;
	return 0;
}

static int parse_chunk(
	const struct wire_value *map, struct event **ret_event, struct ramet_err *err)
{
	const void *chunk = NULL;
	size_t len = 0;
	bool binary = false;
	int rc = wire_get_bin(map, "chunk", &chunk, &len, err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "binary", false, &binary, err);
	struct event *event = rc == 0 ? event_new(len) : NULL;
	if (!event)
		return rc < 0 ? rc : err_nomem(err);
	if (len > 0)
		memcpy(event->bytes, chunk, len);
	event->public.chunk = event->bytes;
	event->public.len = len;
	event->public.binary = binary;
	event->weight += len;
	*ret_event = event;
	return 0;
}

/* What cannot be kept ends the call: an event that is missing would not be noticed. */
static void lose(struct ramet_call *call, const struct ramet_err *err)
{
	struct channel *channel = call->ramet->channel;
	channel->ops->cancel(channel, &call->channel, NULL);
	channel->ops->forget(channel, &call->channel);
	call->channel.events->done(&call->channel, NULL, err);
}

void call_on_event(struct channel_call *channel_call, struct message *received)
{
	struct ramet_call *call = container_of(channel_call, struct ramet_call, channel);
	auto_message struct message *message = received;
	struct event *event = NULL;
	struct ramet_err err = {0};
	if (!call->listens)
		return; /* nobody has asked for it */
	int rc = wire_has(message->root, "progress") ? parse_progress(message->root, &event, &err)
						     : parse_chunk(message->root, &event, &err);
	if (rc < 0) {
		lose(call, &err);
		return;
	}
	event->req = call->channel.request.req;
	list_append(&call->events, &event->link);
	call_join_done(call);
}

void call_drop_events(struct ramet_call *call)
{
	list_for_each_safe (event, &call->events, struct event, link) {
		list_remove(&event->link);
		free(event);
	}
}

static bool has_event(void *arg)
{
	const struct ramet_call *call = arg;
	return !list_empty(&call->events) || call->done;
}

int ramet_next_event(struct ramet_call *call, int timeout_ms, struct ramet_event **ret_event,
	struct ramet_err *err)
{
	auto_lock(call->ramet);
	if (!call->listens)
		return err_set(err, RAMET_EINVAL, "the call was not sent with RAMET_CALL_EVENTS");
	int rc = has_event(call)
		? 0
		: handle_wait(call->ramet, has_event, call, handle_deadline(timeout_ms), err);
	if (rc == RAMET_ETIMEOUT)
		return err_set(err, rc, "the call emitted nothing within %d ms", timeout_ms);
	if (rc < 0)
		return rc;
	if (list_empty(&call->events))
		return err_set(err, RAMET_ENOTFOUND,
			"the call is done, and all that it emitted "
			"has been taken");
	struct event *event = list_first(&call->events, struct event, link);
	list_remove(&event->link);
	event->ramet = call->ramet;
	handle_get(event->ramet);
	if (list_empty(&call->events) && !call->done)
		call_leave_done(call);
	*ret_event = &event->public;
	return 0;
}

/* the call that it was of, if that is under way */
static struct ramet_call *call_of(const struct event *event)
{
	const struct ramet *ramet = event->ramet;
	struct conn_request *request = ramet->closed ? NULL : conn_find(ramet->conn, event->req);
	return request ? container_of(request, struct ramet_call, channel.request) : NULL;
}

static void tell_freed(struct ramet_call *call)
{
	struct ramet *ramet = call->ramet;
	CLEANUP(buf_fini) struct buf b = {0};
	conn_pack_taken(ramet->conn, &b, call->channel.request.req, call->freed);
	call->freed = 0;
	(void)handle_send(ramet, &b, NULL); /* who waits for the call is told why it fails */
}

void ramet_event_free(struct ramet_event *public)
{
	struct event *event = (struct event *)public;
	if (!event)
		return;
	struct ramet *ramet = event->ramet;
	{
		auto_lock(ramet);
		struct ramet_call *call = call_of(event);
		if (call)
			call->freed += event->weight;
		if (call && call->freed >= CLIENT_EVENT_WINDOW / 2)
			tell_freed(call);
	}
	free(event);
	handle_put(ramet);
}
