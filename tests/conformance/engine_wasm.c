/* The conformance suite over WebAssembly. */
#include "tests/conformance/engine_cases.h"
#include "tests/runtime_host/wasm_world.h"

/* once: the objects are kept by what is in the module */
static const char *compiled(void)
{
	static struct wasm_said said;
	static int code = -1;
	if (code != 0)
		code = wasm_compile(HOST_FUNCTIONS_DIR, wasm_root(), "engine_wasm.wasm", &said);
	CHECK_INT(code, 0);
	return said.last;
}

const struct engine_spec engine_spec = {
	.name = "wasm",
	.file = "engine_wasm.wasm",
	.error_type = "WasmError",
	.library = ENGINE_LIBRARY,
	.compiled = compiled,
	.lacks = LACKS_VALUES | LACKS_HEAP,
};
