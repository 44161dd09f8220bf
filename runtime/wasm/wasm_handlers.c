/* What handlers name in WebAssembly: functions that a module exports, and `init`. */
#include "runtime/wasm/wasm_internal.h"

#include <stdio.h>
#include <string.h>

const char wasm_engine_name[] = "wasm";
const char wasm_engine_about[] = "WebAssembly by wasm2c";
const char wasm_error_type[] = "WasmError";
const bool wasm_growth_may_fail = true; /* memory.grow has an answer for it */

#define FAIL(engine, code, ...) \
	(snprintf((engine)->message, sizeof((engine)->message), __VA_ARGS__), (code))

int wasm_handler_find(struct ramet_engine *engine, struct wasm_isolate *isolate, const char *symbol)
{
	const struct wasm_function *fn = wasm_file_find(isolate->file, symbol);
	int len = (int)isolate->file->len;
	if (!fn)
		return FAIL(engine, RAMET_EUSER, "%.*s exports no function %s", len,
			isolate->file->name, symbol);
	isolate->handler = fn;
	isolate->alloc = wasm_file_find(isolate->file, "ramet_alloc");
	isolate->clone_hook = wasm_file_find(isolate->file, "ramet_after_clone");
	isolate->is_command = fn->shape == WASM_PLAIN && strcmp(symbol, "_start") == 0;
	if (fn->shape == WASM_HANDLER && (!isolate->alloc || isolate->alloc->shape != WASM_ALLOC))
		return FAIL(engine, RAMET_EUSER,
			"%.*s exports no ramet_alloc (i32) -> i32, by which %s would get its input",
			len, isolate->file->name, symbol);
	if (fn->shape != WASM_HANDLER && fn->shape != WASM_STATUS && !isolate->is_command)
		return FAIL(engine, RAMET_EUSER,
			"function %s of %.*s has a type of no handler: (i32, i32) -> i32 or () -> "
			"i32",
			symbol, len, isolate->file->name);
	if (isolate->clone_hook && isolate->clone_hook->shape != WASM_PLAIN)
		return FAIL(engine, RAMET_EUSER,
			"ramet_after_clone of %.*s has parameters or a result", len,
			isolate->file->name);
	return 0;
}

/* `init` of the application, where it names a function of this module */
void wasm_handler_begin(struct wasm_isolate *isolate)
{
	struct ramet_engine *engine = isolate->engine;
	const char *text = engine->load->init;
	if (!text || !wasm_file_is(isolate->file, text))
		return;
	const struct wasm_function *init = wasm_file_find(isolate->file, strrchr(text, ':') + 1);
	if (init && init->shape == WASM_PLAIN) {
		wasm_call_plain(isolate, init);
	} else if (init && init->shape == WASM_STATUS) {
		engine->exit_status = wasm_call_status(isolate, init);
		if (engine->exit_status != 0)
			wasm_leave(engine, WASM_EXITED);
	} else {
		snprintf(engine->message, sizeof(engine->message),
			"init: %s is no function () or () -> i32 that is exported", text);
		wasm_leave(engine, WASM_REFUSED);
	}
}

int wasm_handler_check(struct ramet_engine *engine, const struct ramet_engine_call *call)
{
	(void)engine;
	(void)call;
	return 0; /* modules look at their input themselves */
}
