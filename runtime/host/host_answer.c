/* Sending answers. Errors are rare and may be long, so they are written to memory of their own. */
#include "runtime/host/host_internal.h"

#include "base/err.h"
#include "runtime/host_proto.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(HOST_ERROR_CAP == 3 * HOST_ERROR_MAX + 1024, "three long texts");

void host_answer(struct host *host, const struct message_writer *w, unsigned char *start,
	const int *fds, unsigned nfds)
{
	struct ramet_err err;
	struct iovec part = {start, (size_t)(w->at - start)};
	if (channel_send(&host->channel, &part, 1, fds, nfds, &err) < 0)
		host_lost(host, &err);
}

static void write_text(struct message_writer *w, const char *key, struct ramet_engine_text text)
{
	message_str(w, key);
	message_text(w, text.data ? text.data : "", text.data ? text.len : 0, HOST_ERROR_MAX);
}

void host_write_error(struct message_writer *w, const struct ramet_engine_error *error)
{
	static const char *const kinds[] = {"user", "limit", "system", "refused"};
	message_str(w, "error");
	message_map(w, 5);
	message_kstr(w, "code", err_name(error->code));
	message_kstr(w, "kind", kinds[error->kind]);
	write_text(w, "type", error->type);
	write_text(w, "message", error->message);
	write_text(w, "traceback", error->traceback);
}

void host_answer_short(struct host *host, const char *type, enum ramet_engine_kind kind,
	const struct ramet_err *err)
{
	unsigned char bytes[3 * sizeof(err->msg) + 256];
	struct message_writer w = {bytes, bytes + sizeof(bytes), false};
	const struct ramet_engine_error error = {
		.code = err->code, .kind = kind, .message = {err->msg, strlen(err->msg)}};
	message_map(&w, 2);
	message_kstr(&w, "t", type);
	host_write_error(&w, &error);
	host_answer(host, &w, bytes, NULL, 0);
}

void host_answer_error(struct host *host, const char *type, const struct host_times *times,
	const struct ramet_engine_error *error)
{
	unsigned char *bytes = malloc(HOST_ERROR_CAP);
	if (!bytes) {
		struct ramet_err err;
		(void)err_nomem(&err);
		host_lost(host, &err);
		return;
	}
	struct message_writer w = {bytes, bytes + HOST_ERROR_CAP, false};
	message_map(&w, times ? 8 : 2);
	message_kstr(&w, "t", type);
	if (times) {
		message_kuint(&w, "id", times->id);
		message_str(&w, "ok");
		message_bool(&w, false);
		message_str(&w, "data");
		message_bin_header(&w, 0);
		message_kuint(&w, "begin", times->begin_ns);
		message_kuint(&w, "end", times->end_ns);
		message_str(&w, "last");
		message_bool(&w, times->last);
	}
	host_write_error(&w, error);
	host_answer(host, &w, bytes, NULL, 0);
	free(bytes);
}

void host_answer_err(struct host *host, const char *type, const struct host_times *times,
	enum ramet_engine_kind kind, const struct ramet_err *err)
{
	const struct ramet_engine_error error = {
		.code = err->code, .kind = kind, .message = {err->msg, strlen(err->msg)}};
	host_answer_error(host, type, times, &error);
}
