/* What members tell each other of themselves: see members_wire.h. */
#include "cluster/members_wire.h"

#include "base/cleanup.h"
#include "cluster/bus_proto.h"

#include <stdlib.h>
#include <string.h>

void member_info_pack(const struct member_info *info, struct buf *b)
{
	wire_map(b, 16);
	wire_kuint(b, "proto", BUS_PROTO);
	wire_kuint(b, "node", info->node);
	wire_kstr(b, "name", info->name);
	wire_kstr(b, "listen", info->listen);
	wire_kstr(b, "data", info->data);
	wire_kstr(b, "transport", info->transport);
	wire_kstr(b, "version", info->version);
	wire_kuint(b, "incarnation", info->incarnation);
	wire_kuint(b, "class_id", info->class_id);
	wire_kstr(b, "class_text", info->class_text);
	wire_kbool(b, "eager", info->eager);
	wire_kbool(b, "python", info->python);
	wire_kuint(b, "cores", info->cores);
	wire_kuint(b, "mem", info->mem);
	wire_kuint(b, "pid", info->pid);
	wire_kuint(b, "started", info->started_ns);
}

static int info_strings(
	const struct wire_value *map, struct member_info *info, struct ramet_err *err)
{
	const struct {
		const char *key;
		char *dst;
		size_t cap;
	} strings[] = {
		{"name", info->name, sizeof(info->name)},
		{"listen", info->listen, sizeof(info->listen)},
		{"data", info->data, sizeof(info->data)},
		{"transport", info->transport, sizeof(info->transport)},
		{"version", info->version, sizeof(info->version)},
		{"class_text", info->class_text, sizeof(info->class_text)},
	};
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(strings); i++)
		rc = wire_get_str(map, strings[i].key, strings[i].dst, strings[i].cap, err);
	return rc;
}

static int get_u32(
	const struct wire_value *map, const char *key, uint32_t *ret, struct ramet_err *err)
{
	uint64_t value;
	int rc = wire_get_uint(map, key, UINT32_MAX, &value, err);
	if (rc == 0)
		*ret = (uint32_t)value;
	return rc;
}

int member_info_parse(
	const struct wire_value *map, struct member_info *ret_info, struct ramet_err *err)
{
	struct member_info info;
	uint64_t proto;
	memset(&info, 0, sizeof(info));
	int rc = wire_get_uint(map, "proto", UINT32_MAX, &proto, err);
	if (rc == 0 && proto != BUS_PROTO)
		rc = err_set(err, RAMET_EVERSION,
			"the node speaks protocol %u, we speak %u: update the older one",
			(unsigned)proto, BUS_PROTO);
	if (rc == 0)
		rc = get_u32(map, "node", &info.node, err);
	if (rc == 0)
		rc = info_strings(map, &info, err);
	if (rc == 0)
		rc = wire_get_uint(map, "incarnation", UINT64_MAX, &info.incarnation, err);
	if (rc == 0)
		rc = wire_get_uint(map, "class_id", UINT64_MAX, &info.class_id, err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "eager", false, &info.eager, err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "python", true, &info.python, err);
	if (rc == 0)
		rc = get_u32(map, "cores", &info.cores, err);
	if (rc == 0)
		rc = wire_get_uint(map, "mem", UINT64_MAX, &info.mem, err);
	if (rc == 0)
		rc = get_u32(map, "pid", &info.pid, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "started", UINT64_MAX, 0, &info.started_ns, err);
	if (rc == 0)
		*ret_info = info;
	return rc;
}

void member_load_pack(const struct member_load *load, struct buf *b)
{
	wire_map(b, 9);
	wire_kuint(b, "instances", load->instances);
	wire_kuint(b, "busy", load->busy);
	wire_kuint(b, "queued", load->queued);
	wire_kuint(b, "capacity", load->capacity);
	wire_kuint(b, "templates", load->templates);
	wire_kuint(b, "seeds", load->seeds);
	wire_kuint(b, "cache", load->cache_bytes);
	wire_kuint(b, "calls", load->calls);
	wire_kuint(b, "registry", load->registry);
}

int member_load_parse(
	const struct wire_value *map, struct member_load *ret_load, struct ramet_err *err)
{
	struct member_load load;
	memset(&load, 0, sizeof(load));
	const struct {
		const char *key;
		uint32_t *dst;
	} counts[] = {
		{"instances", &load.instances},
		{"busy", &load.busy},
		{"queued", &load.queued},
		{"capacity", &load.capacity},
		{"templates", &load.templates},
		{"seeds", &load.seeds},
	};
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(counts); i++)
		rc = get_u32(map, counts[i].key, counts[i].dst, err);
	if (rc == 0)
		rc = wire_get_uint(map, "cache", UINT64_MAX, &load.cache_bytes, err);
	if (rc == 0)
		rc = wire_get_uint(map, "calls", UINT64_MAX, &load.calls, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "registry", UINT64_MAX, 0, &load.registry, err);
	if (rc == 0)
		*ret_load = load;
	return rc;
}

void holdings_pack(const struct holding *holdings, uint32_t count, struct buf *b)
{
	wire_array(b, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_map(b, 3 + SEED_KEY_PAIRS);
		wire_kstr(b, "version", holdings[i].version);
		seed_key_pack(&holdings[i].key, b);
		wire_kuint(b, "idle", holdings[i].idle);
		wire_kbool(b, "origin", holdings[i].origin);
	}
}

static int holding_parse(const struct wire_value *map, struct holding *ret, struct ramet_err *err)
{
	if (!map || !wire_is_map(map))
		return err_set(err, RAMET_EPROTO, "list: a map was expected");
	int rc = wire_get_str(map, "version", ret->version, sizeof(ret->version), err);
	if (rc == 0 && !version_valid(ret->version))
		rc = err_set(err, RAMET_EPROTO, "version: 64 hexadecimal digits were expected");
	if (rc == 0)
		rc = seed_key_parse(map, &ret->key, err);
	if (rc == 0)
		rc = get_u32(map, "idle", &ret->idle, err);
	if (rc == 0)
		rc = wire_get_bool_or(map, "origin", false, &ret->origin, err);
	return rc;
}

int holdings_parse(const struct wire_value *map, struct holding **ret_holdings, uint32_t *ret_count,
	struct ramet_err *err)
{
	const struct wire_value *list;
	uint32_t count;
	int rc = wire_get_array(map, "list", &list, &count, err);
	if (rc < 0)
		return rc;
	if (count > MEMBER_MAX_HOLDINGS)
		return err_set(err, RAMET_EPROTO, "list: %u seeds, more than %u", count,
			MEMBER_MAX_HOLDINGS);
	auto_free struct holding *holdings = calloc(count ? count : 1, sizeof(*holdings));
	if (!holdings)
		return err_nomem(err);
	for (uint32_t i = 0; i < count; i++) {
		rc = holding_parse(wire_at(list, i), &holdings[i], err);
		if (rc < 0)
			return rc;
	}
	*ret_holdings = steal_ptr(&holdings);
	*ret_count = count;
	return 0;
}
