/* Reading msgpack: msgpack-c's unpacker behind wire_scan(), and typed look-ups in its tree. */
#include "base/wire.h"
#include "base/wire_scan.h"

#include <msgpack/object.h>
#include <msgpack/unpack.h>
#include <stdlib.h>
#include <string.h>

struct wire_msg {
	msgpack_unpacked unpacked;
};

/* struct wire_value is msgpack_object under a name of ours; it is never defined */
static const msgpack_object *object(const struct wire_value *v)
{
	return (const msgpack_object *)(const void *)v;
}

static const struct wire_value *value(const msgpack_object *o)
{
	return (const struct wire_value *)(const void *)o;
}

int wire_parse(const void *data, size_t len, struct wire_limits limits, struct wire_msg **ret_msg,
	struct ramet_err *err)
{
	int rc = wire_scan(data, len, &limits, err);
	if (rc < 0)
		return rc;
	struct wire_msg *msg = malloc(sizeof(*msg));
	if (!msg)
		return err_nomem(err);
	msgpack_unpacked_init(&msg->unpacked);
	msgpack_unpack_return got = msgpack_unpack_next(&msg->unpacked, data, len, NULL);
	if (got != MSGPACK_UNPACK_SUCCESS) {
		wire_free(msg);
		return got == MSGPACK_UNPACK_NOMEM_ERROR
			? err_nomem(err)
			: err_set(err, RAMET_EPROTO, "message is not msgpack");
	}
	*ret_msg = msg;
	return 0;
}

void wire_free(struct wire_msg *msg)
{
	if (!msg)
		return;
	msgpack_unpacked_destroy(&msg->unpacked);
	free(msg);
}

const struct wire_value *wire_root(const struct wire_msg *msg)
{
	return value(&msg->unpacked.data);
}

bool wire_is_map(const struct wire_value *v)
{
	return v && object(v)->type == MSGPACK_OBJECT_MAP;
}

/* the value under key, or NULL when it is missing or nil */
static const msgpack_object *lookup(const struct wire_value *map, const char *key)
{
	if (!wire_is_map(map))
		return NULL;
	const msgpack_object_map *m = &object(map)->via.map;
	size_t len = strlen(key);
	for (uint32_t i = 0; i < m->size; i++) {
		const msgpack_object_str *k = &m->ptr[i].key.via.str;
		if (k->size == len && memcmp(k->ptr, key, len) == 0)
			return m->ptr[i].val.type == MSGPACK_OBJECT_NIL ? NULL : &m->ptr[i].val;
	}
	return NULL;
}

static int missing(const char *key, struct ramet_err *err)
{
	return err_set(err, RAMET_EPROTO, "message lacks \"%s\"", key);
}

static int wrong(const char *key, const char *what, struct ramet_err *err)
{
	return err_set(err, RAMET_EPROTO, "message's \"%s\" is not %s", key, what);
}

static int as_uint(const msgpack_object *o, const char *key, uint64_t max, uint64_t *ret,
	struct ramet_err *err)
{
	if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return wrong(key, "an unsigned integer", err);
	if (o->via.u64 > max)
		return err_set(err, RAMET_EPROTO, "message's \"%s\" is %llu, more than %llu", key,
			(unsigned long long)o->via.u64, (unsigned long long)max);
	*ret = o->via.u64;
	return 0;
}

int wire_get_uint(const struct wire_value *map, const char *key, uint64_t max, uint64_t *ret,
	struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	return o ? as_uint(o, key, max, ret, err) : missing(key, err);
}

int wire_get_uint_or(const struct wire_value *map, const char *key, uint64_t max, uint64_t fallback,
	uint64_t *ret, struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	if (o)
		return as_uint(o, key, max, ret, err);
	*ret = fallback;
	return 0;
}

int wire_get_int(const struct wire_value *map, const char *key, int64_t *ret, struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	if (!o)
		return missing(key, err);
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		*ret = o->via.i64;
	else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX)
		*ret = (int64_t)o->via.u64;
	else
		return wrong(key, "a 64-bit signed integer", err);
	return 0;
}

int wire_get_bool_or(const struct wire_value *map, const char *key, bool fallback, bool *ret,
	struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	if (o && o->type != MSGPACK_OBJECT_BOOLEAN)
		return wrong(key, "true or false", err);
	*ret = o ? o->via.boolean : fallback;
	return 0;
}

int wire_get_double_or(const struct wire_value *map, const char *key, double fallback, double *ret,
	struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	if (!o)
		*ret = fallback;
	else if (o->type == MSGPACK_OBJECT_FLOAT64 || o->type == MSGPACK_OBJECT_FLOAT32)
		*ret = o->via.f64;
	else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		*ret = (double)o->via.u64;
	else if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		*ret = (double)o->via.i64;
	else
		return wrong(key, "a number", err);
	return 0;
}

static int as_span(const msgpack_object *o, const char *key, const char **ret, size_t *ret_len,
	struct ramet_err *err)
{
	if (o->type != MSGPACK_OBJECT_STR)
		return wrong(key, "a string", err);
	if (!wire_is_text((const unsigned char *)o->via.str.ptr, o->via.str.size))
		return wrong(key, "UTF-8 text without NUL", err);
	*ret = o->via.str.ptr;
	*ret_len = o->via.str.size;
	return 0;
}

int wire_get_span(const struct wire_value *map, const char *key, const char **ret, size_t *ret_len,
	struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	return o ? as_span(o, key, ret, ret_len, err) : missing(key, err);
}

int wire_get_str_or(const struct wire_value *map, const char *key, const char *fallback, char *dst,
	size_t cap, struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	const char *s = fallback;
	size_t len = strlen(fallback);
	int rc = o ? as_span(o, key, &s, &len, err) : 0;
	if (rc < 0)
		return rc;
	if (len >= cap)
		return err_set(err, RAMET_EPROTO, "message's \"%s\" is longer than %zu bytes", key,
			cap - 1);
	memcpy(dst, s, len);
	dst[len] = '\0';
	return 0;
}

int wire_get_str(
	const struct wire_value *map, const char *key, char *dst, size_t cap, struct ramet_err *err)
{
	return wire_has(map, key) ? wire_get_str_or(map, key, "", dst, cap, err)
				  : missing(key, err);
}

int wire_get_bin(const struct wire_value *map, const char *key, const void **ret, size_t *ret_len,
	struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	if (!o)
		return missing(key, err);
	if (o->type != MSGPACK_OBJECT_BIN)
		return wrong(key, "binary", err);
	*ret = o->via.bin.ptr;
	*ret_len = o->via.bin.size;
	return 0;
}

int wire_get_map(const struct wire_value *map, const char *key, const struct wire_value **ret,
	struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	if (!o)
		return missing(key, err);
	if (o->type != MSGPACK_OBJECT_MAP)
		return wrong(key, "a map", err);
	*ret = value(o);
	return 0;
}

int wire_get_array(const struct wire_value *map, const char *key, const struct wire_value **ret,
	uint32_t *ret_count, struct ramet_err *err)
{
	const msgpack_object *o = lookup(map, key);
	if (!o)
		return missing(key, err);
	if (o->type != MSGPACK_OBJECT_ARRAY)
		return wrong(key, "an array", err);
	*ret = value(o);
	*ret_count = o->via.array.size;
	return 0;
}

int wire_get_err(
	const struct wire_value *map, const char *key, struct ramet_err *ret, struct ramet_err *err)
{
	const struct wire_value *m;
	char name[32], msg[RAMET_ERR_MSG];
	int64_t sys = 0;
	int rc = wire_get_map(map, key, &m, err);
	if (rc == 0)
		rc = wire_get_str(m, "code", name, sizeof(name), err);
	if (rc == 0)
		rc = wire_get_str_or(m, "msg", "", msg, sizeof(msg), err);
	if (rc == 0 && wire_has(m, "sys"))
		rc = wire_get_int(m, "sys", &sys, err);
	if (rc < 0)
		return rc;
	err_set(ret, err_from_name(name), "%s", msg);
	ret->sys = sys >= 0 && sys < 4096 ? (int)sys : 0;
	return 0;
}

bool wire_has(const struct wire_value *map, const char *key)
{
	return lookup(map, key) != NULL;
}

const struct wire_value *wire_at(const struct wire_value *array, uint32_t index)
{
	const msgpack_object *o = object(array);
	if (!o || o->type != MSGPACK_OBJECT_ARRAY || index >= o->via.array.size)
		return NULL;
	return value(&o->via.array.ptr[index]);
}

int wire_as_uint(const struct wire_value *v, uint64_t max, uint64_t *ret, struct ramet_err *err)
{
	return v ? as_uint(object(v), "[]", max, ret, err) : missing("[]", err);
}

int wire_as_span(
	const struct wire_value *v, const char **ret, size_t *ret_len, struct ramet_err *err)
{
	return v ? as_span(object(v), "[]", ret, ret_len, err) : missing("[]", err);
}

int wire_as_bin(const struct wire_value *v, const void **ret, size_t *ret_len, struct ramet_err *err)
{
	if (!v)
		return missing("[]", err);
	const msgpack_object *o = object(v);
	if (o->type != MSGPACK_OBJECT_BIN)
		return wrong("[]", "binary", err);
	*ret = o->via.bin.ptr;
	*ret_len = o->via.bin.size;
	return 0;
}

bool wire_pair(const struct wire_value *map, uint32_t index, const char **ret_key,
	size_t *ret_key_len, const struct wire_value **ret_value)
{
	if (!wire_is_map(map) || index >= object(map)->via.map.size)
		return false;
	const msgpack_object_kv *pair = &object(map)->via.map.ptr[index];
	*ret_key = pair->key.via.str.ptr;
	*ret_key_len = pair->key.via.str.size;
	*ret_value = value(&pair->val);
	return true;
}
