/* Results: decoding, defaults, and the one block of memory in which a result with all its strings
 * lives. */
#include "libramet/result.h"

#include "base/err.h"
#include "cluster/client_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The block begins with this; strings and output follow it. */
struct result_block {
	struct ramet_result result;
	struct result_memory *memory; /* of the output, if that is not here */
	struct ramet_failure failure; /* not there in that of a good call: see result_make() */
};

/* What goes behind the block, collected before it is allocated. */
enum {
	SPAN_FUNCTION,
	SPAN_VERSION,
	SPAN_CALL,
	SPAN_OUTPUT,
	SPAN_TYPE,
	SPAN_MESSAGE,
	SPAN_TRACEBACK,
	SPAN_LOG_TAIL,
	SPAN_COUNT
};

struct spans {
	const char *data[SPAN_COUNT];
	size_t len[SPAN_COUNT];
};

static void span_set(struct spans *spans, unsigned index, const char *text)
{
	spans->data[index] = text;
	spans->len[index] = strlen(text);
}

static struct result_block *block_create(const struct spans *spans)
{
	size_t total = sizeof(struct result_block);
	for (unsigned i = 0; i < SPAN_COUNT; i++)
		total += spans->len[i] + 1;
	struct result_block *block = malloc(total);
	if (!block)
		return NULL;
	memset(block, 0, sizeof(*block));
	const char *at[SPAN_COUNT];
	char *p = (char *)(block + 1);
	for (unsigned i = 0; i < SPAN_COUNT; i++) {
		at[i] = p;
		if (spans->len[i])
			memcpy(p, spans->data[i], spans->len[i]);
		p[spans->len[i]] = '\0';
		p += spans->len[i] + 1;
	}
	struct ramet_result *r = &block->result;
	r->size = sizeof(*r);
	r->function = at[SPAN_FUNCTION];
	r->version = at[SPAN_VERSION];
	r->call = at[SPAN_CALL];
	r->output = at[SPAN_OUTPUT];
	r->output_len = spans->len[SPAN_OUTPUT];
	r->group = 1;
	struct ramet_failure *f = &block->failure;
	f->size = sizeof(*f);
	f->type = at[SPAN_TYPE];
	f->message = at[SPAN_MESSAGE];
	f->traceback = at[SPAN_TRACEBACK];
	f->log_tail = at[SPAN_LOG_TAIL];
	f->log_tail_len = spans->len[SPAN_LOG_TAIL];
	return block;
}

enum ramet_kind result_kind(int code)
{
	switch (code) {
	case RAMET_EUSER:
		return RAMET_KIND_USER;
	case RAMET_ELIMIT:
	case RAMET_EDEADLINE:
		return RAMET_KIND_LIMIT;
	case RAMET_EREFUSED:
	case RAMET_EPERM:
	case RAMET_ECLASS:
	case RAMET_ENOTFOUND:
	case RAMET_EEXIST:
	case RAMET_EINVAL:
	case RAMET_ECONFIG:
	case RAMET_ENOTSUP:
	case RAMET_ECANCELED:
		return RAMET_KIND_REFUSED;
	default:
		return RAMET_KIND_SYSTEM;
	}
}

static int kind_from_name(
	const char *name, int code, enum ramet_kind *ret_kind, struct ramet_err *err)
{
	if (!*name) {
		*ret_kind = result_kind(code);
		return 0;
	}
	for (enum ramet_kind k = RAMET_KIND_USER; k <= RAMET_KIND_REFUSED; k++) {
		if (strcmp(ramet_kind_name(k), name) == 0) {
			*ret_kind = k;
			return 0;
		}
	}
	return err_set(err, RAMET_EPROTO, "unknown kind of error \"%s\"", name);
}

static int start_from_name(const char *name, enum ramet_start *ret_start, struct ramet_err *err)
{
	for (enum ramet_start s = RAMET_START_NONE; s <= RAMET_START_COLD; s++) {
		if (strcmp(ramet_start_name(s), name) == 0) {
			*ret_start = s;
			return 0;
		}
	}
	return err_set(err, RAMET_EPROTO, "unknown kind of start \"%s\"", name);
}

static int span_str(const struct wire_value *map, const char *key, size_t max, struct spans *spans,
	unsigned index, struct ramet_err *err)
{
	if (!wire_has(map, key))
		return 0;
	int rc = wire_get_span(map, key, &spans->data[index], &spans->len[index], err);
	if (rc == 0 && spans->len[index] > max)
		return err_set(
			err, RAMET_EPROTO, "message's \"%s\" is longer than %zu bytes", key, max);
	return rc;
}

static int span_bin(const struct wire_value *map, const char *key, size_t max, struct spans *spans,
	unsigned index, struct ramet_err *err)
{
	const void *data = NULL;
	if (!wire_has(map, key))
		return 0;
	int rc = wire_get_bin(map, key, &data, &spans->len[index], err);
	spans->data[index] = data;
	if (rc == 0 && spans->len[index] > max)
		return err_set(
			err, RAMET_EPROTO, "message's \"%s\" is longer than %zu bytes", key, max);
	return rc;
}

static int parse_spans(const struct wire_value *root, const struct wire_value *error,
	struct spans *spans, struct ramet_err *err)
{
	int rc = span_str(root, "function", CLIENT_NAME_MAX, spans, SPAN_FUNCTION, err);
	if (rc == 0)
		rc = span_str(root, "version", CLIENT_VERSION_MAX, spans, SPAN_VERSION, err);
	if (rc == 0)
		rc = span_str(root, "call", CLIENT_CALL_MAX, spans, SPAN_CALL, err);
	if (rc == 0)
		rc = span_bin(root, "output", CLIENT_MAX_PAYLOAD, spans, SPAN_OUTPUT, err);
	if (rc < 0 || !error)
		return rc;
	rc = span_str(error, "type", CLIENT_ERROR_MAX, spans, SPAN_TYPE, err);
	if (rc == 0)
		rc = span_str(error, "message", CLIENT_ERROR_MAX, spans, SPAN_MESSAGE, err);
	if (rc == 0)
		rc = span_str(error, "traceback", CLIENT_ERROR_MAX, spans, SPAN_TRACEBACK, err);
	if (rc == 0)
		rc = span_bin(error, "log_tail", CLIENT_LOG_CHUNK, spans, SPAN_LOG_TAIL, err);
	return rc;
}

static int parse_failure(
	const struct wire_value *error, struct ramet_failure *f, struct ramet_err *err)
{
	char name[32], kind[16];
	uint64_t node = 0;
	int64_t sig = 0;
	bool retryable = false;
	int rc = wire_get_str(error, "code", name, sizeof(name), err);
	if (rc < 0)
		return rc;
	f->code = err_from_name(name);
	if (f->code >= 0)
		f->code = RAMET_EINTERNAL;
	rc = wire_get_str_or(error, "kind", "", kind, sizeof(kind), err);
	if (rc == 0)
		rc = kind_from_name(kind, f->code, &f->kind, err);
	if (rc == 0)
		rc = wire_get_bool_or(error, "retryable", false, &retryable, err);
	if (rc == 0 && wire_has(error, "signal"))
		rc = wire_get_int(error, "signal", &sig, err);
	if (rc == 0)
		rc = wire_get_uint_or(
			error, "fault_address", UINT64_MAX, 0, &f->fault_address, err);
	if (rc == 0)
		rc = wire_get_uint_or(error, "node", UINT32_MAX, 0, &node, err);
	if (rc < 0)
		return rc;
	f->retryable = retryable;
	f->signal = sig > 0 && sig < 128 ? (int)sig : 0;
	f->node = (uint32_t)node;
	return 0;
}

static int get_us(
	const struct wire_value *map, const char *key, double *ret_us, struct ramet_err *err)
{
	uint64_t ns;
	int rc = wire_get_uint_or(map, key, UINT64_MAX, 0, &ns, err);
	if (rc == 0)
		*ret_us = (double)ns / 1000.0;
	return rc;
}

static int parse_times(const struct wire_value *root, struct ramet_result *r, struct ramet_err *err)
{
	int rc = 0;
	const struct wire_value *ns;
	if (wire_has(root, "ns")) {
		rc = wire_get_map(root, "ns", &ns, err);
		if (rc == 0)
			rc = get_us(ns, "queue", &r->queue_us, err);
		if (rc == 0)
			rc = get_us(ns, "start", &r->start_us, err);
		if (rc == 0)
			rc = get_us(ns, "first_instruction", &r->first_instruction_us, err);
		if (rc == 0)
			rc = get_us(ns, "run", &r->run_us, err);
		if (rc == 0)
			rc = get_us(ns, "total", &r->total_us, err);
	}
	if (rc == 0)
		rc = get_us(root, "capture_ns", &r->capture_us, err);
	if (rc == 0)
		rc = get_us(root, "stall_ns", &r->stall_us, err);
	if (rc == 0)
		rc = wire_get_uint_or(root, "image_bytes", UINT64_MAX, 0, &r->image_bytes, err);
	return rc;
}

static int get_u32(const struct wire_value *map, const char *key, uint32_t max, uint32_t fallback,
	uint32_t *ret, struct ramet_err *err)
{
	uint64_t value;
	int rc = wire_get_uint_or(map, key, max, fallback, &value, err);
	if (rc == 0)
		*ret = (uint32_t)value;
	return rc;
}

static int parse_numbers(
	const struct wire_value *root, struct ramet_result *r, struct ramet_err *err)
{
	char start[16];
	uint32_t pid = 0;
	bool binary = false;
	int rc = get_u32(root, "node", UINT32_MAX, 0, &r->node, err);
	if (rc == 0)
		rc = get_u32(root, "source_node", UINT32_MAX, 0, &r->source_node, err);
	if (rc == 0)
		rc = wire_get_uint_or(root, "instance", UINT64_MAX, 0, &r->instance, err);
	if (rc == 0)
		rc = get_u32(root, "pid", INT32_MAX, 0, &pid, err);
	if (rc == 0)
		rc = get_u32(root, "rank", UINT32_MAX, 0, &r->rank, err);
	if (rc == 0)
		rc = get_u32(root, "size", UINT32_MAX, 1, &r->group, err);
	if (rc == 0)
		rc = wire_get_bool_or(root, "binary", false, &binary, err);
	if (rc == 0)
		rc = wire_get_str_or(root, "start", "", start, sizeof(start), err);
	if (rc == 0)
		rc = start_from_name(r->node ? start : "", &r->start, err);
	if (rc == 0)
		rc = parse_times(root, r, err);
	r->pid = (int32_t)pid;
	r->binary = binary;
	return rc;
}

int result_parse(const struct message *message, const char *function,
	struct ramet_result **ret_result, struct ramet_err *err)
{
	const struct wire_value *error = NULL;
	struct spans spans = {0};
	span_set(&spans, SPAN_FUNCTION, function);
	int rc = 0;
	if (wire_has(message->root, "error"))
		rc = wire_get_map(message->root, "error", &error, err);
	else if (message_is(message, "error"))
		rc = err_set(err, RAMET_EPROTO, "an error message without error");
	if (rc == 0)
		rc = parse_spans(message->root, error, &spans, err);
	if (rc < 0)
		return rc;

	auto_free struct result_block *block = block_create(&spans);
	if (!block)
		return err_nomem(err);
	rc = parse_numbers(message->root, &block->result, err);
	if (rc == 0 && error) {
		rc = parse_failure(error, &block->failure, err);
		block->result.failure = &block->failure;
	}
	if (rc < 0)
		return rc;
	*ret_result = &steal_ptr(&block)->result;
	return 0;
}

/* all but texts and output, which are where the block has them */
static void set_facts(struct result_block *block, const struct result_facts *facts)
{
	struct ramet_result *r = &block->result;
	block->memory = facts->memory;
	if (facts->memory) {
		((char *)facts->output)[facts->output_len] = '\0';
		r->output = facts->output;
		r->output_len = facts->output_len;
	}
	r->node = facts->node;
	r->instance = facts->instance;
	r->pid = facts->pid;
	r->rank = facts->rank;
	r->group = facts->group;
	r->start = facts->start;
	r->binary = facts->binary;
	r->queue_us = facts->queue_us;
	r->run_us = facts->run_us;
	r->total_us = facts->total_us;
}

static struct result_block *block_of_facts(const struct result_facts *facts, struct spans *spans)
{
	span_set(spans, SPAN_FUNCTION, facts->function);
	span_set(spans, SPAN_VERSION, facts->version);
	span_set(spans, SPAN_CALL, facts->call);
	spans->data[SPAN_OUTPUT] = facts->output;
	spans->len[SPAN_OUTPUT] = facts->memory ? 0 : facts->output_len;
	struct result_block *block = block_create(spans);
	if (block)
		set_facts(block, facts);
	return block;
}

static const char *put(char **at, const void *bytes, size_t len)
{
	char *to = *at;
	memcpy(to, bytes, len);
	to[len] = '\0';
	*at += len + 1;
	return to;
}

/* what most calls end with: without room for a failure, which would cost as much as the rest */
struct ramet_result *result_make(const struct result_facts *facts)
{
	size_t function = strlen(facts->function), version = strlen(facts->version);
	size_t call = strlen(facts->call), output = facts->memory ? 0 : facts->output_len;
	struct result_block *block = malloc(
		offsetof(struct result_block, failure) + function + version + call + output + 4);
	if (!block)
		return NULL;
	char *at = (char *)block + offsetof(struct result_block, failure);
	block->result = (struct ramet_result){
		.size = sizeof(block->result),
		.function = put(&at, facts->function, function),
		.version = put(&at, facts->version, version),
		.call = put(&at, facts->call, call),
		.output = put(&at, output ? facts->output : "", output),
		.output_len = output,
	};
	set_facts(block, facts);
	return &block->result;
}

static void wire_release(struct wire_msg **msg)
{
	wire_free(*msg);
}

int result_make_failed(const struct result_facts *facts, int code, const void *map, size_t len,
	struct ramet_result **ret_result, struct ramet_err *err)
{
	const struct wire_limits limits = {.bytes = CLIENT_MAX_FRAME, .depth = 4, .items = 64};
	const struct wire_value *error = NULL;
	CLEANUP(wire_release) struct wire_msg *msg = NULL;
	struct spans spans = {0};
	if (len > 0) {
		int rc = wire_parse(map, len, limits, &msg, err);
		if (rc == 0)
			rc = wire_get_map(wire_root(msg), "error", &error, err);
		if (rc == 0)
			rc = parse_spans(wire_root(msg), error, &spans, err);
		if (rc < 0)
			return rc;
	} else {
		span_set(&spans, SPAN_MESSAGE, err_text(code));
	}
	auto_free struct result_block *block = block_of_facts(facts, &spans);
	if (!block)
		return err_nomem(err);
	int rc = error ? parse_failure(error, &block->failure, err) : 0;
	if (rc < 0)
		return rc;
	if (!error)
		block->failure.kind = result_kind(code);
	block->failure.code = code;
	if (block->failure.node == 0)
		block->failure.node = facts->node;
	block->result.failure = &block->failure;
	*ret_result = &steal_ptr(&block)->result;
	return 0;
}

struct ramet_result *result_from_err(const char *function, const struct ramet_err *err)
{
	struct spans spans = {0};
	span_set(&spans, SPAN_FUNCTION, function);
	span_set(&spans, SPAN_MESSAGE, err->msg);
	struct result_block *block = block_create(&spans);
	if (!block)
		return NULL;
	block->result.failure = &block->failure;
	block->failure.code = err->code;
	block->failure.kind = result_kind(err->code);
	return &block->result;
}

int result_status(const struct ramet_result *result, struct ramet_err *err)
{
	const struct ramet_failure *f = result->failure;
	if (!f)
		return 0;
	if (*f->type)
		return err_set(err, f->code, "%s: %s", f->type, f->message);
	return err_set(err, f->code, "%s", *f->message ? f->message : err_text(f->code));
}

void ramet_result_free(struct ramet_result *result)
{
	struct result_block *block = container_of(result, struct result_block, result);
	if (!result)
		return;
	if (block->memory)
		block->memory->release(block->memory);
	free(block);
}
