/* The conformance suite over V8. */
#include "tests/conformance/engine_cases.h"

const struct engine_spec engine_spec = {
	.name = "js",
	.file = "engine_js.js",
	.error_type = "RangeError",
	.library = ENGINE_LIBRARY,
};
