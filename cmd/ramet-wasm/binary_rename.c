/* A module with names of ours: what wasm2c writes into its C is then known. See binary.h. */
#include "cmd/ramet-wasm/binary_internal.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

static void put_u32(struct buf *out, uint32_t value)
{
	unsigned char byte;
	do {
		byte = (unsigned char)(value & 0x7f);
		value >>= 7;
		if (value != 0)
			byte |= 0x80;
		buf_append(out, &byte, 1);
	} while (value != 0);
}

static void put_section(struct buf *out, unsigned char id, const void *data, size_t len)
{
	buf_append(out, &id, 1);
	put_u32(out, (uint32_t)len);
	buf_append(out, data, len);
}

static void put_export(struct buf *out, const char *name, unsigned char kind, uint32_t index)
{
	put_u32(out, (uint32_t)strlen(name));
	buf_append(out, name, strlen(name));
	buf_append(out, &kind, 1);
	put_u32(out, index);
}

static int put_exports(const struct binary *binary, struct buf *out, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf body = {0};
	put_u32(&body, binary->nexports + (binary->has_memory ? 1 : 0));
	for (unsigned i = 0; i < binary->nexports; i++) {
		char name[16];
		snprintf(name, sizeof(name), "e%u", i);
		put_export(&body, name, BINARY_FUNCTION, binary->exports[i].function);
	}
	if (binary->has_memory)
		put_export(&body, "m", BINARY_MEMORY, 0);
	if (body.oom)
		return err_nomem(err);
	put_section(out, BINARY_EXPORTS, body.data, body.len);
	return 0;
}

/* the exports' place is before these */
static bool follows_exports(unsigned char id)
{
	return id >= BINARY_START;
}

int binary_rename(const struct binary *binary, const unsigned char *data, size_t len,
	struct buf *out, struct ramet_err *err)
{
	struct binary_reader r;
	bool exported = false;
	int rc = 0;
	if (binary_begin(data, len, &r) < 0)
		return err_set(err, RAMET_EUSER, "it is no WebAssembly module of version 1");
	buf_append(out, data, 8);
	while (r.at < r.end && rc == 0) {
		unsigned char id;
		struct binary_reader body;
		if (binary_section(&r, &id, &body) < 0)
			return err_set(err, RAMET_EUSER, "its bytes are damaged");
		if (id == BINARY_CUSTOM || id == BINARY_EXPORTS)
			continue;
		if (follows_exports(id) && !exported) {
			exported = true;
			rc = put_exports(binary, out, err);
		}
		put_section(out, id, body.at, (size_t)(body.end - body.at));
	}
	if (rc == 0 && !exported)
		rc = put_exports(binary, out, err);
	return rc == 0 && out->oom ? err_nomem(err) : rc;
}
