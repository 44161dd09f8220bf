/* Output and filters of output in messages: see log_wire.h. */
#include "cluster/log_wire.h"

#include <string.h>

void log_chunk_pack_pairs(uint32_t node, const struct log_chunk *chunk, struct buf *b)
{
	wire_kuint(b, "node", node);
	wire_kuint(b, "instance", chunk->tag.instance);
	wire_kuint(b, "pid", (uint64_t)chunk->tag.pid);
	wire_kuint(b, "uid", chunk->tag.uid);
	wire_kstr(b, "function", chunk->tag.function);
	wire_kstr(b, "call", chunk->tag.call);
	wire_kuint(b, "rank", chunk->tag.rank);
	wire_kstr(b, "stream", "out"); /* one pipe carries both, so that their order is kept */
	wire_kuint(b, "time", chunk->time_ns);
	wire_kbin(b, "data", chunk->data, chunk->len);
}

int log_chunk_parse(
	const struct wire_value *map, struct log_chunk *ret_chunk, struct ramet_err *err)
{
	struct log_chunk chunk = {0};
	uint64_t pid = 0, uid = 0, rank = 0;
	const void *data = NULL;
	if (!map || !wire_is_map(map))
		return err_set(err, RAMET_EPROTO, "log: a map was expected");
	int rc = wire_get_uint(map, "instance", UINT64_MAX, &chunk.tag.instance, err);
	if (rc == 0)
		rc = wire_get_uint(map, "pid", INT32_MAX, &pid, err);
	if (rc == 0)
		rc = wire_get_uint(map, "uid", UINT32_MAX - 1, &uid, err);
	if (rc == 0)
		rc = wire_get_str(
			map, "function", chunk.tag.function, sizeof(chunk.tag.function), err);
	if (rc == 0)
		rc = wire_get_str(map, "call", chunk.tag.call, sizeof(chunk.tag.call), err);
	if (rc == 0)
		rc = wire_get_uint(map, "rank", UINT32_MAX, &rank, err);
	if (rc == 0)
		rc = wire_get_uint(map, "time", UINT64_MAX, &chunk.time_ns, err);
	if (rc == 0)
		rc = wire_get_bin(map, "data", &data, &chunk.len, err);
	if (rc == 0 && chunk.len > CLIENT_LOG_CHUNK)
		rc = err_set(
			err, RAMET_EPROTO, "log: more than %u bytes at once", CLIENT_LOG_CHUNK);
	if (rc < 0)
		return rc;
	chunk.tag.pid = (pid_t)pid;
	chunk.tag.uid = (uid_t)uid;
	chunk.tag.rank = (uint32_t)rank;
	chunk.data = data;
	*ret_chunk = chunk;
	return 0;
}

void log_filter_pack_pairs(const struct log_filter *filter, struct buf *b)
{
	wire_kuint(b, "uid", filter->uid);
	wire_kbool(b, "all", filter->all_uids);
	wire_kstr(b, "call", filter->call);
	wire_kuint(b, "instance", filter->instance);
	wire_kstr(b, "function", filter->function);
}

int log_filter_parse(
	const struct wire_value *map, struct log_filter *ret_filter, struct ramet_err *err)
{
	struct log_filter filter = {0};
	uint64_t uid = 0;
	int rc = wire_get_uint(map, "uid", UINT32_MAX - 1, &uid, err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "all", false, &filter.all_uids, err);
	if (rc == 0)
		rc = wire_get_str_or(map, "call", "", filter.call, sizeof(filter.call), err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "instance", UINT64_MAX, 0, &filter.instance, err);
	if (rc == 0)
		rc = wire_get_str_or(
			map, "function", "", filter.function, sizeof(filter.function), err);
	if (rc < 0)
		return rc;
	filter.uid = (uid_t)uid;
	*ret_filter = filter;
	return 0;
}
