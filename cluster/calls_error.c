/* The error of a call: copying, packing, parsing. Strings that came from elsewhere are bounded
 * here. */
#include "cluster/calls_result.h"

#include "base/cleanup.h"
#include "cluster/client_proto.h"

#include <stdlib.h>
#include <string.h>

void call_error_fini(struct call_error *error)
{
	free(error->message);
	free(error->type);
	free(error->traceback);
	free(error->log_tail);
	memset(error, 0, sizeof(*error));
}

static int dup_text(char **dst, const char *src)
{
	*dst = src ? strdup(src) : NULL;
	return src && !*dst ? RAMET_ENOMEM : 0;
}

int call_error_copy(struct call_error *dst, const struct call_error *src)
{
	*dst = *src;
	dst->message = dst->type = dst->traceback = NULL;
	dst->log_tail = NULL;
	dst->log_tail_len = 0;
	int rc = dup_text(&dst->message, src->message);
	if (rc == 0)
		rc = dup_text(&dst->type, src->type);
	if (rc == 0)
		rc = dup_text(&dst->traceback, src->traceback);
	if (rc == 0 && src->log_tail_len > 0) {
		dst->log_tail = malloc(src->log_tail_len);
		if (!dst->log_tail)
			return RAMET_ENOMEM;
		memcpy(dst->log_tail, src->log_tail, src->log_tail_len);
		dst->log_tail_len = src->log_tail_len;
	}
	return rc;
}

void call_error_set(struct call_error *error, const struct ramet_err *err, uint32_t node)
{
	call_error_fini(error);
	error->err = *err;
	error->node = node;
}

const char *call_error_kind(const struct call_error *error)
{
	if (error->kind[0] != '\0')
		return error->kind;
	switch (error->err.code) {
	case RAMET_EUSER:
	case RAMET_ECRASH:
	case RAMET_EINVAL:
		return "user";
	case RAMET_ELIMIT:
	case RAMET_EDEADLINE:
		return "limit";
	case RAMET_EREFUSED:
	case RAMET_ECLASS:
	case RAMET_EPERM:
	case RAMET_ENOTSUP:
	case RAMET_ENOTFOUND:
	case RAMET_ECANCELED:
		return "refused";
	default:
		return "system";
	}
}

const char *call_error_message(const struct call_error *error)
{
	return error->message ? error->message : error->err.msg;
}

/* the first max bytes at most, cut at a character's boundary */
static void pack_cut(struct buf *b, const char *key, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	if (len > CLIENT_ERROR_MAX) {
		len = CLIENT_ERROR_MAX;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	wire_key(b, key);
	wire_strn(b, text ? text : "", len);
}

void call_error_pack(const struct call_error *error, struct buf *b)
{
	wire_map(b, 10);
	wire_kstr(b, "code", err_name(error->err.code));
	wire_kstr(b, "kind", call_error_kind(error));
	wire_kbool(b, "retryable", error->retryable);
	pack_cut(b, "message", call_error_message(error));
	pack_cut(b, "type", error->type);
	pack_cut(b, "traceback", error->traceback);
	wire_kuint(b, "signal", (uint64_t)error->signal);
	wire_kuint(b, "fault_address", error->fault_address);
	wire_kuint(b, "node", error->node);
	wire_kbin(b, "log_tail", error->log_tail ? error->log_tail : "", error->log_tail_len);
}

static int take_text(
	const struct wire_value *map, const char *key, char **ret, struct ramet_err *err)
{
	if (!wire_has(map, key))
		return 0;
	const char *text = NULL;
	size_t len = 0;
	int rc = wire_get_span(map, key, &text, &len, err);
	if (rc < 0)
		return rc;
	if (len > CLIENT_ERROR_MAX)
		return err_set(err, RAMET_EPROTO, "%s: %zu bytes of text", key, len);
	if (len == 0)
		return 0;
	*ret = strndup(text, len);
	return *ret ? 0 : err_nomem(err);
}

static int parse_numbers(
	const struct wire_value *map, struct call_error *error, struct ramet_err *err)
{
	char code[32];
	uint64_t signal = 0;
	uint64_t node = 0;
	int rc = wire_get_str(map, "code", code, sizeof(code), err);
	if (rc == 0)
		rc = wire_get_str_or(map, "kind", "", error->kind, sizeof(error->kind), err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "retryable", false, &error->retryable, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "signal", 128, 0, &signal, err);
	if (rc == 0)
		rc = wire_get_uint_or(
			map, "fault_address", UINT64_MAX, 0, &error->fault_address, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "node", UINT32_MAX, 0, &node, err);
	if (rc < 0)
		return rc;
	error->err.code = err_from_name(code);
	error->signal = (int)signal;
	error->node = (uint32_t)node;
	return 0;
}

static int parse_texts(
	const struct wire_value *map, struct call_error *error, struct ramet_err *err)
{
	int rc = take_text(map, "message", &error->message, err);
	if (rc == 0)
		rc = take_text(map, "type", &error->type, err);
	if (rc == 0)
		rc = take_text(map, "traceback", &error->traceback, err);
	if (rc < 0 || !wire_has(map, "log_tail"))
		return rc;
	const void *tail = NULL;
	size_t len = 0;
	rc = wire_get_bin(map, "log_tail", &tail, &len, err);
	if (rc < 0 || len == 0)
		return rc;
	len = MIN(len, (size_t)CALL_LOG_TAIL);
	error->log_tail = malloc(len);
	if (!error->log_tail)
		return err_nomem(err);
	memcpy(error->log_tail, tail, len);
	error->log_tail_len = len;
	return 0;
}

int call_error_parse(
	const struct wire_value *map, struct call_error *ret_error, struct ramet_err *err)
{
	struct call_error error = {0};
	int rc = parse_numbers(map, &error, err);
	if (rc == 0)
		rc = parse_texts(map, &error, err);
	if (rc < 0) {
		call_error_fini(&error);
		return rc;
	}
	err_set(&error.err, error.err.code, "%s", error.message ? error.message : "");
	*ret_error = error;
	return 0;
}
