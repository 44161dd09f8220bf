/* Reading a WebAssembly module, as far as compiling it needs: what it imports and exports, and the
 * same module with names of ours. Bounded; the bytes are the tenant's. That the code is valid is
 * not looked at here: wasm2c does. */
#ifndef CMD_RAMET_WASM_BINARY_H
#define CMD_RAMET_WASM_BINARY_H

#include "base/err.h"
#include "base/wire.h"
#include "runtime/wasm/module/module.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BINARY_MAX (16u << 20) /* bytes of a module */
#define BINARY_EXPORTS_MAX 4096 /* functions */
#define BINARY_NAME_MAX 255 /* bytes of the name of such a function */

struct binary_export {
	const unsigned char *name; /* in the module's bytes */
	size_t len;
	enum wasm_shape shape;
	uint32_t function; /* index */
};

struct binary {
	struct binary_export exports[BINARY_EXPORTS_MAX];
	unsigned nexports;
	bool has_memory;
	bool imports_ramet, imports_wasi;
	/* types, and the type of each function: offsets into the module's type section */
	struct binary_type *types;
	uint32_t ntypes;
	uint32_t *function_types; /* of imports, then of the module's own */
	uint32_t nfunctions, nimported;
};

/* binary_read - data must outlive it. RAMET_EUSER: the message says what is wrong with the module.
 */
int binary_read(
	const unsigned char *data, size_t len, struct binary **ret_binary, struct ramet_err *err);
void binary_destroy(struct binary *binary); /* NULL is fine */
/* binary_rename - the module without what is not needed to run it: export number i is a function
 * "e<i>", its memory is "m", and there are no other names but those of imports, which are known */
int binary_rename(const struct binary *binary, const unsigned char *data, size_t len,
	struct buf *out, struct ramet_err *err);

#endif
