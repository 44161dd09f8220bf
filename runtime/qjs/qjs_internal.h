/* What the files of the QuickJS engine share: QuickJS as WebAssembly (npm's quickjs-wasi), compiled
 * by wasm2c, within the engine of WebAssembly (runtime/wasm), of which each function's instance is
 * one of this module. What is called "guest" there is QuickJS and, here, the C that drives it:
 * qjs_run.c and the front of qjs_native.c may be left at any instruction, so they own nothing. */
#ifndef RUNTIME_QJS_QJS_INTERNAL_H
#define RUNTIME_QJS_QJS_INTERNAL_H

#include "runtime/wasm/wasm_internal.h"

#include "quickjs_module.h" /* by wasm2c: scripts/get-quickjs */

typedef Z_qjs_instance_t qjs_instance;

/* Values are addresses of boxes in the instance's memory, each owned by who has it. */

/* what isolate->kept has, since the instance was made */
enum {
	QJS_SCRATCH, /* memory for arguments and results that are returned by address */
	QJS_PARTS, /* the array that start.js returns */
	QJS_ANSWERED, /* not an address: whether the call has given its output */
	QJS_KEPT
};
#define QJS_SCRATCH_BYTES 64u

/* what start.js returns, in order */
enum qjs_part { QJS_USE, QJS_INIT, QJS_CALL, QJS_NEXT, QJS_LEAVE, QJS_FAIL, QJS_SEED };

#define QJS_PATH_MAX 1024 /* of a module */

/* --- qjs_run.c, qjs_native.c: guest --- */

extern const struct wasm_module qjs_module; /* all files are of it */
/* qjs_put - so many bytes, and a NUL behind them, at a new address of the instance; 0: no memory */
uint32_t qjs_put(qjs_instance *instance, const void *data, size_t len);
uint32_t qjs_get_u32(const struct wasm_isolate *isolate, uint32_t ptr);
/* qjs_source - a file's bytes, until the next one is asked for; NULL: it cannot be read */
const char *qjs_source(const char *path, size_t *ret_len);
void qjs_set_u32(const struct wasm_isolate *isolate, uint32_t ptr, uint32_t value);

/* --- qjs_modules.c: the application's files, not guest --- */

/* qjs_resolve - a specifier as a path below the application's directory, as seen from another such
 * path. False: it leads out of it, or is too long */
bool qjs_resolve(const char *from, const char *specifier, char *dst, size_t cap);
/* qjs_read - a file's bytes, malloc'ed; NULL: there is none, or it is too large */
char *qjs_read(const char *dir, const char *path, size_t *ret_len);

/* start.js and the prelude, with a NUL behind each */
extern const unsigned char qjs_start[], js_prelude[];

#endif
