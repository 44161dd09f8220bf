/* Writing msgpack: thin calls on msgpack-c's packer, which puts its bytes into a struct buf. */
#include "base/wire.h"
#include "base/wire_scan.h"

#include <msgpack/pack.h>
#include <stdint.h>
#include <string.h>

static int append(void *data, const char *bytes, size_t len)
{
	buf_append(data, bytes, len);
	return 0; /* struct buf remembers a failure, wire_end() tells it */
}

static msgpack_packer packer(struct buf *b)
{
	return (msgpack_packer){.data = b, .callback = append};
}

void wire_map(struct buf *b, uint32_t pairs)
{
	msgpack_packer pk = packer(b);
	msgpack_pack_map(&pk, pairs);
}

void wire_array(struct buf *b, uint32_t items)
{
	msgpack_packer pk = packer(b);
	msgpack_pack_array(&pk, items);
}

void wire_key(struct buf *b, const char *key)
{
	wire_strn(b, key, strlen(key));
}

void wire_uint(struct buf *b, uint64_t value)
{
	msgpack_packer pk = packer(b);
	msgpack_pack_uint64(&pk, value);
}

void wire_int(struct buf *b, int64_t value)
{
	msgpack_packer pk = packer(b);
	msgpack_pack_int64(&pk, value);
}

void wire_bool(struct buf *b, bool value)
{
	msgpack_packer pk = packer(b);
	if (value)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
}

void wire_double(struct buf *b, double value)
{
	msgpack_packer pk = packer(b);
	msgpack_pack_double(&pk, value);
}

void wire_nil(struct buf *b)
{
	msgpack_packer pk = packer(b);
	msgpack_pack_nil(&pk);
}

void wire_str(struct buf *b, const char *value)
{
	if (value)
		wire_strn(b, value, strlen(value));
	else
		wire_nil(b);
}

/* msgpack counts in 32 bits: what is longer cannot be sent, and fails the whole message */
static bool fits(struct buf *b, size_t len)
{
	if (len <= UINT32_MAX)
		return true;
	b->oom = true;
	return false;
}

void wire_strn(struct buf *b, const char *value, size_t len)
{
	msgpack_packer pk = packer(b);
	if (fits(b, len))
		msgpack_pack_str_with_body(&pk, value, len);
}

void wire_bin(struct buf *b, const void *data, size_t len)
{
	msgpack_packer pk = packer(b);
	if (fits(b, len))
		msgpack_pack_bin_with_body(&pk, data, len);
}

void wire_raw(struct buf *b, const void *msgpack, size_t len)
{
	buf_append(b, msgpack, len);
}

/* a message may quote anything, a path for instance; readers insist on UTF-8 */
static void make_text(char *s)
{
	size_t len = strlen(s);
	if (wire_is_text((const unsigned char *)s, len))
		return;
	for (size_t i = 0; i < len;) {
		size_t n = 1;
		while (n < 4 && n < len - i && !wire_is_text((const unsigned char *)s + i, n))
			n++;
		if (!wire_is_text((const unsigned char *)s + i, n)) {
			s[i] = '?';
			n = 1;
		}
		i += n;
	}
}

void wire_err(struct buf *b, const struct ramet_err *error)
{
	char msg[RAMET_ERR_MSG];
	memcpy(msg, error->msg, sizeof(msg));
	msg[sizeof(msg) - 1] = '\0';
	make_text(msg);
	wire_map(b, 3);
	wire_kstr(b, "code", err_name(error->code));
	wire_kint(b, "sys", error->sys);
	wire_kstr(b, "msg", msg);
}

void wire_kuint(struct buf *b, const char *key, uint64_t value)
{
	wire_key(b, key);
	wire_uint(b, value);
}

void wire_kint(struct buf *b, const char *key, int64_t value)
{
	wire_key(b, key);
	wire_int(b, value);
}

void wire_kbool(struct buf *b, const char *key, bool value)
{
	wire_key(b, key);
	wire_bool(b, value);
}

void wire_kdouble(struct buf *b, const char *key, double value)
{
	wire_key(b, key);
	wire_double(b, value);
}

void wire_kstr(struct buf *b, const char *key, const char *value)
{
	wire_key(b, key);
	wire_str(b, value);
}

void wire_kbin(struct buf *b, const char *key, const void *data, size_t len)
{
	wire_key(b, key);
	wire_bin(b, data, len);
}

int wire_end(struct buf *b, struct ramet_err *err)
{
	return b->oom ? err_set(err, RAMET_ENOMEM,
				"out of memory for a message of more than %zu bytes", b->len)
		      : 0;
}
