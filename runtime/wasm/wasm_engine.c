/* The WebAssembly engine: modules that were compiled to machine code when the application was
 * deployed, an instance of its module for each function, one call at a time. See docs/engines.md,
 * and wasm_guard.c for how a deadline ends a call. */
#include "base/json_check.h"
#include "runtime/wasm/wasm_internal.h"

#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define STACK_GUEST (1u << 20) /* bytes that guest code may fill */
#define STACK_ROOM (1u << 20) /* below: its last frame, what it calls, and signal handlers */
#define BUFFER_KEPT (1u << 20) /* bytes of a buffer of output that the next call may use */

static struct ramet_engine the_engine;

#define RAMET_SLOT(module, name, type, result, params, args) .ramet.name = wasm_ramet_##name,
#define WASI_SLOT(module, name, type, result, params, args) .wasi.name = wasm_wasi_##name,

static void *running(void)
{
	return wasm_running();
}

const struct wasm_host wasm_host = {.running = running,
	.trap = wasm_trap,
	.function_type = wasm_function_type,
	.allocate_memory = wasm_allocate_memory,
	.grow_memory = wasm_grow_memory,
	.allocate_funcrefs = wasm_allocate_funcrefs,
	.allocate_externrefs = wasm_allocate_externrefs,
	.grow_funcrefs = wasm_grow_funcrefs,
	.grow_externrefs = wasm_grow_externrefs,
	WASM_RAMET_IMPORTS(RAMET_SLOT) WASM_WASI_IMPORTS(WASI_SLOT)};

/* The host runs everything on one thread, whose stack lies at the same place in each clone. */
static uintptr_t stack_end(void)
{
	struct rlimit limit;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t most = STACK_GUEST;
	if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
		limit.rlim_cur < 2 * (STACK_GUEST + STACK_ROOM))
		most = limit.rlim_cur / 4;
	return here - most;
}

static int engine_init(int deadline_signal, char *detail, size_t cap,
	struct ramet_engine **ret_engine, struct ramet_err *err)
{
	(void)err;
	the_engine.signal = deadline_signal;
	the_engine.stack_end = stack_end();
	snprintf(detail, cap, "%s, modules of version %u", wasm_engine_about, WASM_MODULE_ABI);
	*ret_engine = &the_engine;
	return 0;
}

static int failed(struct ramet_engine *engine, int code, struct ramet_engine_error *ret_error)
{
	*ret_error = (struct ramet_engine_error){
		.code = code,
		.kind = code == RAMET_EUSER || code == RAMET_EINVAL ? RAMET_ENGINE_USER
			: code == RAMET_ELIMIT			    ? RAMET_ENGINE_LIMIT
								    : RAMET_ENGINE_SYSTEM,
		.type = {engine->type, strlen(engine->type)},
		.message = {engine->message, strlen(engine->message)},
		.traceback = {engine->traceback, strlen(engine->traceback)},
	};
	return code;
}

/* init is called in instances of its module, so there must be one */
static bool init_is_called(const struct ramet_engine *engine)
{
	for (unsigned i = 0; i < engine->nfiles; i++)
		if (engine->load->init && wasm_file_is(&engine->files[i], engine->load->init))
			return true;
	return !engine->load->init;
}

static int engine_load(struct ramet_engine *engine, const struct ramet_engine_load *load,
	struct ramet_engine_error *ret_error)
{
	engine->load = load;
	engine->isolates = calloc(load->nfunctions + 1, sizeof(*engine->isolates));
	engine->files = calloc(load->nfunctions + 1, sizeof(*engine->files));
	if (!engine->isolates || !engine->files)
		return failed(engine, RAMET_ENOMEM, ret_error);
	for (; engine->count < load->nfunctions; engine->count++) {
		int rc = wasm_isolate_open(engine, engine->count);
		if (rc < 0)
			return failed(engine, rc, ret_error);
	}
	if (init_is_called(engine))
		return 0;
	snprintf(engine->message, sizeof(engine->message),
		"init: %.1000s is in the file of no function", load->init);
	return failed(engine, RAMET_EUSER, ret_error);
}

/* --- calls --- */

/* RAMET_EUSER's way out of a call that is not the guest's doing */
_Noreturn static void refuse(struct ramet_engine *engine, const char *message)
{
	snprintf(engine->message, sizeof(engine->message), "%s", message);
	wasm_leave(engine, WASM_REFUSED);
}

/* the input, where the module wants it */
static uint32_t hand_over(struct wasm_isolate *isolate)
{
	struct ramet_engine *engine = isolate->engine;
	const struct ramet_engine_call *call = engine->call;
	if (call->len == 0)
		return 0;
	if (call->len > UINT32_MAX)
		refuse(engine, "the input is larger than a memory can be");
	uint32_t ptr = wasm_call_alloc(isolate, isolate->alloc, (uint32_t)call->len);
	void *dst = wasm_memory_at(isolate, ptr, (uint32_t)call->len);
	if (ptr == 0 || !dst)
		refuse(engine, "ramet_alloc() gave no memory for the input");
	memcpy(dst, call->data, call->len);
	return ptr;
}

/* anew, or what it must do first in this process */
static void prepare(struct wasm_isolate *isolate)
{
	struct ramet_engine *engine = isolate->engine;
	if (isolate->spoilt && !(isolate->image && wasm_image_restore(isolate) == 0))
		wasm_isolate_make(isolate);
	isolate->used = true;
	if (isolate->epoch == engine->epoch)
		return;
	isolate->epoch = engine->epoch;
	if (isolate->clone_hook)
		wasm_call_plain(isolate, isolate->clone_hook);
}

static void run(struct wasm_isolate *isolate, void *arg)
{
	uint32_t *status = arg;
	prepare(isolate);
	if (isolate->is_command) {
		wasm_call_plain(isolate, isolate->handler);
	} else if (isolate->handler->shape == WASM_HANDLER) {
		uint32_t input = hand_over(isolate);
		*status = wasm_call_handler(
			isolate, isolate->handler, input, (uint32_t)isolate->engine->call->len);
	} else {
		*status = wasm_call_status(isolate, isolate->handler);
	}
}

static int ended_badly(struct ramet_engine *engine, enum wasm_end end, uint32_t status,
	struct ramet_engine_error *ret_error)
{
	int code = wasm_end_error(engine, end);
	if (end == WASM_RETURNED) {
		code = RAMET_EUSER;
		if (!engine->failed)
			snprintf(engine->message, sizeof(engine->message),
				"the function returned %d", (int32_t)status);
		else if (engine->raised[0])
			memcpy(engine->type, engine->raised, sizeof(engine->type));
	}
	return failed(engine, code, ret_error);
}

/* what a program printed */
static void take_printed(struct ramet_engine *engine)
{
	engine->output = engine->buffer.data;
	engine->output_len = engine->buffer.len;
	engine->output_binary = engine->call->binary ||
		(engine->output_len > 0 && !json_check(engine->output, engine->output_len, NULL));
}

static void begin_call(struct ramet_engine *engine, const struct ramet_engine_call *call)
{
	engine->type[0] = engine->message[0] = engine->raised[0] = engine->traceback[0] = '\0';
	engine->interrupts = 0;
	engine->failed = false;
	engine->read = 0;
	engine->buffer.len = 0;
	engine->output = NULL;
	engine->output_len = 0;
	engine->output_binary = false;
	engine->call = call;
	engine->current = &engine->isolates[call->function];
}

static int engine_call(struct ramet_engine *engine, const struct ramet_engine_call *call,
	struct ramet_engine_result *ret_result, struct ramet_engine_error *ret_error)
{
	uint32_t status = 0;
	begin_call(engine, call);
	struct wasm_isolate *isolate = engine->current;
	int rc = wasm_handler_check(engine, call);
	if (rc < 0)
		return failed(engine, rc, ret_error);
	enum wasm_end end = wasm_run(isolate, run, &status);
	if (end == WASM_EXITED && isolate->is_command && engine->exit_status == 0)
		end = WASM_RETURNED;
	if (end != WASM_RETURNED || status != 0)
		return ended_badly(engine, end, status, ret_error);
	if (isolate->is_command)
		take_printed(engine);
	*ret_result = (struct ramet_engine_result){
		engine->output, engine->output_len, engine->output_binary};
	return 0;
}

static void engine_ready(struct ramet_engine *engine, unsigned function)
{
	const struct wasm_isolate *isolate = &engine->isolates[function];
	const volatile unsigned char *instance = isolate->instance;
	for (size_t i = 0; i < isolate->file->module->instance_bytes; i += 4096)
		(void)instance[i];
}

/* A program is ready for its next run; a buffer that was large is not kept. */
static void engine_done(struct ramet_engine *engine)
{
	struct wasm_isolate *isolate = engine->current;
	engine->last = isolate;
	engine->current = NULL;
	engine->interrupts = 0;
	if (isolate && isolate->is_command && isolate->used && wasm_image_restore(isolate) < 0)
		isolate->spoilt = true;
	if (engine->buffer.cap > BUFFER_KEPT) {
		free(engine->buffer.data);
		engine->buffer = (struct wasm_bytes){0};
	}
	if (__fpending(stdout) > 0)
		fflush(stdout);
}

/* --- between calls --- */

static int engine_reset(struct ramet_engine *engine)
{
	struct wasm_isolate *isolate = engine->current ? engine->current : engine->last;
	return isolate->used || isolate->spoilt ? wasm_image_restore(isolate) : 0;
}

static void make(struct wasm_isolate *isolate, void *arg)
{
	(void)arg;
	wasm_isolate_make(isolate);
}

/* What the functions have become is what clones begin with; but for programs, which begin anew in
 * any case. */
static int engine_before_snapshot(struct ramet_engine *engine, struct ramet_err *err)
{
	for (unsigned i = 0; i < engine->count; i++) {
		struct wasm_isolate *isolate = &engine->isolates[i];
		int rc = 0;
		if (isolate->spoilt)
			rc = wasm_end_error(engine, wasm_run(isolate, make, NULL));
		if (rc == 0 && engine->load->resets && isolate->used && !isolate->is_command)
			rc = wasm_image_take(isolate);
		if (rc < 0) {
			snprintf(err->msg, sizeof(err->msg), "function %.100s: %.250s",
				engine->load->functions[i].name, engine->message);
			err->code = rc;
			return rc;
		}
	}
	return 0;
}

/* Random numbers come from the kernel; a module's own are for ramet_after_clone(), before its next
 * call. */
static int engine_after_clone(struct ramet_engine *engine,
	const unsigned char seed[RAMET_ENGINE_SEED_BYTES], struct ramet_err *err)
{
	(void)seed;
	(void)err;
	engine->epoch++;
	return 0;
}

static void engine_secrets(
	struct ramet_engine *engine, const struct ramet_engine_secret *secrets, unsigned count)
{
	engine->secrets = secrets;
	engine->nsecrets = count;
}

static void engine_stats(const struct ramet_engine *engine, struct ramet_engine_stats *ret_stats)
{
	*ret_stats = (struct ramet_engine_stats){.functions = engine->count};
	for (unsigned i = 0; i < engine->count; i++)
		ret_stats->bytes +=
			engine->isolates[i].bytes + wasm_image_bytes(&engine->isolates[i]);
}

__attribute__((visibility("default"))) extern const struct ramet_engine_ops ramet_engine;
const struct ramet_engine_ops ramet_engine = {
	.name = wasm_engine_name,
	.abi = RAMET_ENGINE_ABI,
	.init = engine_init,
	.load = engine_load,
	.call = engine_call,
	.ready = engine_ready,
	.done = engine_done,
	.interrupt = wasm_interrupt,
	.before_snapshot = engine_before_snapshot,
	.after_clone = engine_after_clone,
	.secrets = engine_secrets,
	.reset = engine_reset,
	.stats = engine_stats,
};
