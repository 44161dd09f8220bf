/* The sources that each compiled module has (runtime/wasm/module), within this program. */
#ifndef CMD_RAMET_WASM_EMBEDDED_H
#define CMD_RAMET_WASM_EMBEDDED_H

#include <stddef.h>

struct embedded {
	const char *name;
	const unsigned char *data;
	size_t len;
};
extern const struct embedded embedded[];
extern const unsigned embedded_count;

#endif
