/* JavaScript: contexts of engine_js.so beside those of a bare V8 (v8_bare.cc), and instances of
 * engine_qjs.so beside a bare QuickJS (quickjs_bare.c). */
#include "bench/bare_process.h"
#include "bench/isolate.h"

#include "base/cleanup.h"

static struct bare_process process;

static int bare_one(
	const char *symbol, double input, double *ret_output, double *ret_us, struct ramet_err *err)
{
	return bare_process_ask(&process, symbol, input, 0, ret_output, ret_us, err);
}

static int bare_many(
	const char *symbol, double input, unsigned calls, double *ret_us, struct ramet_err *err)
{
	double output = 0;
	return bare_process_ask(&process, symbol, input, calls, &output, ret_us, err);
}

static int run(const char *lang, const char *program, const struct isolate_bare *bare,
	struct plugin *plugin, struct ramet_err *err)
{
	static const struct plugin_app app = {
		.dir = BENCH_APPS,
		.handlers = {"isolate.js:echo", "isolate.js:sum"},
		.count = 2,
	};
	const struct isolate_idle idle = {
		bare->label, lang, BENCH_APPS, "isolate.js:echo", NULL, 200};
	int rc = plugin_exists(lang, err);
	if (rc == 0)
		rc = isolate_idle(&idle, err);
	if (rc == 0)
		rc = plugin_open(lang, &app, plugin, err);
	if (rc < 0)
		return rc;
	rc = bare_process_start(&process, program, BENCH_APPS "/isolate.js", err);
	if (rc == 0)
		rc = isolate_start(plugin, bare, err);
	if (rc == 0)
		rc = isolate_calls(plugin, bare, err);
	bare_process_stop(&process);
	return rc;
}

int isolate_v8(struct ramet_err *err)
{
	static struct plugin plugin;
	static const struct isolate_bare bare = {.label = "v8",
		.what = "Context::New, the same module compiled and evaluated, its echo of a "
			"number",
		.json = "json",
		.one = bare_one,
		.many = bare_many};
	return isolate_skip("v8_start", run("js", BENCH_BIN "/bench_v8", &bare, &plugin, err), err);
}

int isolate_qjs(struct ramet_err *err)
{
	static struct plugin plugin;
	static const struct isolate_bare bare = {.label = "qjs",
		.what = "a copy-on-write clone of an instance that has evaluated the same module, "
			"its "
			"echo of a number, its end: wasm2c with wabt's runtime",
		.json = "json",
		.one = bare_one,
		.many = bare_many};
	return isolate_skip(
		"qjs_start", run("qjs", BENCH_BIN "/bench_quickjs", &bare, &plugin, err), err);
}
