/* Bursts: one message out, a result for each rank back, then the summary. */
#include "libramet/call.h"
#include "libramet/result.h"
#include "libramet/stream.h"

#include <string.h>

struct burst_arg {
	const char *function;
	const void *data;
	size_t len;
	uint32_t n;
	const struct ramet_call_options *options;
};

static void pack_burst(struct buf *b, const void *user)
{
	const struct burst_arg *arg = user;
	wire_kstr(b, "name", arg->function);
	wire_kbin(b, "data", arg->data, arg->len);
	wire_kbool(b, "binary", arg->options->flags & RAMET_CALL_BINARY);
	wire_kuint(b, "node", arg->options->node);
	wire_kuint(b, "deadline_ms", arg->options->deadline_ms);
	wire_kuint(b, "n", arg->n);
}

/* A burst while its answers come. */
struct burst {
	struct stream *stream;
	const char *function;
	ramet_result_fn on_result;
	void *user;
	bool cancelled;
	struct ramet_err first; /* failure; code 0: none */
};

static int take_result(struct burst *burst, const struct message *message, struct ramet_err *err)
{
	struct ramet_result *result;
	int rc = result_parse(message, burst->function, &result, err);
	if (rc < 0)
		return rc;
	if (result->failure && !burst->first.code)
		result_status(result, &burst->first);
	if (!burst->on_result) {
		ramet_result_free(result);
		return 0;
	}
	if (burst->on_result(burst->user, result) != 0 && !burst->cancelled) {
		burst->cancelled = true;
		rc = stream_cancel(burst->stream, err);
	}
	return rc;
}

static int get_u32(
	const struct wire_value *map, const char *key, uint32_t *ret, struct ramet_err *err)
{
	uint64_t value;
	int rc = wire_get_uint_or(map, key, UINT32_MAX, 0, &value, err);
	if (rc == 0)
		*ret = (uint32_t)value;
	return rc;
}

static int parse_summary(
	const struct wire_value *map, struct ramet_summary *summary, struct ramet_err *err)
{
	uint64_t total = 0;
	const struct {
		const char *key;
		uint32_t *value;
	} fields[] = {
		{"n", &summary->n},
		{"ok", &summary->ok},
		{"failed", &summary->failed},
		{"warm", &summary->warm},
		{"local_fork", &summary->local_fork},
		{"remote_fork", &summary->remote_fork},
		{"cold", &summary->cold},
		{"nodes", &summary->nodes},
	};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		int rc = get_u32(map, fields[i].key, fields[i].value, err);
		if (rc < 0)
			return rc;
	}
	int rc = wire_get_uint_or(map, "total", UINT64_MAX, 0, &total, err);
	summary->total_us = (double)total / 1000.0;
	return rc;
}

/* all answers but the last, which is handed over */
static int take_results(struct burst *burst, struct message **ret_last, struct ramet_err *err)
{
	for (;;) {
		auto_message struct message *message = NULL;
		int rc = stream_next(burst->stream, DEADLINE_NONE, &message, err);
		if (rc < 0)
			return rc;
		if (message_is(message, "result")) {
			rc = take_result(burst, message, err);
			if (rc < 0)
				return rc;
		} else if (!message_is(message, "accepted")) {
			*ret_last = steal_ptr(&message);
			return 0;
		}
	}
}

static int check(const struct burst_arg *arg, struct ramet_err *err)
{
	if (arg->n < 1 || arg->n > CLIENT_MAX_BURST)
		return err_set(err, RAMET_EINVAL, "a burst has 1 to %d instances, not %u",
			CLIENT_MAX_BURST, arg->n);
	if (arg->len > CLIENT_MAX_PAYLOAD)
		return err_set(err, RAMET_ELIMIT, "data of %zu bytes is more than %u", arg->len,
			CLIENT_MAX_PAYLOAD);
	return call_check_name(arg->function, err);
}

int ramet_burst(struct ramet *ramet, const char *function, uint32_t n, const void *data, size_t len,
	const struct ramet_call_options *options, ramet_result_fn on_result, void *user,
	struct ramet_summary *ret_summary, struct ramet_err *err)
{
	struct ramet_call_options ours;
	struct burst_arg arg = {function, data, len, n, &ours};
	auto_stream struct stream *stream = NULL;
	auto_message struct message *last = NULL;
	struct ramet_summary summary = {.size = sizeof(summary)};
	int rc = check(&arg, err);
	if (rc == 0)
		rc = call_options(options, &ours, err);
	if (rc != 0)
		return rc;
	if (len == 0 && !(ours.flags & RAMET_CALL_BINARY)) {
		arg.data = "null";
		arg.len = 4;
	}
	rc = stream_open(ramet, "burst", 6, pack_burst, &arg, &stream, err);
	if (rc < 0)
		return rc;
	struct burst burst = {stream, function, on_result, user, false, {0}};
	rc = take_results(&burst, &last, err);
	if (rc == 0)
		rc = stream_expect(last, "summary", err);
	if (rc == 0)
		rc = parse_summary(last->root, &summary, err);
	if (rc < 0)
		return rc;
	if (ret_summary) {
		size_t size = MIN(ret_summary->size, sizeof(summary));
		memcpy((char *)ret_summary + sizeof(size_t), (char *)&summary + sizeof(size_t),
			size > sizeof(size_t) ? size - sizeof(size_t) : 0);
	}
	if (burst.first.code)
		err_copy(err, &burst.first);
	return burst.first.code;
}
