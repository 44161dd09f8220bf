/* The conformance suite over LuaJIT. */
#include "tests/conformance/engine_cases.h"

const struct engine_spec engine_spec = {
	.name = "lua",
	.file = "engine_lua.lua",
	.error_type = "LuaError",
	.library = ENGINE_LIBRARY,
};
