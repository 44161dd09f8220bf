/* Modules of an app made into shared objects, each once: they lie by the hash of what they are made
 * of, and with. */
#ifndef CMD_RAMET_WASM_COMPILE_H
#define CMD_RAMET_WASM_COMPILE_H

#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>

#define COMPILE_MODULES_MAX 256

struct compile_module {
	const char *file; /* relative to the app's directory: no "..", no "." */
	unsigned char *data;
	size_t len;
	char key[SHA256_HEX_LEN + 1]; /* names the object */
	bool was_there;
};

struct compile {
	const char *app; /* its directory */
	char root[4096]; /* of what is made, the tenant's own: it is there */
	struct compile_module *modules;
	unsigned nmodules;
	char versions[512];
	char dir[4096]; /* the result: FILE.so for each module */
};

/* compile_all - the result's directory, which is left alone from then on. Several may be at it at
 * once. RAMET_EUSER: a module cannot be compiled; the message says which, and why.
 * RAMET_ENOTSUP: this node lacks what is needed. */
int compile_all(struct compile *compile, struct ramet_err *err);
void compile_fini(struct compile *compile);

#endif
