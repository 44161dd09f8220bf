/* The programs that compile a module: wabt's, and a C compiler. */
#ifndef CMD_RAMET_WASM_TOOLS_H
#define CMD_RAMET_WASM_TOOLS_H

#include "base/err.h"

#define TOOLS_WABT "1.0.32" /* what it writes differs from version to version */
#define TOOLS_SAID_MAX 300 /* bytes of a tool's words that go into an error */

struct tools {
	char versions[512]; /* of both, in one line */
};

/* tools_find - RAMET_ENOTSUP: this node cannot compile; the message names the package */
int tools_find(struct tools *ret_tools, struct ramet_err *err);

/* tools_run - a program, found by PATH, in a directory, to its end. RAMET_EUSER: it failed; the
 * message begins with what and tells what the program said. RAMET_ENOTSUP: there is none. */
int tools_run(const char *what, const char *dir, const char *const *argv, struct ramet_err *err);

#endif
