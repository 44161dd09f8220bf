/* A call that is shown while it runs: the call's request, its log and what it emits, its result. */
#include "cmd/ramet/follow.h"

#include "base/err.h"
#include "cluster/client_proto.h"
#include "cmd/ramet/event_print.h"
#include "cmd/ramet/log_print.h"
#include "libramet/call.h"
#include "libramet/result.h"
#include "libramet/stream.h"

struct follow {
	const char *function;
	const void *data;
	size_t len;
	const struct ramet_call_options *options;
};

static void pack(struct buf *b, const void *arg)
{
	const struct follow *f = arg;
	wire_kstr(b, "name", f->function);
	wire_kbin(b, "data", f->data, f->len);
	wire_kbool(b, "binary", f->options->flags & RAMET_CALL_BINARY);
	wire_kuint(b, "node", f->options->node);
	wire_kuint(b, "deadline_ms", f->options->deadline_ms);
	wire_kbool(b, "follow", true);
	wire_kbool(b, "events", true);
}

/* prints an event, and lets the function emit more now and then */
static int show(struct stream *stream, const struct message *message, bool json,
	uint64_t *io_untaken, struct ramet_err *err)
{
	size_t len = 0;
	int rc = event_print(message, json, &len, err);
	*io_untaken += CLIENT_EVENT_WEIGHT + len;
	if (rc < 0 || *io_untaken < CLIENT_EVENT_WINDOW / 2)
		return rc;
	rc = stream_taken(stream, *io_untaken, err);
	*io_untaken = 0;
	return rc;
}

int follow_call(struct ramet *ramet, const char *function, const void *data, size_t len,
	const struct ramet_call_options *options, bool json, struct ramet_result **ret_result,
	struct ramet_err *err)
{
	uint64_t untaken = 0;
	struct follow f = {function, data, len, options};
	auto_stream struct stream *stream = NULL;
	int rc = call_check_name(function, err);
	if (rc == 0)
		rc = stream_open(ramet, "call", 7, pack, &f, &stream, err);
	while (rc == 0) {
		auto_message struct message *message = NULL;
		rc = stream_next(stream, DEADLINE_NONE, &message, err);
		if (rc < 0)
			break;
		if (message_is(message, "log")) {
			rc = log_print(stderr, message, false, err);
		} else if (message_is(message, "event")) {
			rc = show(stream, message, json, &untaken, err);
		} else if (!message_is(message, "accepted")) {
			rc = message_is(message, "result") ? 0
							   : stream_expect(message, "error", err);
			if (rc == 0)
				rc = result_parse(message, function, ret_result, err);
			return rc < 0 ? rc : result_status(*ret_result, err);
		}
	}
	return rc;
}
