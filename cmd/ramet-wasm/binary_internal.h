/* What reading and renaming a module share. */
#ifndef CMD_RAMET_WASM_BINARY_INTERNAL_H
#define CMD_RAMET_WASM_BINARY_INTERNAL_H

#include "cmd/ramet-wasm/binary.h"

#define BINARY_WASI "wasi_snapshot_preview1"
#define BINARY_FUNCTION 0 /* kinds of imports and exports */
#define BINARY_MEMORY 2

enum binary_id {
	BINARY_CUSTOM = 0,
	BINARY_TYPES = 1,
	BINARY_IMPORTS = 2,
	BINARY_FUNCTIONS = 3,
	BINARY_MEMORIES = 5,
	BINARY_EXPORTS = 7,
	BINARY_START = 8,
	BINARY_IDS = 13 /* so many are known */
};

struct binary_type {
	char text[16]; /* as of WASM_RAMET_IMPORTS, terminated */
};

struct binary_reader {
	const unsigned char *at, *end;
};

/* All give 0, or RAMET_EPROTO where the bytes end or are none of the format. */
int binary_begin(const unsigned char *data, size_t len, struct binary_reader *ret);
int binary_section(struct binary_reader *r, unsigned char *ret_id, struct binary_reader *ret_body);
int binary_u32(struct binary_reader *r, uint32_t *ret);
int binary_bytes(struct binary_reader *r, uint32_t len, const unsigned char **ret);

#endif
