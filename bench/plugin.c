/* See plugin.h. */
#include "bench/plugin.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_CAP 512
#define OUTPUT_MAX (64u << 20)

static void path_of(const char *name, char path[PATH_CAP])
{
	snprintf(path, PATH_CAP, BENCH_LIBS "/ramet/engine_%s.so", name);
}

int plugin_exists(const char *name, struct ramet_err *err)
{
	char path[PATH_CAP];
	path_of(name, path);
	return access(path, R_OK) == 0
		? 0
		: err_set(err, RAMET_ENOTFOUND, "this build has no engine %s", name);
}

static int open_object(
	const char *name, const struct ramet_engine_ops **ret_ops, struct ramet_err *err)
{
	char path[PATH_CAP];
	path_of(name, path);
	int rc = plugin_exists(name, err);
	if (rc < 0)
		return rc;
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object)
		return err_set(err, RAMET_EIO, "%s", dlerror());
	const struct ramet_engine_ops *ops = dlsym(object, RAMET_ENGINE_SYMBOL);
	if (!ops || ops->abi != RAMET_ENGINE_ABI || !ops->reset)
		return err_set(err, RAMET_EVERSION,
			"%s is not an engine of this version that resets", path);
	*ret_ops = ops;
	return 0;
}

static int failed(
	const char *what, int rc, const struct ramet_engine_error *error, struct ramet_err *err)
{
	return err_set(err, rc, "%s: %.*s", what, (int)error->message.len,
		error->message.data ? error->message.data : "");
}

static int load(struct plugin *plugin, struct ramet_err *err)
{
	struct ramet_engine_error error = {0};
	int rc = plugin->ops->load(plugin->engine, &plugin->load, &error);
	return rc < 0 ? failed("load", rc, &error, err)
		      : plugin->ops->before_snapshot(plugin->engine, err);
}

int plugin_open(
	const char *name, const struct plugin_app *app, struct plugin *ret, struct ramet_err *err)
{
	char detail[256];
	int rc = open_object(name, &ret->ops, err);
	if (rc == 0)
		rc = ret->ops->init(SIGRTMIN, detail, sizeof(detail), &ret->engine, err);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < app->count; i++)
		ret->functions[i] = (struct ramet_engine_function){
			.name = "bench", .handler = app->handlers[i % 2]};
	ret->load = (struct ramet_engine_load){
		.dir = app->dir,
		.functions = ret->functions,
		.nfunctions = app->count,
		.resets = true,
		.compiled = app->compiled,
	};
	return load(ret, err);
}

static int check(
	const struct ramet_engine_result *result, const char *expected, struct ramet_err *err)
{
	if (result->len == strlen(expected) && memcmp(result->data, expected, result->len) == 0)
		return 0;
	return err_set(err, RAMET_EINTERNAL, "a function answered %.*s in the place of %s",
		(int)result->len, (const char *)result->data, expected);
}

int plugin_call(struct plugin *plugin, unsigned function, const char *json, const char *expected,
	struct ramet_err *err)
{
	struct ramet_engine_result result = {0};
	struct ramet_engine_error error = {0};
	const struct ramet_engine_call call = {
		.function = function,
		.data = json,
		.len = strlen(json),
		.max_output = OUTPUT_MAX,
		.context = {.function = "bench", .version = "bench", .node = 1, .size = 1},
	};
	int rc = plugin->ops->call(plugin->engine, &call, &result, &error);
	rc = rc < 0 ? failed("call", rc, &error, err) : check(&result, expected, err);
	plugin->ops->done(plugin->engine);
	return rc;
}

int plugin_reset(struct plugin *plugin, struct ramet_err *err)
{
	int rc = plugin->ops->reset(plugin->engine);
	return rc < 0 ? err_set(err, rc, "engine %s could not reset", plugin->ops->name) : 0;
}
