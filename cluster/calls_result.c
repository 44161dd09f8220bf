/* Results of calls as bytes, and back: for clients and between daemons. */
#include "cluster/calls_result.h"

#include "base/cleanup.h"
#include "cluster/client_proto.h"

#include <stdlib.h>
#include <string.h>

void call_result_fini(struct call_result *result)
{
	call_error_fini(&result->error);
	free(result->storage);
	memset(result, 0, sizeof(*result));
}

static void pack_ns(const struct call_ns *ns, struct buf *b)
{
	wire_key(b, "ns");
	wire_map(b, 5);
	wire_kuint(b, "queue", ns->queue);
	wire_kuint(b, "start", ns->start);
	wire_kuint(b, "first_instruction", ns->first_instruction);
	wire_kuint(b, "run", ns->run);
	wire_kuint(b, "total", ns->total);
}

void call_result_pack_pairs(const struct call_result *result, struct buf *b)
{
	wire_kstr(b, "function", result->function);
	wire_kstr(b, "version", result->version);
	wire_kuint(b, "node", result->node);
	wire_kuint(b, "instance", result->instance);
	wire_kuint(b, "pid", (uint64_t)result->pid);
	wire_kstr(b, "start", start_kind_name(result->start));
	wire_kuint(b, "source_node", result->source_node);
	wire_kstr(b, "call", result->id);
	wire_kuint(b, "rank", result->rank);
	wire_kuint(b, "size", result->size);
	wire_kbin(b, "output", result->output_len ? result->output : "", result->output_len);
	wire_kbool(b, "binary", result->binary);
	wire_key(b, "error");
	if (result->error.err.code < 0)
		call_error_pack(&result->error, b);
	else
		wire_nil(b);
	pack_ns(&result->ns, b);
}

void call_result_pack(const struct call_result *result, struct buf *b)
{
	wire_map(b, CALL_RESULT_PAIRS);
	call_result_pack_pairs(result, b);
}

static int parse_ns(const struct wire_value *map, struct call_ns *ns, struct ramet_err *err)
{
	const struct wire_value *times = NULL;
	int rc = wire_get_map(map, "ns", &times, err);
	if (rc == 0)
		rc = wire_get_uint(times, "queue", UINT64_MAX, &ns->queue, err);
	if (rc == 0)
		rc = wire_get_uint(times, "start", UINT64_MAX, &ns->start, err);
	if (rc == 0)
		rc = wire_get_uint(
			times, "first_instruction", UINT64_MAX, &ns->first_instruction, err);
	if (rc == 0)
		rc = wire_get_uint(times, "run", UINT64_MAX, &ns->run, err);
	if (rc == 0)
		rc = wire_get_uint(times, "total", UINT64_MAX, &ns->total, err);
	return rc;
}

static int parse_names(const struct wire_value *map, struct call_result *r, struct ramet_err *err)
{
	int rc = wire_get_str(map, "call", r->id, sizeof(r->id), err);
	if (rc == 0)
		rc = wire_get_str(map, "function", r->function, sizeof(r->function), err);
	if (rc == 0)
		rc = wire_get_str(map, "version", r->version, sizeof(r->version), err);
	return rc;
}

static int parse_uint32(
	const struct wire_value *map, const char *key, uint32_t *ret, struct ramet_err *err)
{
	uint64_t value = 0;
	int rc = wire_get_uint(map, key, UINT32_MAX, &value, err);
	if (rc == 0)
		*ret = (uint32_t)value;
	return rc;
}

static int parse_start(const struct wire_value *map, enum start_kind *ret, struct ramet_err *err)
{
	char name[16];
	int rc = wire_get_str(map, "start", name, sizeof(name), err);
	if (rc < 0)
		return rc;
	for (int kind = 0; kind < START_KINDS; kind++) {
		if (strcmp(name, start_kind_name((enum start_kind)kind)) == 0) {
			*ret = (enum start_kind)kind;
			return 0;
		}
	}
	return err_set(err, RAMET_EPROTO, "start: no such kind: %s", name);
}

static int parse_numbers(const struct wire_value *map, struct call_result *r, struct ramet_err *err)
{
	uint64_t pid = 0;
	int rc = parse_uint32(map, "node", &r->node, err);
	if (rc == 0)
		rc = wire_get_uint(map, "instance", UINT64_MAX, &r->instance, err);
	if (rc == 0)
		rc = wire_get_uint(map, "pid", INT32_MAX, &pid, err);
	if (rc == 0)
		rc = parse_start(map, &r->start, err);
	if (rc == 0)
		rc = parse_uint32(map, "source_node", &r->source_node, err);
	if (rc == 0)
		rc = parse_uint32(map, "rank", &r->rank, err);
	if (rc == 0)
		rc = parse_uint32(map, "size", &r->size, err);
	r->pid = (int32_t)pid;
	return rc;
}

static int parse_output(const struct wire_value *map, struct call_result *r, struct ramet_err *err)
{
	const void *output = NULL;
	int rc = wire_get_bin(map, "output", &output, &r->output_len, err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "binary", false, &r->binary, err);
	if (rc < 0)
		return rc;
	if (r->output_len > CLIENT_MAX_PAYLOAD)
		return err_set(err, RAMET_EPROTO, "output: %zu bytes", r->output_len);
	if (r->output_len > 0) {
		r->storage = malloc(r->output_len);
		if (!r->storage)
			return err_nomem(err);
		memcpy(r->storage, output, r->output_len);
	}
	r->output = r->storage;
	return 0;
}

int call_result_parse(
	const struct wire_value *map, struct call_result *ret_result, struct ramet_err *err)
{
	struct call_result result = {0};
	int rc = parse_names(map, &result, err);
	if (rc == 0)
		rc = parse_numbers(map, &result, err);
	if (rc == 0)
		rc = parse_ns(map, &result.ns, err);
	if (rc == 0 && wire_has(map, "error")) {
		const struct wire_value *error = NULL;
		rc = wire_get_map(map, "error", &error, err);
		if (rc == 0)
			rc = call_error_parse(error, &result.error, err);
	}
	if (rc == 0)
		rc = parse_output(map, &result, err);
	if (rc < 0) {
		call_result_fini(&result);
		return rc;
	}
	*ret_result = result;
	return 0;
}
