/* Messages between a client and rametd: decoding a frame, beginning a request. */
#include "libramet/message.h"

#include "cluster/client_proto.h"

#include <stdlib.h>
#include <string.h>

static const struct wire_limits limits = {
	.bytes = CLIENT_MAX_FRAME,
	.depth = CLIENT_WIRE_DEPTH,
	.items = CLIENT_WIRE_ITEMS,
};

int message_parse(const void *data, size_t len, struct message **ret_message, struct ramet_err *err)
{
	auto_message struct message *message = calloc(1, sizeof(*message));
	if (!message)
		return err_nomem(err);
	list_init(&message->link);
	message->data = malloc(len ? len : 1);
	if (!message->data)
		return err_nomem(err);
	memcpy(message->data, data, len);

	int rc = wire_parse(message->data, len, limits, &message->wire, err);
	if (rc < 0)
		return rc;
	message->root = wire_root(message->wire);
	if (!wire_is_map(message->root))
		return err_set(err, RAMET_EPROTO, "message is not a map");
	rc = wire_get_str(message->root, "t", message->type, sizeof(message->type), err);
	if (rc == 0)
		rc = wire_get_uint(message->root, "req", UINT64_MAX, &message->req, err);
	if (rc < 0)
		return rc;
	*ret_message = steal_ptr(&message);
	return 0;
}

void message_free(struct message *message)
{
	if (!message)
		return;
	for (unsigned i = 0; i < message->nfds; i++)
		close_reset(&message->fds[i]);
	wire_free(message->wire);
	free(message->data);
	free(message);
}

bool message_is(const struct message *message, const char *type)
{
	return strcmp(message->type, type) == 0;
}

void message_begin(struct buf *b, const char *type, uint64_t req, uint32_t pairs)
{
	wire_map(b, pairs + 2);
	wire_kstr(b, "t", type);
	wire_kuint(b, "req", req);
}
