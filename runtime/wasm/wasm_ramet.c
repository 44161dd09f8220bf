/* What modules import from "ramet": see include/ramet/wasm.h. Addresses that are not the guest's
 * trap, as its own accesses do. */
#include "runtime/wasm/wasm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NONE UINT32_MAX
#define CHUNK (1u << 20) /* random bytes, after which a deadline is looked at */

static struct ramet_engine *begin(void *self)
{
	struct ramet_engine *engine = ((struct wasm_isolate *)self)->engine;
	wasm_host_begin(engine);
	return engine;
}

static void *at(void *self, uint32_t ptr, uint32_t len)
{
	void *data = wasm_memory_at(self, ptr, len);
	if (!data)
		wasm_trap(WASM_RT_TRAP_OOB);
	return data;
}

/* what of a call can be had while modules are made: nothing */
static const struct ramet_engine_call no_call;

static const struct ramet_engine_call *call_of(const struct ramet_engine *engine)
{
	return engine->current ? engine->call : &no_call;
}

/* --- input, output --- */

uint32_t wasm_ramet_input_size(void *self)
{
	return (uint32_t)call_of(((struct wasm_isolate *)self)->engine)->len;
}

uint32_t wasm_ramet_input_is_binary(void *self)
{
	return call_of(((struct wasm_isolate *)self)->engine)->binary;
}

uint32_t wasm_ramet_input(void *self, uint32_t ptr, uint32_t offset, uint32_t len)
{
	struct ramet_engine *engine = begin(self);
	const struct ramet_engine_call *call = call_of(engine);
	size_t left = offset < call->len ? call->len - offset : 0;
	if (len > left)
		len = (uint32_t)left;
	void *dst = at(self, ptr, len);
	if (len > 0)
		memcpy(dst, (const char *)call->data + offset, len);
	wasm_host_end(engine);
	return len;
}

int wasm_output_add(struct ramet_engine *engine, const void *data, size_t len)
{
	struct wasm_bytes *b = &engine->buffer;
	if (len > engine->call->max_output - b->len || b->len > engine->call->max_output)
		return RAMET_ELIMIT;
	if (b->len + len > b->cap) {
		size_t cap = b->cap ? b->cap : 4096;
		while (cap < b->len + len)
			cap *= 2;
		unsigned char *grown = realloc(b->data, cap);
		if (!grown)
			return RAMET_ENOMEM;
		b->data = grown;
		b->cap = cap;
	}
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

/* Into the caller's memory, where there is some and the input, which that may overlap, has been
 * handed over. */
static void *room(struct ramet_engine *engine, const void *data, uint32_t len)
{
	const struct ramet_engine_call *call = engine->call;
	bool handed = engine->current->handler->shape == WASM_HANDLER;
	void *dst = handed && call->room ? call->room(call->room_arg, len) : NULL;
	if (dst) {
		memcpy(dst, data, len);
		return dst;
	}
	engine->buffer.len = 0;
	int rc = wasm_output_add(engine, data, len);
	if (rc == 0)
		return engine->buffer.data;
	snprintf(engine->message, sizeof(engine->message),
		rc == RAMET_ELIMIT ? "the output of %s has %u bytes, its limit is %zu"
				   : "%s: no memory for %u bytes of output",
		call->context.function, len, call->max_output);
	wasm_leave(engine, WASM_LIMITED);
}

void wasm_ramet_output(void *self, uint32_t ptr, uint32_t len, uint32_t binary)
{
	struct ramet_engine *engine = begin(self);
	const void *data = at(self, ptr, len);
	if (engine->current) {
		engine->output = room(engine, data, len);
		engine->output_len = len;
		engine->output_binary = binary != 0;
	}
	wasm_host_end(engine);
}

void wasm_ramet_error(void *self, uint32_t ptr, uint32_t len)
{
	struct ramet_engine *engine = begin(self);
	const char *text = at(self, ptr, len);
	snprintf(engine->message, sizeof(engine->message), "%.*s",
		(int)(len < sizeof(engine->message) ? len : sizeof(engine->message)), text);
	engine->failed = true;
	wasm_host_end(engine);
}

/* --- before the end --- */

static uint32_t tell(struct ramet_engine *engine, const struct ramet_engine_event *event)
{
	struct ramet_err err;
	const struct ramet_engine_call *call = call_of(engine);
	return call->emit && call->emit(event, &err) < 0 ? NONE : 0;
}

uint32_t wasm_ramet_emit(void *self, uint32_t ptr, uint32_t len, uint32_t binary)
{
	struct ramet_engine *engine = begin(self);
	const struct ramet_engine_event event = {
		.chunk = at(self, ptr, len), .len = len, .binary = binary != 0};
	uint32_t result = tell(engine, &event);
	wasm_host_end(engine);
	return result;
}

uint32_t wasm_ramet_progress(void *self, double fraction, uint32_t ptr, uint32_t len)
{
	struct ramet_engine *engine = begin(self);
	const struct ramet_engine_event event = {
		.progress = true, .fraction = fraction, .text = {at(self, ptr, len), len}};
	uint32_t result = tell(engine, &event);
	wasm_host_end(engine);
	return result;
}

uint32_t wasm_ramet_listened(void *self)
{
	return call_of(((struct wasm_isolate *)self)->engine)->emit != NULL;
}

void wasm_log(struct ramet_engine *engine, int fd, const void *data, size_t len)
{
	const char *from = data;
	while (len > 0) {
		ssize_t n = write(fd, from, len);
		if (n < 0 && errno == EINTR && engine->interrupts == 0)
			continue;
		if (n <= 0)
			return;
		from += n;
		len -= (size_t)n;
	}
}

void wasm_ramet_log(void *self, uint32_t ptr, uint32_t len)
{
	struct ramet_engine *engine = begin(self);
	const char *text = at(self, ptr, len);
	wasm_log(engine, STDOUT_FILENO, text, len);
	if (len == 0 || text[len - 1] != '\n')
		wasm_log(engine, STDOUT_FILENO, "\n", 1);
	wasm_host_end(engine);
}

/* --- about the call --- */

static uint32_t give(void *self, const char *text, size_t len, uint32_t ptr, uint32_t cap)
{
	uint32_t n = len < cap ? (uint32_t)len : cap;
	void *dst = at(self, ptr, cap);
	memcpy(dst, text, n);
	return (uint32_t)len;
}

static uint32_t give_text(void *self, const char *text, uint32_t ptr, uint32_t cap)
{
	struct ramet_engine *engine = ((struct wasm_isolate *)self)->engine;
	uint32_t len = give(self, text, strlen(text), ptr, cap);
	wasm_host_end(engine);
	return len;
}

uint32_t wasm_ramet_function_name(void *self, uint32_t ptr, uint32_t cap)
{
	const char *name = call_of(begin(self))->context.function;
	return give_text(self, name ? name : "", ptr, cap);
}

uint32_t wasm_ramet_version(void *self, uint32_t ptr, uint32_t cap)
{
	return give_text(self, call_of(begin(self))->context.version, ptr, cap);
}

void wasm_ramet_call_id(void *self, uint32_t ptr)
{
	struct ramet_engine *engine = begin(self);
	memcpy(at(self, ptr, RAMET_ENGINE_CALL_ID_BYTES), call_of(engine)->context.id,
		RAMET_ENGINE_CALL_ID_BYTES);
	wasm_host_end(engine);
}

uint64_t wasm_ramet_node(void *self)
{
	return call_of(((struct wasm_isolate *)self)->engine)->context.node;
}

uint64_t wasm_ramet_rank(void *self)
{
	return call_of(((struct wasm_isolate *)self)->engine)->context.rank;
}

uint64_t wasm_ramet_group_size(void *self)
{
	return call_of(((struct wasm_isolate *)self)->engine)->context.size;
}

uint64_t wasm_ramet_deadline_ns(void *self)
{
	return call_of(((struct wasm_isolate *)self)->engine)->context.deadline_ns;
}

/* negative: it has passed; the greatest number: there is none */
static int64_t remaining(const struct ramet_engine *engine)
{
	struct timespec ts;
	uint64_t deadline = call_of(engine)->context.deadline_ns;
	if (deadline == 0)
		return INT64_MAX;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)(deadline - ((uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec));
}

uint64_t wasm_ramet_remaining_ns(void *self)
{
	struct ramet_engine *engine = begin(self);
	int64_t ns = remaining(engine);
	wasm_host_end(engine);
	return (uint64_t)ns;
}

uint32_t wasm_ramet_cancelled(void *self)
{
	struct ramet_engine *engine = begin(self);
	bool over = remaining(engine) <= 0;
	wasm_host_end(engine);
	return over;
}

uint32_t wasm_ramet_secret(void *self, uint32_t name, uint32_t len, uint32_t ptr, uint32_t cap)
{
	struct ramet_engine *engine = begin(self);
	const char *wanted = at(self, name, len);
	uint32_t result = NONE;
	for (unsigned i = 0; i < engine->nsecrets && result == NONE; i++) {
		const struct ramet_engine_secret *secret = &engine->secrets[i];
		if (strlen(secret->name) == len && memcmp(secret->name, wanted, len) == 0)
			result = give(self, secret->value, secret->len, ptr, cap);
	}
	wasm_host_end(engine);
	return result;
}

/* --- randomness --- */

void wasm_random(const struct ramet_engine *engine, void *data, size_t len)
{
	unsigned char *dst = data;
	while (len > 0 && engine->interrupts == 0) {
		long n = syscall(SYS_getrandom, dst, len < CHUNK ? len : CHUNK, 0);
		if (n < 0 && errno != EINTR)
			abort(); /* no kernel that Ramet runs on does that */
		if (n > 0) {
			dst += n;
			len -= (size_t)n;
		}
	}
}

void wasm_ramet_random(void *self, uint32_t ptr, uint32_t len)
{
	struct ramet_engine *engine = begin(self);
	wasm_random(engine, at(self, ptr, len), len);
	wasm_host_end(engine);
}
