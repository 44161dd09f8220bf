/* What handlers name in JavaScript: a file of the application, and what it exports. All files have
 * the one module. Stands in for wasm_module.c and wasm_handlers.c. */
#include "base/json_check.h"
#include "runtime/qjs/qjs_internal.h"

#include <stdio.h>
#include <string.h>

const char wasm_engine_name[] = "qjs";
const char wasm_engine_about[] = "QuickJS as WebAssembly";
const char wasm_error_type[] = "Error";
const bool wasm_growth_may_fail = false;

#define FAIL(engine, code, ...) \
	(snprintf((engine)->message, sizeof((engine)->message), __VA_ARGS__), (code))

int wasm_file_open(struct ramet_engine *engine, const char *name, size_t len,
	const struct wasm_file **ret_file)
{
	if (wasm_file_known(engine, name, ret_file))
		return 0;
	if (engine->nfiles == 0) {
		engine->epoch = 1; /* "seed" comes before an isolate's first call in every process,
				      and after each reset */
		qjs_module.init(&wasm_host, engine->stack_end);
		if (wasm_types_failed())
			return FAIL(engine, RAMET_ENOMEM, "no memory for QuickJS");
	}
	struct wasm_file *file = &engine->files[engine->nfiles++];
	*file = (struct wasm_file){.name = name, .len = len, .module = &qjs_module};
	*ret_file = file;
	return 0;
}

/* Whether the file exports it is known when it has been evaluated. */
int wasm_handler_find(struct ramet_engine *engine, struct wasm_isolate *isolate, const char *symbol)
{
	(void)engine;
	isolate->symbol = symbol;
	isolate->handler = wasm_file_find(isolate->file, "call");
	isolate->alloc = wasm_file_find(isolate->file, "ramet_alloc");
	isolate->clone_hook = wasm_file_find(isolate->file, "seed");
	return 0;
}

void wasm_handler_begin(struct wasm_isolate *isolate)
{
	struct ramet_engine *engine = isolate->engine;
	engine->failed = false;
	if (wasm_call_status(isolate, wasm_file_find(isolate->file, "begin")) == 0)
		return;
	if (!engine->failed)
		snprintf(engine->message, sizeof(engine->message), "QuickJS does not start");
	wasm_leave(engine, WASM_REFUSED);
}

int wasm_handler_check(struct ramet_engine *engine, const struct ramet_engine_call *call)
{
	if (call->binary || call->len == 0 || json_check(call->data, call->len, NULL))
		return 0;
	return FAIL(engine, RAMET_EINVAL, "the input is not JSON");
}
