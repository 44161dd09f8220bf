/* What tests of the WebAssembly engine share: the modules of the tests, compiled by ramet-wasm once
 * for each test program, and hosts with them. */
#ifndef TESTS_RUNTIME_HOST_WASM_WORLD_H
#define TESTS_RUNTIME_HOST_WASM_WORLD_H

#include "tests/runtime_host/clone_world.h"
#include "tests/runtime_host/host_world.h"

/* wasm_compiled - the directory of the tests' modules, or NULL and a failed test */
const char *wasm_compiled(void);
/* wasm_compile - runs ramet-wasm in a directory, with a root and a module (or several): its exit
 * status; what it said, and the last line of that */
struct wasm_said {
	char text[8192];
	const char *last;
};
int wasm_compile(const char *dir, const char *root, const char *modules, struct wasm_said *ret);
/* wasm_shell - the same for any command of a shell */
int wasm_shell(const char *command, struct wasm_said *ret);
/* wasm_root - a new directory, removed at the end of the program */
const char *wasm_root(void);

/* wasm_open - a host with these handlers; config may lack what is always the same */
bool wasm_open(struct host_world *w, const char *const *handlers, struct host_config config);
void wasm_close(struct host_world *w);
/* wasm_open_clones - the same, captured */
bool wasm_open_clones(
	struct clone_world *w, const char *const *handlers, struct host_config config);

/* wasm_check_failure - one call's error */
struct wasm_failure {
	const char *code, *type, *message;
};
void wasm_check_failure(int control, const char *function, const struct wasm_failure *expected);

#endif
