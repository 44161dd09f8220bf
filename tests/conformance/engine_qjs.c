/* The conformance suite over QuickJS: V8's functions. */
#include "tests/conformance/engine_cases.h"

const struct engine_spec engine_spec = {
	.name = "qjs",
	.file = "engine_js.qjs",
	.error_type = "RangeError",
	.library = ENGINE_LIBRARY,
};
