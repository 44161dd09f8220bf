/* Events of calls on the wire: see call_event.h. */
#include "cluster/call_event.h"

void call_event_pack_pairs(const struct call_event *event, struct buf *b)
{
	if (event->progress) {
		wire_kuint(b, "progress", event->millionths);
		wire_key(b, "text");
		wire_strn(b, event->text_len > 0 ? event->text : "", event->text_len);
		return;
	}
	wire_kbin(b, "chunk", event->len > 0 ? event->chunk : "", event->len);
	wire_kbool(b, "binary", event->binary);
}

static int parse_progress(
	const struct wire_value *map, struct call_event *event, struct ramet_err *err)
{
	uint64_t millionths = 0;
	int rc = wire_get_uint(map, "progress", CALL_EVENT_MILLION, &millionths, err);
	if (rc == 0)
		rc = wire_get_span(map, "text", &event->text, &event->text_len, err);
	if (rc == 0 && event->text_len > HOST_EVENT_TEXT_MAX)
		rc = err_set(err, RAMET_EPROTO, "the text of progress has %zu bytes, more than %u",
			event->text_len, HOST_EVENT_TEXT_MAX);
	event->millionths = (uint32_t)millionths;
	return rc;
}

static int parse_chunk(
	const struct wire_value *map, struct call_event *event, struct ramet_err *err)
{
	int rc = wire_get_bin(map, "chunk", &event->chunk, &event->len, err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "binary", false, &event->binary, err);
	if (rc == 0 && event->len > HOST_EVENT_MAX)
		rc = err_set(err, RAMET_EPROTO, "a chunk has %zu bytes, more than %u", event->len,
			HOST_EVENT_MAX);
	return rc;
}

int call_event_parse(
	const struct wire_value *map, struct call_event *ret_event, struct ramet_err *err)
{
	struct call_event event = {.progress = wire_has(map, "progress")};
	int rc = event.progress ? parse_progress(map, &event, err) : parse_chunk(map, &event, err);
	if (rc == 0)
		*ret_event = event;
	return rc;
}

uint64_t call_event_weight(const struct call_event *event)
{
	return HOST_EVENT_WEIGHT + event->len;
}
