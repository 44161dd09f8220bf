/* The conformance suite over Python. */
#include "tests/conformance/engine_cases.h"
#include "tests/runtime_python/python_world.h"

static int start(struct host_world *w, struct ramet_err *err)
{
	return python_start(w, python_interpreter(), NULL, NULL, err);
}

const struct engine_spec engine_spec = {
	.name = "python",
	.file = "engine_python.py",
	.error_type = "ValueError",
	.lacks = LACKS_ISOLATES | LACKS_HEAP,
	.start = start,
};
