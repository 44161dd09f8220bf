/* One pass over a message of rametd: known keys are taken, others skipped. */
#include "runtime/host/host_internal.h"

#include "ramet/error.h"
#include "runtime/host_proto.h"

/* remembers where a value is and goes on behind it */
static int take_value(struct message_reader *r, struct message_reader *ret)
{
	const unsigned char *start = r->at;
	if (message_skip(r) < 0)
		return RAMET_EPROTO;
	*ret = (struct message_reader){start, r->at};
	return 0;
}

static int take_field(struct message_reader *r, struct message_span key, struct host_message *m)
{
	if (message_is(key, "t"))
		return message_read_str(r, &m->type);
	if (message_is(key, "id"))
		return message_read_uint(r, &m->id);
	if (message_is(key, "fn"))
		return message_read_str(r, &m->function);
	if (message_is(key, "data"))
		return message_read_bin(r, &m->data);
	if (message_is(key, "binary"))
		return message_read_bool(r, &m->binary);
	if (message_is(key, "events"))
		return message_read_bool(r, &m->events);
	if (message_is(key, "reset"))
		return message_read_bool(r, &m->reset);
	if (message_is(key, "bytes"))
		return message_read_uint(r, &m->bytes);
	if (message_is(key, "max_output"))
		return message_read_uint(r, &m->max_output);
	if (message_is(key, "close"))
		return message_read_uint(r, &m->close);
	if (message_is(key, "offset"))
		return message_read_uint(r, &m->offset);
	if (message_is(key, "once"))
		return message_read_bool(r, &m->once);
	if (message_is(key, "slot"))
		return message_read_uint(r, &m->slot);
	if (message_is(key, "pid"))
		return message_read_uint(r, &m->pid);
	if (message_is(key, "kind"))
		return message_read_uint(r, &m->kind);
	if (message_is(key, "ctx"))
		return take_value(r, &m->context);
	if (message_is(key, "dir"))
		return message_read_str(r, &m->dir);
	if (message_is(key, "functions"))
		return take_value(r, &m->functions);
	if (message_is(key, "env"))
		return take_value(r, &m->env);
	if (message_is(key, "items"))
		return take_value(r, &m->items);
	if (message_is(key, "config"))
		return take_value(r, &m->config);
	return message_skip(r);
}

int host_message_parse(const unsigned char *data, size_t len, struct host_message *ret)
{
	struct message_reader r = {data, data + len};
	uint32_t pairs;
	*ret = (struct host_message){.type = {"", 0},
		.function = {"", 0},
		.dir = {"", 0},
		.data = {"", 0},
		.max_output = HOST_MAX_PAYLOAD};
	int rc = message_read_map(&r, &pairs);
	for (uint32_t i = 0; rc == 0 && i < pairs; i++) {
		struct message_span key;
		rc = message_read_str(&r, &key);
		if (rc == 0)
			rc = take_field(&r, key, ret);
	}
	return rc == 0 && r.at != r.end ? RAMET_EPROTO : rc;
}
