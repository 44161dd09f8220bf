/* What QuickJS asks of us: files of modules, and what start.js does not do by itself. Values are
 * looked at as a guest; what is done with bytes is between wasm_host_begin() and wasm_host_end().
 */
#include "runtime/qjs/qjs_internal.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Bytes of the instance that a value has; to be given back by span_end(). */
struct span {
	uint32_t ptr, len;
	uint32_t text; /* to be freed, or 0 */
};

static struct span text_of(qjs_instance *q, uint32_t value)
{
	const struct wasm_isolate *isolate = wasm_running();
	uint32_t length = isolate->kept[QJS_SCRATCH] + 32;
	uint32_t text = Z_qjsZ_qjs_get_string_len(q, value, length);
	return (struct span){text, text ? qjs_get_u32(isolate, length) : 0, text};
}

/* of a Uint8Array */
static struct span bytes_of(qjs_instance *q, uint32_t value)
{
	const struct wasm_isolate *isolate = wasm_running();
	uint32_t out = isolate->kept[QJS_SCRATCH] + 32;
	uint32_t buffer = Z_qjsZ_qjs_get_typed_array_buffer(q, value, out, out + 4, out + 8);
	struct span span = {qjs_get_u32(isolate, out), qjs_get_u32(isolate, out + 4), 0};
	bool good = !Z_qjsZ_qjs_is_exception(q, buffer);
	span.ptr += good ? Z_qjsZ_qjs_get_array_buffer(q, buffer, out) : 0;
	Z_qjsZ_qjs_free_value(q, buffer);
	return good ? span : (struct span){0, 0, 0};
}

static struct span span_of(qjs_instance *q, uint32_t value)
{
	return Z_qjsZ_qjs_is_string(q, value) ? text_of(q, value) : bytes_of(q, value);
}

static void span_end(qjs_instance *q, struct span span)
{
	if (span.text)
		Z_qjsZ_qjs_free_cstring(q, span.text);
}

static const char *at(struct span span)
{
	const char *data = wasm_memory_at(wasm_running(), span.ptr, span.len);
	if (!data)
		wasm_trap(WASM_RT_TRAP_OOB);
	return data;
}

static uint32_t new_text(qjs_instance *q, const char *text, size_t len)
{
	uint32_t ptr = qjs_put(q, text, len);
	uint32_t value = Z_qjsZ_qjs_new_string(q, ptr, (uint32_t)len);
	Z_qjsZ_wasm_free(q, ptr);
	return value;
}

static uint32_t new_bytes(qjs_instance *q, const void *data, size_t len)
{
	uint32_t ptr = qjs_put(q, data, len);
	uint32_t value = Z_qjsZ_qjs_new_uint8_array(q, ptr, (uint32_t)len);
	Z_qjsZ_wasm_free(q, ptr);
	return value;
}

static uint32_t new_bool(qjs_instance *q, bool value)
{
	return value ? Z_qjsZ_qjs_get_true(q) : Z_qjsZ_qjs_get_false(q);
}

/* --- what start.js calls --- */

struct native_args {
	struct wasm_isolate *isolate;
	uint32_t count;
	uint32_t argv; /* address of the values' */
};

/* behind the first, which says what is asked; undefined: there is none */
static uint32_t arg(const struct native_args *args, unsigned i)
{
	return qjs_get_u32(args->isolate, args->argv + (i + 1) * (uint32_t)sizeof(uint32_t));
}

static uint32_t nothing(qjs_instance *q)
{
	return Z_qjsZ_qjs_get_undefined(q);
}

static uint32_t native_write(qjs_instance *q, const struct native_args *args)
{
	struct ramet_engine *engine = args->isolate->engine;
	int fd = Z_qjsZ_qjs_get_float64(q, arg(args, 0)) == 2 ? STDERR_FILENO : STDOUT_FILENO;
	struct span text = text_of(q, arg(args, 1));
	wasm_host_begin(engine);
	wasm_log(engine, fd, at(text), text.len);
	wasm_host_end(engine);
	span_end(q, text);
	return nothing(q);
}

static uint32_t native_monotonic(qjs_instance *q, const struct native_args *args)
{
	struct timespec ts;
	(void)args;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return Z_qjsZ_qjs_new_number(q, (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6);
}

static uint32_t id_text(qjs_instance *q, const unsigned char *id)
{
	char text[2 * RAMET_ENGINE_CALL_ID_BYTES + 1];
	for (size_t i = 0; i < RAMET_ENGINE_CALL_ID_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	return new_text(q, text, strlen(text));
}

/* seconds, or null */
static uint32_t left(qjs_instance *q, void *self)
{
	int64_t ns = (int64_t)wasm_ramet_remaining_ns(self);
	return ns == INT64_MAX ? Z_qjsZ_qjs_get_null(q)
			       : Z_qjsZ_qjs_new_number(q, (double)ns / 1e9);
}

static uint32_t deadline(qjs_instance *q, uint64_t ns)
{
	return ns == 0 ? Z_qjsZ_qjs_get_null(q) : Z_qjsZ_qjs_new_number(q, (double)ns / 1e9);
}

/* the order is the prelude's */
static uint32_t native_about(qjs_instance *q, const struct native_args *args)
{
	struct wasm_isolate *self = args->isolate;
	static const struct ramet_engine_context none;
	const struct ramet_engine *engine = self->engine;
	const struct ramet_engine_context *c = engine->current ? &engine->call->context : &none;
	switch ((int)Z_qjsZ_qjs_get_float64(q, arg(args, 0))) {
	case 0:
		return new_text(
			q, c->function ? c->function : "", strlen(c->function ? c->function : ""));
	case 1:
		return new_text(q, c->version, strlen(c->version));
	case 2:
		return Z_qjsZ_qjs_new_number(q, (double)c->node);
	case 3:
		return Z_qjsZ_qjs_new_number(q, (double)c->rank);
	case 4:
		return Z_qjsZ_qjs_new_number(q, (double)c->size);
	case 5:
		return id_text(q, c->id);
	case 6:
		return deadline(q, c->deadline_ns);
	case 7:
		return left(q, self);
	case 8:
		return new_bool(q, wasm_ramet_cancelled(self) != 0);
	case 9:
		return new_bool(q, wasm_ramet_listened(self) != 0);
	default:
		return nothing(q);
	}
}

static uint32_t native_output(qjs_instance *q, const struct native_args *args)
{
	struct span span = span_of(q, arg(args, 0));
	args->isolate->kept[QJS_ANSWERED] = 1;
	wasm_ramet_output(args->isolate, span.ptr, span.len, Z_qjsZ_qjs_get_bool(q, arg(args, 1)));
	span_end(q, span);
	return nothing(q);
}

/* JavaScript has halves of pairs of code units; what is no UTF-8 is shown as ? */
static void copy_text(char *dst, size_t cap, const char *src, size_t len)
{
	size_t n = len < cap - 1 ? len : cap - 1;
	size_t used = 0;
	for (size_t i = 0; i < n; i++) {
		bool half = (unsigned char)src[i] == 0xed && i + 2 < n &&
			(unsigned char)src[i + 1] >= 0xa0;
		dst[used++] = half ? '?' : src[i];
		i += half ? 2 : 0;
	}
	while (used > 0 && len >= cap && ((unsigned char)dst[used - 1] & 0xc0) == 0x80)
		used--; /* not in the middle of one */
	if (used > 0 && len >= cap && (unsigned char)dst[used - 1] >= 0xc0)
		used--;
	dst[used] = '\0';
}

static uint32_t native_error(qjs_instance *q, const struct native_args *args)
{
	struct ramet_engine *engine = args->isolate->engine;
	const struct {
		char *dst;
		size_t cap;
	} parts[] = {{engine->raised, sizeof(engine->raised)},
		{engine->message, sizeof(engine->message)},
		{engine->traceback, sizeof(engine->traceback)}};
	for (unsigned i = 0; i < 3; i++) {
		struct span span = text_of(q, arg(args, i));
		copy_text(parts[i].dst, parts[i].cap, at(span), span.len);
		span_end(q, span);
	}
	engine->failed = true;
	return nothing(q);
}

static uint32_t native_encode(qjs_instance *q, const struct native_args *args)
{
	struct span span = text_of(q, arg(args, 0));
	uint32_t value = Z_qjsZ_qjs_new_uint8_array(q, span.ptr, span.len);
	span_end(q, span);
	return value;
}

static uint32_t native_decode(qjs_instance *q, const struct native_args *args)
{
	struct span span = bytes_of(q, arg(args, 0));
	return Z_qjsZ_qjs_new_string(q, span.ptr, span.len);
}

static uint32_t native_emit(qjs_instance *q, const struct native_args *args)
{
	struct span span = span_of(q, arg(args, 0));
	uint32_t failed = wasm_ramet_emit(
		args->isolate, span.ptr, span.len, Z_qjsZ_qjs_get_bool(q, arg(args, 1)));
	span_end(q, span);
	return new_bool(q, failed == 0);
}

static uint32_t native_progress(qjs_instance *q, const struct native_args *args)
{
	double fraction = Z_qjsZ_qjs_get_float64(q, arg(args, 0));
	struct span text = text_of(q, arg(args, 1));
	(void)wasm_ramet_progress(
		args->isolate, isnan(fraction) ? 0 : fraction, text.ptr, text.len);
	span_end(q, text);
	return nothing(q);
}

static const struct ramet_engine_secret *secret(qjs_instance *q, const struct native_args *args)
{
	const struct ramet_engine *engine = args->isolate->engine;
	double i = Z_qjsZ_qjs_get_float64(q, arg(args, 0));
	return i >= 0 && i < engine->nsecrets ? &engine->secrets[(unsigned)i] : NULL;
}

static uint32_t native_secret_name(qjs_instance *q, const struct native_args *args)
{
	const struct ramet_engine_secret *found = secret(q, args);
	return found ? new_text(q, found->name, strlen(found->name)) : nothing(q);
}

static uint32_t native_secret(qjs_instance *q, const struct native_args *args)
{
	const struct ramet_engine_secret *found = secret(q, args);
	return found ? new_text(q, found->value, found->len) : nothing(q);
}

static uint32_t native_random(qjs_instance *q, const struct native_args *args)
{
	unsigned char seed[16];
	struct ramet_engine *engine = args->isolate->engine;
	wasm_host_begin(engine);
	wasm_random(engine, seed, sizeof(seed));
	wasm_host_end(engine);
	return new_bytes(q, seed, sizeof(seed));
}

static uint32_t (*const natives[])(qjs_instance *q, const struct native_args *args) = {native_write,
	native_monotonic, native_about, native_output, native_error, native_encode, native_decode,
	native_emit, native_progress, native_secret_name, native_secret, native_random};
static const unsigned char natives_args[] = {2, 0, 1, 2, 3, 1, 1, 2, 2, 1, 1, 0};

/* --- imports of the module --- */

static qjs_instance *running(void)
{
	return wasm_running()->instance;
}

static uint32_t throw_text(qjs_instance *q, const char *text)
{
	uint32_t error = Z_qjsZ_qjs_new_error(q);
	uint32_t name = qjs_put(q, "message", 7);
	uint32_t message = new_text(q, text, strlen(text));
	(void)Z_qjsZ_qjs_set_prop_string(q, error, name, message);
	(void)Z_qjsZ_qjs_throw(q, error);
	Z_qjsZ_qjs_free_value(q, message);
	Z_qjsZ_wasm_free(q, name);
	Z_qjsZ_qjs_free_value(q, error);
	return 0;
}

/* Only start.js has the function that leads here, with numbers and values of its own. */
u32 Z_envZ_host_call(
	struct Z_env_instance_t *env, u32 name, u32 len, u32 this_value, u32 argc, u32 argv)
{
	qjs_instance *q = running();
	const struct native_args args = {wasm_running(), argc, argv};
	(void)env;
	(void)name;
	(void)len;
	(void)this_value;
	double what = argc > 0 ? Z_qjsZ_qjs_get_float64(q, qjs_get_u32(args.isolate, argv)) : -1;
	const size_t count = sizeof(natives) / sizeof(natives[0]);
	bool known = what >= 0 && what < (double)count;
	if (!known || argc - 1 < natives_args[(unsigned)what])
		return throw_text(q, "no such native function");
	return natives[(unsigned)what](q, &args);
}

/* a path as a C string of the instance's, at most QJS_PATH_MAX bytes */
static bool get_path(uint32_t ptr, char path[QJS_PATH_MAX])
{
	const struct wasm_isolate *isolate = wasm_running();
	for (uint32_t i = 0; i < QJS_PATH_MAX; i++) {
		const char *byte = wasm_memory_at(isolate, ptr + i, 1);
		if (!byte)
			wasm_trap(WASM_RT_TRAP_OOB);
		path[i] = *byte;
		if (*byte == '\0')
			return true;
	}
	return false;
}

u32 Z_envZ_host_module_normalize(struct Z_env_instance_t *env, u32 base, u32 name)
{
	char from[QJS_PATH_MAX];
	char specifier[QJS_PATH_MAX];
	char path[QJS_PATH_MAX];
	char message[QJS_PATH_MAX + 64];
	(void)env;
	if (!get_path(base, from) || !get_path(name, specifier))
		return throw_text(running(), "the name of a module is too long");
	if (qjs_resolve(from, specifier, path, sizeof(path)))
		return qjs_put(running(), path, strlen(path));
	snprintf(message, sizeof(message), "%s is not one of the application's files", specifier);
	return throw_text(running(), message);
}

const char *qjs_source(const char *path, size_t *ret_len)
{
	static char *source; /* kept until the next one is read, for guest code owns nothing */
	struct ramet_engine *engine = wasm_running()->engine;
	wasm_host_begin(engine);
	free(source);
	source = qjs_read(engine->load->dir, path, ret_len);
	wasm_host_end(engine);
	return source;
}

u32 Z_envZ_host_module_load(struct Z_env_instance_t *env, u32 name, u32 ret_len)
{
	char path[QJS_PATH_MAX];
	char message[QJS_PATH_MAX + 64];
	size_t len = 0;
	(void)env;
	if (!get_path(name, path))
		return throw_text(running(), "the name of a module is too long");
	const char *source = qjs_source(path, &len);
	if (!source) {
		snprintf(message, sizeof(message), "%s cannot be read", path);
		return throw_text(running(), message);
	}
	qjs_set_u32(wasm_running(), ret_len, (uint32_t)len);
	return qjs_put(running(), source, len);
}

u32 Z_envZ_host_interrupt(struct Z_env_instance_t *env)
{
	(void)env;
	return 0; /* deadlines leave guest code at any instruction */
}

void Z_envZ_host_promise_rejection(
	struct Z_env_instance_t *env, u32 promise, u32 reason, u32 is_handled)
{
	(void)env;
	(void)promise;
	(void)reason;
	(void)is_handled;
}

/* UTC */
u32 Z_envZ_host_get_timezone_offset(struct Z_env_instance_t *env, u32 high, u32 low)
{
	(void)env;
	(void)high;
	(void)low;
	return 0;
}
