/* Instances: what a handler names, made and made anew. */
#include "runtime/wasm/wasm_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL(engine, code, ...) \
	(snprintf((engine)->message, sizeof((engine)->message), __VA_ARGS__), (code))

/* --- what handlers name --- */

struct named {
	const char *file;
	size_t len; /* of file */
	const char *symbol;
};

static int split(struct ramet_engine *engine, const char *text, struct named *ret)
{
	const char *colon = strrchr(text, ':');
	if (!colon || colon == text || colon[1] == '\0')
		return FAIL(engine, RAMET_EUSER, "%s is not of the form \"file:symbol\"", text);
	*ret = (struct named){text, (size_t)(colon - text), colon + 1};
	return 0;
}

static bool is_below(const struct named *named)
{
	return named->file[0] != '/' && !strstr(named->file, "..");
}

static int open_named(struct ramet_engine *engine, const char *text, struct named *ret_named,
	const struct wasm_file **ret_file)
{
	int rc = split(engine, text, ret_named);
	if (rc == 0 && !is_below(ret_named))
		rc = FAIL(engine, RAMET_EUSER, "%s is no file of the application", text);
	return rc < 0 ? rc : wasm_file_open(engine, ret_named->file, ret_named->len, ret_file);
}

/* --- making one --- */

void wasm_isolate_make(struct wasm_isolate *isolate)
{
	struct ramet_engine *engine = isolate->engine;
	const struct wasm_function *start = wasm_file_find(isolate->file, "_initialize");
	wasm_image_free(isolate);
	wasm_memory_free(isolate);
	if (!isolate->instance)
		isolate->instance = calloc(1, isolate->file->module->instance_bytes);
	if (!isolate->instance) {
		snprintf(engine->message, sizeof(engine->message), "no memory for an instance");
		wasm_leave(engine, WASM_LIMITED);
	}
	memset(isolate->instance, 0, isolate->file->module->instance_bytes);
	wasm_call_instantiate(isolate);
	if (start && start->shape == WASM_PLAIN)
		wasm_call_plain(isolate, start);
	wasm_handler_begin(isolate);
	if ((engine->load->resets || isolate->is_command) && wasm_image_take(isolate) < 0) {
		snprintf(engine->message, sizeof(engine->message), "no memory for an image");
		wasm_leave(engine, WASM_LIMITED);
	}
	isolate->spoilt = false;
	isolate->used = false;
	isolate->epoch = 0;
}

static void make(struct wasm_isolate *isolate, void *arg)
{
	(void)arg;
	wasm_isolate_make(isolate);
}

int wasm_isolate_open(struct ramet_engine *engine, unsigned index)
{
	const struct ramet_engine_function *function = &engine->load->functions[index];
	struct wasm_isolate *isolate = &engine->isolates[index];
	struct named named;
	char why[sizeof(engine->message)];
	*isolate = (struct wasm_isolate){.engine = engine, .index = index};
	int rc = open_named(engine, function->handler, &named, &isolate->file);
	if (rc == 0)
		rc = wasm_handler_find(engine, isolate, named.symbol);
	if (rc == 0)
		rc = wasm_end_error(engine, wasm_run(isolate, make, NULL));
	if (rc == 0)
		return 0;
	snprintf(why, sizeof(why), "%s", engine->message);
	return FAIL(engine, rc, "function %.256s: %.3000s", function->name, why);
}

void wasm_isolate_free(struct wasm_isolate *isolate)
{
	wasm_image_free(isolate);
	wasm_memory_free(isolate);
	free(isolate->instance);
	isolate->instance = NULL;
}

int wasm_end_error(struct ramet_engine *engine, enum wasm_end end)
{
	snprintf(engine->type, sizeof(engine->type), "%s",
		end == WASM_TRAPPED ? "WasmTrap" : wasm_error_type);
	switch (end) {
	case WASM_RETURNED:
		return 0;
	case WASM_TRAPPED:
		return FAIL(engine, RAMET_EUSER, "%s", wasm_trap_text(engine->trap));
	case WASM_INTERRUPTED:
		return FAIL(engine, RAMET_EUSER, "the call was ended"); /* the host says why */
	case WASM_EXITED:
		return engine->failed
			? RAMET_EUSER
			: FAIL(engine, RAMET_EUSER, "it ended with status %u", engine->exit_status);
	case WASM_REFUSED: /* the message is there */
		if (engine->raised[0])
			memcpy(engine->type, engine->raised, sizeof(engine->type));
		return RAMET_EUSER;
	default:
		return RAMET_ELIMIT; /* as before */
	}
}
