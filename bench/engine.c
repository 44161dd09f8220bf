/* See engine.h. */
#include "bench/engine.h"

#include "base/cleanup.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int engine_open(const char *name, struct engine *ret, struct ramet_err *err)
{
	char path[512];
	char detail[128];
	snprintf(path, sizeof(path), BENCH_LIBS "/ramet/engine_%s.so", name);
	if (access(path, R_OK) < 0)
		return err_set(err, RAMET_ENOTFOUND, "this build has no engine for %s", name);
	void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!file)
		return err_set(err, RAMET_EIO, "%s", dlerror());
	ret->ops = dlsym(file, RAMET_ENGINE_SYMBOL);
	if (!ret->ops || ret->ops->abi != RAMET_ENGINE_ABI)
		return err_set(err, RAMET_EVERSION, "%s is no engine of this version", path);
	return ret->ops->init(SIGRTMAX, detail, sizeof(detail), &ret->state, err);
}

int engine_load(const struct engine *engine, const struct engine_app *app, struct ramet_err *err)
{
	struct ramet_engine_error error = {0};
	/* both live as long as the engine */
	struct ramet_engine_function *functions = calloc(app->count, sizeof(*functions));
	struct ramet_engine_load *load = calloc(1, sizeof(*load));
	if (!functions || !load) {
		free(functions);
		free(load);
		return err_nomem(err);
	}
	for (unsigned i = 0; i < app->count; i++)
		functions[i] = (struct ramet_engine_function){"handler", app->handler};
	*load = (struct ramet_engine_load){.dir = app->dir,
		.functions = functions,
		.nfunctions = app->count,
		.compiled = app->compiled};
	if (engine->ops->load(engine->state, load, &error) < 0)
		return err_set(err, RAMET_EIO, "load: %.*s", (int)MIN(error.message.len, 200u),
			error.message.data);
	return 0;
}

int engine_call(const struct engine *engine, unsigned function, const char *input,
	const char *expected, struct ramet_err *err)
{
	struct ramet_engine_error error = {0};
	struct ramet_engine_result result = {0};
	const struct ramet_engine_call call = {.function = function,
		.data = input,
		.len = strlen(input),
		.max_output = 1u << 20,
		.context = {.function = "handler"}};
	int rc = engine->ops->call(engine->state, &call, &result, &error);
	bool right = rc == 0 && result.len == strlen(expected) &&
		memcmp(result.data, expected, result.len) == 0;
	engine->ops->done(engine->state);
	return right ? 0
		     : err_set(err, RAMET_EIO, "a call: %.*s", (int)MIN(error.message.len, 200u),
			       error.message.data ? error.message.data : "");
}
