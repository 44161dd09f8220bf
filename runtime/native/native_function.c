/* What handlers call; see include/ramet/function.h. */
#include "runtime/native/native_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT const void *ramet_input(const struct ramet_invocation *call, size_t *ret_len)
{
	*ret_len = call->call->len;
	return call->call->data;
}

EXPORT int ramet_input_is_binary(const struct ramet_invocation *call)
{
	return call->call->binary;
}

static void *refuse(struct ramet_invocation *call, int code, size_t len)
{
	call->code = code;
	if (code == RAMET_ELIMIT)
		snprintf(call->message, sizeof(call->message),
			"the output of %s has %zu bytes, its limit is %zu",
			call->call->context.function, len, call->call->max_output);
	else
		snprintf(call->message, sizeof(call->message),
			"out of memory for an output of %zu bytes", len);
	return NULL;
}

EXPORT void *ramet_output(struct ramet_invocation *call, size_t len, int binary)
{
	if (len > call->call->max_output)
		return refuse(call, RAMET_ELIMIT, len);
	void *output = call->call->room ? call->call->room(call->call->room_arg, len) : NULL;
	if (!output && len <= NATIVE_SMALL)
		output = call->small;
	bool borrowed = output != NULL;
	if (!borrowed)
		output = malloc(len);
	if (!output)
		return refuse(call, RAMET_ENOMEM, len);
	if (call->output && !call->borrowed)
		free(call->output);
	call->borrowed = borrowed;
	call->output = output;
	call->len = len;
	call->binary = binary != 0;
	return output;
}

EXPORT int ramet_answer(struct ramet_invocation *call, const void *data, size_t len, int binary)
{
	void *output = ramet_output(call, len, binary);
	if (!output)
		return -1;
	if (len > 0)
		memcpy(output, data, len);
	return 0;
}

EXPORT int ramet_answerf(struct ramet_invocation *call, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int len = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (len < 0)
		return ramet_fail(call, "FormatError", "a format that printf refuses");
	char *text = malloc((size_t)len + 1);
	if (!text) {
		(void)refuse(call, RAMET_ENOMEM, (size_t)len);
		return -1;
	}
	va_start(ap, format);
	(void)vsnprintf(text, (size_t)len + 1, format, ap);
	va_end(ap);
	int rc = ramet_answer(call, text, (size_t)len, 0);
	free(text);
	return rc;
}

EXPORT int ramet_fail(struct ramet_invocation *call, const char *type, const char *format, ...)
{
	va_list ap;
	call->failed = true;
	snprintf(call->type, sizeof(call->type), "%s", type);
	va_start(ap, format);
	(void)vsnprintf(call->message, sizeof(call->message), format, ap);
	va_end(ap);
	return -1;
}

static bool forked; /* a child of the host: what is emitted is its parent's to say */

void native_emit_forked(void)
{
	forked = true;
}

static int emit(struct ramet_invocation *call, const struct ramet_engine_event *event)
{
	struct ramet_err err;
	if (!call->call->emit || forked)
		return 0;
	int rc = call->call->emit(event, &err);
	if (rc < 0) {
		call->code = rc;
		snprintf(call->message, sizeof(call->message), "%s", err.msg);
	}
	return rc < 0 ? -1 : 0;
}

EXPORT int ramet_listened(const struct ramet_invocation *call)
{
	return call->call->emit != NULL;
}

EXPORT int ramet_emit(struct ramet_invocation *call, const void *data, size_t len, int binary)
{
	const struct ramet_engine_event event = {.chunk = data, .len = len, .binary = binary != 0};
	return emit(call, &event);
}

EXPORT int ramet_progress(struct ramet_invocation *call, double fraction, const char *text)
{
	const struct ramet_engine_event event = {
		.progress = true,
		.fraction = fraction,
		.text = {text, text ? strlen(text) : 0},
	};
	return emit(call, &event);
}

EXPORT const char *ramet_function_name(const struct ramet_invocation *call)
{
	return call->call->context.function;
}

EXPORT const char *ramet_function_version(const struct ramet_invocation *call)
{
	return call->call->context.version;
}

EXPORT uint64_t ramet_node(const struct ramet_invocation *call)
{
	return call->call->context.node;
}

EXPORT uint64_t ramet_rank(const struct ramet_invocation *call)
{
	return call->call->context.rank;
}

EXPORT uint64_t ramet_group_size(const struct ramet_invocation *call)
{
	return call->call->context.size;
}

EXPORT uint64_t ramet_deadline_ns(const struct ramet_invocation *call)
{
	return call->call->context.deadline_ns;
}

EXPORT const unsigned char *ramet_call_id(const struct ramet_invocation *call)
{
	return call->call->context.id;
}

EXPORT int ramet_cancelled(const struct ramet_invocation *call)
{
	return call->cancelled != 0;
}

EXPORT const char *ramet_secret(
	const struct ramet_invocation *call, const char *name, size_t *ret_len)
{
	for (unsigned i = 0; i < call->nsecrets; i++) {
		if (strcmp(call->secrets[i].name, name) != 0)
			continue;
		if (ret_len)
			*ret_len = call->secrets[i].len;
		return call->secrets[i].value;
	}
	return NULL;
}
