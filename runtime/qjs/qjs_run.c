/* Driving QuickJS: an instance from nothing to a handler, and one call. All of this is guest: a
 * deadline leaves it at any instruction, and the instance is made anew. */
#include "runtime/qjs/qjs_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define JS_STACK_BYTES \
	(192u << 10) /* of linear memory; the frames of C below them take four times as much */
#define EVAL_SCRIPT 0u
#define EVAL_MODULE 1u
#define PROMISE_FULFILLED 1u
#define PROMISE_REJECTED 2u
#define NS_PER_MS 1000000.0

void wasm_module_begin(const struct wasm_host *the_host, uintptr_t stack_end);

/* --- memory --- */

uint32_t qjs_get_u32(const struct wasm_isolate *isolate, uint32_t ptr)
{
	uint32_t value;
	const void *at = wasm_memory_at(isolate, ptr, sizeof(value));
	if (!at)
		wasm_trap(WASM_RT_TRAP_OOB);
	memcpy(&value, at, sizeof(value));
	return value;
}

void qjs_set_u32(const struct wasm_isolate *isolate, uint32_t ptr, uint32_t value)
{
	void *at = wasm_memory_at(isolate, ptr, sizeof(value));
	if (!at)
		wasm_trap(WASM_RT_TRAP_OOB);
	memcpy(at, &value, sizeof(value));
}

uint32_t qjs_put(qjs_instance *q, const void *data, size_t len)
{
	if (len >= UINT32_MAX)
		return 0;
	uint32_t ptr = Z_qjsZ_wasm_malloc(q, (uint32_t)len + 1);
	char *at = ptr ? wasm_memory_at(wasm_running(), ptr, (uint32_t)len + 1) : NULL;
	if (!at)
		return 0;
	if (len > 0)
		memcpy(at, data, len);
	at[len] = '\0';
	return ptr;
}

/* --- calls into JavaScript --- */

/* fn(argv…); the result is the caller's, and may be an exception */
static uint32_t call_function(qjs_instance *q, uint32_t fn, unsigned argc, const uint32_t *argv)
{
	const struct wasm_isolate *isolate = wasm_running();
	uint32_t scratch = isolate->kept[QJS_SCRATCH];
	uint32_t undefined = Z_qjsZ_qjs_get_undefined(q);
	for (unsigned i = 0; i < argc; i++)
		qjs_set_u32(isolate, scratch + i * (uint32_t)sizeof(uint32_t), argv[i]);
	uint32_t result = Z_qjsZ_qjs_call(q, fn, undefined, argc, argc > 0 ? scratch : 0);
	Z_qjsZ_qjs_free_value(q, undefined);
	return result;
}

static uint32_t call_part(qjs_instance *q, enum qjs_part part, unsigned argc, const uint32_t *argv)
{
	uint32_t fn = Z_qjsZ_qjs_get_prop_uint32(q, wasm_running()->kept[QJS_PARTS], part);
	uint32_t result = call_function(q, fn, argc, argv);
	Z_qjsZ_qjs_free_value(q, fn);
	return result;
}

/* the exception at hand is the call's failure */
static void fail_with_exception(qjs_instance *q)
{
	uint32_t error = Z_qjsZ_qjs_get_exception(q);
	uint32_t result = call_part(q, QJS_FAIL, 1, &error);
	Z_qjsZ_qjs_free_value(q, result);
	Z_qjsZ_qjs_free_value(q, error);
}

/* frees it; false: it was an exception, which is the failure now */
static bool take(qjs_instance *q, uint32_t result)
{
	bool good = !Z_qjsZ_qjs_is_exception(q, result);
	if (!good)
		fail_with_exception(q);
	Z_qjsZ_qjs_free_value(q, result);
	return good;
}

static void refuse(const char *message)
{
	struct ramet_engine *engine = wasm_running()->engine;
	snprintf(engine->message, sizeof(engine->message), "%s", message);
	engine->failed = true;
}

/* --- until it is over --- */

static void run_jobs(qjs_instance *q)
{
	while (Z_qjsZ_qjs_is_job_pending(q))
		if ((int32_t)Z_qjsZ_qjs_execute_pending_job(q) < 0)
			fail_with_exception(q);
}

/* or until the call is interrupted */
static void sleep_ms(double ms)
{
	struct ramet_engine *engine = wasm_running()->engine;
	double left = ms < 1000 ? ms * NS_PER_MS : 1000 * NS_PER_MS; /* then it is asked again */
	struct timespec ts = {(time_t)(left / 1e9), (long)left % 1000000000};
	wasm_host_begin(engine);
	if (engine->interrupts == 0)
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	wasm_host_end(engine);
}

/* jobs and timers, until what was begun has told its end */
static void settle(qjs_instance *q)
{
	for (;;) {
		run_jobs(q);
		uint32_t result = call_part(q, QJS_NEXT, 0, NULL);
		double next = Z_qjsZ_qjs_get_float64(q, result);
		if (!take(q, result) || next == -2)
			return;
		if (next == -1) {
			refuse("the promise cannot settle: nothing is left to run");
			return;
		}
		if (next > 0)
			sleep_ms(next);
	}
}

/* --- an instance --- */

static uint32_t eval(
	qjs_instance *q, const void *text, size_t len, const char *name, uint32_t flags)
{
	uint32_t code = qjs_put(q, text, len);
	uint32_t file = qjs_put(q, name, strlen(name));
	uint32_t result = Z_qjsZ_qjs_eval(q, code, (uint32_t)len, file, flags);
	Z_qjsZ_wasm_free(q, file);
	Z_qjsZ_wasm_free(q, code);
	return result;
}

static uint32_t eval_own(qjs_instance *q, const unsigned char *text)
{
	return eval(q, text, strlen((const char *)text), "ramet", EVAL_SCRIPT);
}

static bool start(qjs_instance *q, struct wasm_isolate *isolate)
{
	if (Z_qjsZ_qjs_init(q) != 0)
		return false;
	Z_qjsZ_qjs_set_max_stack_size(q, JS_STACK_BYTES);
	Z_qjsZ_qjs_set_module_loader(q, 1);
	isolate->kept[QJS_SCRATCH] = Z_qjsZ_wasm_malloc(q, QJS_SCRATCH_BYTES);
	uint32_t name = qjs_put(q, "native", 6);
	uint32_t args[] = {Z_qjsZ_qjs_new_host_function(q, name, 6, 0), eval_own(q, js_prelude)};
	Z_qjsZ_wasm_free(q, name);
	uint32_t function = eval_own(q, qjs_start);
	uint32_t parts = call_function(q, function, 2, args);
	Z_qjsZ_qjs_free_value(q, function);
	Z_qjsZ_qjs_free_value(q, args[0]);
	Z_qjsZ_qjs_free_value(q, args[1]);
	isolate->kept[QJS_PARTS] = parts;
	return !Z_qjsZ_qjs_is_exception(q, parts);
}

/* what a file exports; 0: it failed, and that was told */
static uint32_t evaluate(qjs_instance *q, const char *file, size_t file_len)
{
	struct ramet_engine *engine = wasm_running()->engine;
	char named[QJS_PATH_MAX];
	char path[QJS_PATH_MAX];
	size_t len = 0;
	snprintf(named, sizeof(named), "%.*s", (int)file_len, file);
	const char *text = file_len < sizeof(named) && qjs_resolve("", named, path, sizeof(path))
		? qjs_source(path, &len)
		: NULL;
	if (!text) {
		snprintf(engine->message, sizeof(engine->message), "%s cannot be read", named);
		engine->failed = true;
		return 0;
	}
	uint32_t promise = eval(q, text, len, path, EVAL_MODULE);
	if (Z_qjsZ_qjs_is_exception(q, promise)) {
		(void)take(q, promise);
		return 0;
	}
	run_jobs(q);
	uint32_t state = Z_qjsZ_qjs_promise_state(q, promise);
	uint32_t result = Z_qjsZ_qjs_promise_result(q, promise);
	Z_qjsZ_qjs_free_value(q, promise);
	if (state == PROMISE_FULFILLED)
		return result;
	if (state == PROMISE_REJECTED) {
		uint32_t told = call_part(q, QJS_FAIL, 1, &result);
		Z_qjsZ_qjs_free_value(q, told);
	} else if (!engine->failed) {
		refuse("the promise cannot settle: nothing is left to run");
	}
	Z_qjsZ_qjs_free_value(q, result);
	return 0;
}

/* part(what the file exports, symbol) */
static uint32_t with_export(
	qjs_instance *q, enum qjs_part part, uint32_t exports, const char *symbol)
{
	uint32_t text = qjs_put(q, symbol, strlen(symbol));
	uint32_t args[] = {exports, Z_qjsZ_qjs_new_string(q, text, (uint32_t)strlen(symbol))};
	Z_qjsZ_wasm_free(q, text);
	uint32_t result = call_part(q, part, 2, args);
	Z_qjsZ_qjs_free_value(q, args[1]);
	return result;
}

static bool is_true(qjs_instance *q, uint32_t value)
{
	bool good = !Z_qjsZ_qjs_is_exception(q, value) && Z_qjsZ_qjs_get_bool(q, value) != 0;
	return take(q, value) && good;
}

/* `init` of the application, in each instance of the file that it names */
static bool run_init(qjs_instance *q, const struct wasm_isolate *isolate, uint32_t exports)
{
	struct ramet_engine *engine = isolate->engine;
	const char *init = engine->load->init;
	if (!init || !wasm_file_is(isolate->file, init))
		return true;
	if (take(q, with_export(q, QJS_INIT, exports, strrchr(init, ':') + 1)))
		settle(q);
	return !engine->failed;
}

static uint32_t begin(qjs_instance *q)
{
	struct wasm_isolate *isolate = wasm_running();
	struct ramet_engine *engine = isolate->engine;
	if (!start(q, isolate))
		return 1;
	uint32_t exports = evaluate(q, isolate->file->name, isolate->file->len);
	if (exports == 0)
		return 1;
	bool found = is_true(q, with_export(q, QJS_USE, exports, isolate->symbol));
	bool good = found && run_init(q, isolate, exports);
	Z_qjsZ_qjs_free_value(q, exports);
	if (!found && !engine->failed) {
		snprintf(engine->message, sizeof(engine->message), "%.*s exports no function %s",
			(int)isolate->file->len, isolate->file->name, isolate->symbol);
		engine->failed = true;
	}
	return !good;
}

/* --- one call --- */

static uint32_t call(qjs_instance *q, uint32_t input, uint32_t len)
{
	struct wasm_isolate *isolate = wasm_running();
	struct ramet_engine *engine = isolate->engine;
	bool binary = engine->call->binary;
	isolate->kept[QJS_ANSWERED] = 0;
	uint32_t args[2];
	if (binary)
		args[0] = Z_qjsZ_qjs_new_uint8_array(q, input, len);
	else
		args[0] = len > 0 ? Z_qjsZ_qjs_new_string(q, input, len)
				  : Z_qjsZ_qjs_get_undefined(q);
	args[1] = binary ? Z_qjsZ_qjs_get_true(q) : Z_qjsZ_qjs_get_false(q);
	Z_qjsZ_wasm_free(q, input);
	uint32_t result = call_part(q, QJS_CALL, 2, args);
	Z_qjsZ_qjs_free_value(q, args[0]);
	Z_qjsZ_qjs_free_value(q, args[1]);
	if (take(q, result))
		settle(q);
	(void)take(q, call_part(q, QJS_LEAVE, 0, NULL));
	if (!engine->failed && !isolate->kept[QJS_ANSWERED]) /* what start.js needs was changed */
		refuse("the function has neither returned nor failed");
	return engine->failed;
}

static void seed(qjs_instance *q)
{
	(void)take(q, call_part(q, QJS_SEED, 0, NULL));
}

/* --- the module, as WebAssembly's engine has them --- */

static const struct wasm_function functions[] = {
	{"_initialize", WASM_PLAIN, (void (*)(void))Z_qjsZ__initialize},
	{"ramet_alloc", WASM_ALLOC, (void (*)(void))Z_qjsZ_wasm_malloc},
	{"begin", WASM_STATUS, (void (*)(void))begin},
	{"call", WASM_HANDLER, (void (*)(void))call},
	{"seed", WASM_PLAIN, (void (*)(void))seed},
};

static void init(const struct wasm_host *host, uintptr_t stack_end)
{
	wasm_module_begin(host, stack_end);
	Z_qjs_init_module();
}

static void instantiate(void *instance, void *self)
{
	Z_qjs_instantiate(instance, self, self);
}

static wasm_rt_memory_t *memory(void *instance)
{
	return Z_qjsZ_memory(instance);
}

const struct wasm_module qjs_module = {.abi = WASM_MODULE_ABI,
	.instance_bytes = sizeof(qjs_instance),
	.functions = functions,
	.nfunctions = sizeof(functions) / sizeof(functions[0]),
	.init = init,
	.instantiate = instantiate,
	.memory = memory};
