/* call: one function, its deadline, its result. */
#include "runtime/host/host_internal.h"

#include "base/err.h"
#include "runtime/host/deadline.h"
#include "runtime/host_proto.h"

#include <stdio.h>
#include <string.h>

int host_read_context(struct message_reader r, struct ramet_engine_context *c)
{
	uint32_t pairs = 0;
	struct message_span key;
	struct message_span bytes;
	int rc = r.at == r.end ? 0 : message_read_map(&r, &pairs);
	for (uint32_t i = 0; rc == 0 && i < pairs; i++) {
		rc = message_read_str(&r, &key);
		if (rc < 0)
			break;
		if (message_is(key, "version")) {
			rc = message_read_str(&r, &bytes);
			if (rc == 0)
				rc = message_copy(bytes, c->version, sizeof(c->version));
		} else if (message_is(key, "node")) {
			rc = message_read_uint(&r, &c->node);
		} else if (message_is(key, "rank")) {
			rc = message_read_uint(&r, &c->rank);
		} else if (message_is(key, "size")) {
			rc = message_read_uint(&r, &c->size);
		} else if (message_is(key, "deadline")) {
			rc = message_read_uint(&r, &c->deadline_ns);
		} else if (message_is(key, "random")) {
			rc = message_read_bin(&r, &bytes);
			if (rc == 0 && bytes.len == sizeof(c->id))
				memcpy(c->id, bytes.data, sizeof(c->id));
		} else {
			rc = message_skip(&r);
		}
	}
	return rc;
}

static void say_result(
	struct host *host, const struct host_times *times, const struct ramet_engine_result *result)
{
	unsigned char head[128];
	unsigned char tail[64];
	struct message_writer w = {head, head + sizeof(head), false};
	struct message_writer end = {tail, tail + sizeof(tail), false};
	struct ramet_err err;
	message_map(&w, 8);
	message_kstr(&w, "t", "result");
	message_kuint(&w, "id", times->id);
	message_str(&w, "ok");
	message_bool(&w, true);
	message_str(&w, "binary");
	message_bool(&w, result->binary);
	message_str(&w, "last");
	message_bool(&w, times->last);
	message_str(&w, "data");
	message_bin_header(&w, (uint32_t)result->len);
	message_kuint(&end, "begin", times->begin_ns);
	message_kuint(&end, "end", times->end_ns);
	const struct iovec parts[] = {{head, (size_t)(w.at - head)},
		{(void *)result->data, result->len}, {tail, (size_t)(end.at - tail)}};
	if (channel_send(&host->channel, parts, 3, NULL, 0, &err) < 0)
		host_lost(host, &err);
}

/* an answer that is too large, with what was emitted before, is an error instead */
static bool fits(struct host *host, const struct ramet_engine_call *call,
	const struct ramet_engine_result *result, size_t emitted, const struct host_times *times)
{
	struct ramet_err err;
	size_t most = call->max_output < HOST_MAX_PAYLOAD ? call->max_output : HOST_MAX_PAYLOAD;
	size_t len = result->len + emitted;
	if (len <= most)
		return true;
	(void)err_set(&err, RAMET_ELIMIT, "the output of %s has %zu bytes%s, its limit is %zu",
		call->context.function, len, emitted > 0 ? " with what it emitted" : "", most);
	host_answer_err(host, "result", times, RAMET_ENGINE_LIMIT, &err);
	return false;
}

static void run(struct host *host, const struct engines_one *one,
	const struct ramet_engine_call *call, uint64_t id, bool reset)
{
	struct ramet_engine_result result = {0};
	struct ramet_engine_error error = {.code = RAMET_EINTERNAL, .kind = RAMET_ENGINE_SYSTEM};
	struct host_times times = {.id = id, .begin_ns = host_now_ns()};
	deadline_arm(one, call->context.deadline_ns, NULL);
	int rc = one->ops->call(one->engine, call, &result, &error);
	enum deadline_end how = deadline_disarm();
	size_t emitted = call->emit ? host_events_end() : 0;
	times.end_ns = host_now_ns();
	if (rc < 0)
		host_ended(host, how, &error);
	if (reset)
		host_reset(host, one);
	times.last = host->leaves;
	if (rc < 0) {
		host_answer_error(host, "result", &times, &error);
	} else if (fits(host, call, &result, emitted, &times)) {
		say_result(host, &times, &result);
	}
	one->ops->done(one->engine);
	if (host->leaves)
		host_stop(host, RAMET_HOST_OK);
}

int host_call(struct host *host, const struct host_message *message)
{
	struct ramet_engine_call call = {
		.binary = message->binary,
		.data = message->data.data,
		.len = message->data.len,
		.max_output = message->max_output,
	};
	if (!host->loaded || host_read_context(message->context, &call.context) < 0)
		return RAMET_EPROTO;
	unsigned function;
	if (!host_find_function(host, message->function, &function)) {
		struct ramet_err err;
		struct host_times times = {.id = message->id, .begin_ns = host_now_ns()};
		times.end_ns = times.begin_ns;
		(void)err_set(&err, RAMET_ENOTFOUND, "the application has no function %.*s",
			(int)message->function.len, message->function.data);
		host_answer_err(host, "result", &times, RAMET_ENGINE_USER, &err);
		return 0;
	}
	const struct engines_one *one = engines_of(&host->engines, function, &call.function);
	call.context.function = host->functions[function].name;
	if (message->events) {
		host_events_begin(host, message->id, call.max_output);
		call.emit = host_events_emit;
	}
	run(host, one, &call, message->id, message->reset);
	return 0;
}
