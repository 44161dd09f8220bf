/* Requests with several answers: messages are queued by whoever reads the connection, and taken by
 * their one thread. */
#include "libramet/stream.h"

#include "libramet/result.h"

#include <stdlib.h>

struct stream {
	struct ramet *ramet;
	struct conn_request request;
	struct list messages;
	struct ramet_err lost; /* code 0: not */
};

static void on_message(struct conn_request *request, struct message *message)
{
	struct stream *stream = container_of(request, struct stream, request);
	list_append(&stream->messages, &message->link);
}

static void on_lost(struct conn_request *request, const struct ramet_err *err)
{
	struct stream *stream = container_of(request, struct stream, request);
	err_copy(&stream->lost, err);
}

int stream_open(struct ramet *ramet, const char *type, uint32_t pairs,
	void (*pack)(struct buf *b, const void *arg), const void *arg, struct stream **ret_stream,
	struct ramet_err *err)
{
	auto_stream struct stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return err_nomem(err);
	list_init(&stream->messages);
	stream->request.on_message = on_message;
	stream->request.on_lost = on_lost;
	stream->ramet = ramet;

	CLEANUP(buf_fini) struct buf b = {0};
	int rc;
	{
		auto_lock(ramet);
		rc = handle_check_open(ramet, err);
		if (rc < 0)
			return rc;
		conn_add(ramet->conn, &stream->request);
		message_begin(&b, type, stream->request.req, pairs);
		if (pack)
			pack(&b, arg);
		rc = handle_send(ramet, &b, err);
	}
	if (rc < 0)
		return rc;
	*ret_stream = steal_ptr(&stream);
	return 0;
}

static bool has_message(void *arg)
{
	const struct stream *stream = arg;
	return !list_empty(&stream->messages) || stream->lost.code;
}

int stream_next(struct stream *stream, uint64_t deadline_ns, struct message **ret_message,
	struct ramet_err *err)
{
	auto_lock(stream->ramet);
	stream->ramet->listening++;
	int rc = handle_wait(stream->ramet, has_message, stream, deadline_ns, err);
	stream->ramet->listening--;
	if (rc == RAMET_ETIMEOUT)
		return err_set(err, rc, "rametd did not answer in time");
	if (rc < 0)
		return rc;
	if (list_empty(&stream->messages)) {
		err_copy(err, &stream->lost);
		return stream->lost.code;
	}
	struct message *message = list_first(&stream->messages, struct message, link);
	list_remove(&message->link);
	*ret_message = message;
	return 0;
}

int stream_cancel(struct stream *stream, struct ramet_err *err)
{
	auto_lock(stream->ramet);
	int rc = handle_check_open(stream->ramet, err);
	if (rc == 0)
		rc = conn_cancel(stream->ramet->conn, stream->request.req, err);
	return rc;
}

int stream_taken(struct stream *stream, uint64_t weight, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	auto_lock(stream->ramet);
	int rc = handle_check_open(stream->ramet, err);
	if (rc < 0)
		return rc;
	conn_pack_taken(stream->ramet->conn, &b, stream->request.req, weight);
	return handle_send(stream->ramet, &b, err);
}

void stream_close(struct stream *stream)
{
	if (!stream)
		return;
	{
		auto_lock(stream->ramet);
		conn_remove(&stream->request);
	}
	while (!list_empty(&stream->messages)) {
		struct message *message = list_first(&stream->messages, struct message, link);
		list_remove(&message->link);
		message_free(message);
	}
	free(stream);
}

int stream_error(const struct message *message, struct ramet_err *err)
{
	auto_result struct ramet_result *result = NULL;
	int rc = result_parse(message, "", &result, err);
	return rc < 0 ? rc : result_status(result, err);
}

int stream_expect(const struct message *message, const char *type, struct ramet_err *err)
{
	if (message_is(message, type))
		return 0;
	if (message_is(message, "error"))
		return stream_error(message, err);
	return err_set(err, RAMET_EPROTO, "rametd answered \"%s\" where \"%s\" was due",
		message->type, type);
}

int stream_request(struct ramet *ramet, const char *type, uint32_t pairs,
	void (*pack)(struct buf *b, const void *arg), const void *arg, uint64_t deadline_ns,
	const char *answer, struct message **ret_message, struct ramet_err *err)
{
	auto_stream struct stream *stream = NULL;
	auto_message struct message *message = NULL;
	int rc = stream_open(ramet, type, pairs, pack, arg, &stream, err);
	if (rc == 0)
		rc = stream_next(stream, deadline_ns, &message, err);
	if (rc == 0)
		rc = stream_expect(message, answer, err);
	if (rc == 0 && ret_message)
		*ret_message = steal_ptr(&message);
	return rc;
}
