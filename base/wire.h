/* Bounded msgpack. Messages are maps with short string keys; a reader looks its keys up in any order and ignores
 * unknown ones, so that versions can differ by added keys. Nothing here trusts a length it was sent.
 * Encoding uses msgpack-c's packer; decoding msgpack-c's unpacker behind limits that are checked first
 * (depth, elements, total bytes), so that a hostile message cannot make it allocate. */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing byte buffer that owns its memory. Zero-initialised is empty; after a failed grow it stays in state `oom`,
 * and wire_pack_end() reports that once, so that packers need no check at each step. */
struct buf {
	unsigned char *data;
	size_t len, cap;
	bool oom;
};
void buf_fini(struct buf *b);
void buf_reset(struct buf *b); /* keeps the memory */
void buf_append(struct buf *b, const void *data, size_t len);
void *buf_extend(struct buf *b, size_t len); /* room for len bytes more, uninitialised; NULL when out of memory */
unsigned char *buf_steal(struct buf *b, size_t *ret_len); /* free() it */

/* Writing: wire_pack_begin(b, n) opens a map of exactly n pairs; then n × (key, value). */
void wire_map(struct buf *b, uint32_t pairs);
void wire_array(struct buf *b, uint32_t items);
void wire_key(struct buf *b, const char *key);
void wire_uint(struct buf *b, uint64_t value);
void wire_int(struct buf *b, int64_t value);
void wire_bool(struct buf *b, bool value);
void wire_double(struct buf *b, double value);
void wire_nil(struct buf *b);
void wire_str(struct buf *b, const char *value); /* NULL becomes nil */
void wire_strn(struct buf *b, const char *value, size_t len);
void wire_bin(struct buf *b, const void *data, size_t len);
void wire_raw(struct buf *b, const void *msgpack, size_t len); /* already encoded */
void wire_err(struct buf *b, const struct ramet_err *error); /* a map: code (name), sys, msg */
/* key and value at once */
void wire_kuint(struct buf *b, const char *key, uint64_t value);
void wire_kint(struct buf *b, const char *key, int64_t value);
void wire_kbool(struct buf *b, const char *key, bool value);
void wire_kdouble(struct buf *b, const char *key, double value);
void wire_kstr(struct buf *b, const char *key, const char *value);
void wire_kbin(struct buf *b, const char *key, const void *data, size_t len);
int wire_end(struct buf *b, struct ramet_err *err); /* 0, or RAMET_ENOMEM if anything before failed */

/* Reading. A message owns a decoded tree; strings and binaries point into the bytes given, which must outlive it. */
struct wire_limits {
	size_t bytes; /* of the whole message */
	unsigned depth; /* nesting */
	unsigned items; /* map pairs and array items in all */
};
#define WIRE_LIMITS_CONTROL ((struct wire_limits){ .bytes = 1u << 20, .depth = 8, .items = 65536 })

struct wire_msg;
struct wire_value; /* a node of the tree; opaque, lives as long as its message */

int wire_parse(const void *data, size_t len, struct wire_limits limits, struct wire_msg **ret_msg, struct ramet_err *err);
void wire_free(struct wire_msg *msg);
const struct wire_value *wire_root(const struct wire_msg *msg);

/* Looking up in a map: missing keys and wrong types are RAMET_EPROTO and name the key. The _or forms give a default for
 * a missing key or nil, but a wrong type is still an error. Integers are range-checked against [0, max] or [min, max]. */
int wire_get_uint(const struct wire_value *map, const char *key, uint64_t max, uint64_t *ret, struct ramet_err *err);
int wire_get_uint_or(const struct wire_value *map, const char *key, uint64_t max, uint64_t fallback, uint64_t *ret,
	struct ramet_err *err);
int wire_get_int(const struct wire_value *map, const char *key, int64_t *ret, struct ramet_err *err);
int wire_get_bool_or(const struct wire_value *map, const char *key, bool fallback, bool *ret, struct ramet_err *err);
int wire_get_double_or(const struct wire_value *map, const char *key, double fallback, double *ret, struct ramet_err *err);
/* strings: no NUL inside, valid UTF-8, at most max bytes; copied to a terminated buffer or returned as a span */
int wire_get_str(const struct wire_value *map, const char *key, char *dst, size_t cap, struct ramet_err *err);
int wire_get_str_or(const struct wire_value *map, const char *key, const char *fallback, char *dst, size_t cap,
	struct ramet_err *err);
int wire_get_span(const struct wire_value *map, const char *key, const char **ret, size_t *ret_len, struct ramet_err *err);
int wire_get_bin(const struct wire_value *map, const char *key, const void **ret, size_t *ret_len, struct ramet_err *err);
int wire_get_map(const struct wire_value *map, const char *key, const struct wire_value **ret, struct ramet_err *err);
int wire_get_array(const struct wire_value *map, const char *key, const struct wire_value **ret, uint32_t *ret_count,
	struct ramet_err *err);
int wire_get_err(const struct wire_value *map, const char *key, struct ramet_err *ret, struct ramet_err *err);
bool wire_has(const struct wire_value *map, const char *key); /* present and not nil */
const struct wire_value *wire_at(const struct wire_value *array, uint32_t index); /* NULL past the end */
/* a value itself, for array items */
int wire_as_uint(const struct wire_value *v, uint64_t max, uint64_t *ret, struct ramet_err *err);
int wire_as_bin(const struct wire_value *v, const void **ret, size_t *ret_len, struct ramet_err *err);
int wire_as_span(const struct wire_value *v, const char **ret, size_t *ret_len, struct ramet_err *err);
bool wire_is_map(const struct wire_value *v);
/* iterate a map: pair i's key (a string) and value; false past the end */
bool wire_pair(const struct wire_value *map, uint32_t index, const char **ret_key, size_t *ret_key_len,
	const struct wire_value **ret_value);

#endif
