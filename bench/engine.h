/* An engine without a host and a daemon: opened, loaded and called by its table, as libramet-host
 * does it. One a process. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include "base/err.h"
#include "ramet/engine.h"

struct engine {
	const struct ramet_engine_ops *ops;
	struct ramet_engine *state;
};

/* engine_open - from the build's engine_NAME.so. RAMET_ENOTFOUND: this build has none */
int engine_open(const char *name, struct engine *ret, struct ramet_err *err);
/* engine_load - count functions, all of this handler, in isolates of their own */
struct engine_app {
	const char *dir, *handler, *compiled;
	unsigned count;
};
int engine_load(const struct engine *engine, const struct engine_app *app, struct ramet_err *err);
/* engine_call - and its `done`. RAMET_EIO: another answer than expected */
int engine_call(const struct engine *engine, unsigned function, const char *input,
	const char *expected, struct ramet_err *err);

#endif
