/* The conformance suite over shared objects. */
#include "tests/conformance/engine_cases.h"

const struct engine_spec engine_spec = {
	.name = "native",
	.file = "libengine_native.so",
	.error_type = "",
	.lacks = LACKS_VALUES | LACKS_RESET | LACKS_ISOLATES | LACKS_HEAP | LACKS_DEPTH,
};
