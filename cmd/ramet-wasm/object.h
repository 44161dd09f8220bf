/* One module into a shared object: renamed, through wasm2c and the C compiler. */
#ifndef CMD_RAMET_WASM_OBJECT_H
#define CMD_RAMET_WASM_OBJECT_H

#include "base/err.h"
#include "base/hash.h"

#include <stddef.h>

/* object_make - dir/module.so, of a module's bytes, in an empty directory. Errors as of
 * compile_all(), without the module's name. */
int object_make(const unsigned char *data, size_t len, const char *dir, struct ramet_err *err);
/* object_recipe - what, besides the module and the tools, decides on the result */
int object_recipe(struct sha256_stream *hash, struct ramet_err *err);

#endif
