/* WASI preview 1, as far as a program without files needs it: arguments (its name), environment,
 * clocks, randomness and the three standard streams. A program's stdin is the call's input and its
 * stdout the answer; of other functions, stdin is empty and stdout is the log. Addresses that are
 * not the guest's are EFAULT. */
#include "runtime/wasm/wasm_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, BADF = 8, FAULT = 21, INVAL = 28, SPIPE = 70 };

#define RIGHT_READ (1u << 1)
#define RIGHT_WRITE (1u << 6)

struct iovec32 {
	uint32_t ptr, len;
};

static struct ramet_engine *begin(void *self)
{
	struct ramet_engine *engine = ((struct wasm_isolate *)self)->engine;
	wasm_host_begin(engine);
	return engine;
}

static uint32_t end(const void *self, uint32_t result)
{
	wasm_host_end(((const struct wasm_isolate *)self)->engine);
	return result;
}

static uint32_t put(const void *self, uint32_t ptr, const void *data, uint32_t len)
{
	void *dst = wasm_memory_at(self, ptr, len);
	if (!dst)
		return FAULT;
	memcpy(dst, data, len);
	return OK;
}

static uint32_t put_u32(const void *self, uint32_t ptr, uint32_t value)
{
	return put(self, ptr, &value, sizeof(value));
}

/* --- arguments, environment --- */

/* a list of texts: where each begins goes to `pointers`, the texts to `bytes` */
struct texts {
	const void *self;
	uint32_t pointers, bytes; /* guest addresses of what comes next */
	uint32_t count, total;
	bool writes; /* or only counts */
	uint32_t result;
};

static void add_part(struct texts *t, const char *text, size_t len)
{
	if (t->writes && t->result == OK)
		t->result = put(t->self, t->bytes, text, (uint32_t)len);
	t->bytes += (uint32_t)len;
	t->total += (uint32_t)len;
}

static void begin_text(struct texts *t)
{
	if (t->writes && t->result == OK)
		t->result = put_u32(t->self, t->pointers, t->bytes);
	t->pointers += (uint32_t)sizeof(uint32_t);
	t->count++;
}

static void add_args(struct texts *t)
{
	const struct wasm_isolate *isolate = t->self;
	begin_text(t);
	add_part(t, isolate->file->name, isolate->file->len);
	add_part(t, "", 1);
}

static void add_environ(struct texts *t)
{
	const struct ramet_engine_load *load = ((const struct wasm_isolate *)t->self)->engine->load;
	for (unsigned i = 0; i < load->nenv; i++) {
		begin_text(t);
		add_part(t, load->env[i].name, strlen(load->env[i].name));
		add_part(t, "=", 1);
		add_part(t, load->env[i].value, strlen(load->env[i].value) + 1);
	}
}

static uint32_t give_texts(
	void *self, void (*add)(struct texts *), uint32_t pointers, uint32_t bytes)
{
	struct texts t = {.self = self, .pointers = pointers, .bytes = bytes, .writes = true};
	(void)begin(self);
	add(&t);
	return end(self, t.result);
}

static uint32_t give_sizes(void *self, void (*add)(struct texts *), uint32_t count, uint32_t total)
{
	struct texts t = {.self = self};
	(void)begin(self);
	add(&t);
	uint32_t result = put_u32(self, count, t.count);
	if (result == OK)
		result = put_u32(self, total, t.total);
	return end(self, result);
}

uint32_t wasm_wasi_args_get(void *self, uint32_t pointers, uint32_t bytes)
{
	return give_texts(self, add_args, pointers, bytes);
}

uint32_t wasm_wasi_args_sizes_get(void *self, uint32_t count, uint32_t total)
{
	return give_sizes(self, add_args, count, total);
}

uint32_t wasm_wasi_environ_get(void *self, uint32_t pointers, uint32_t bytes)
{
	return give_texts(self, add_environ, pointers, bytes);
}

uint32_t wasm_wasi_environ_sizes_get(void *self, uint32_t count, uint32_t total)
{
	return give_sizes(self, add_environ, count, total);
}

/* --- clocks, randomness --- */

static bool clock_of(uint32_t id, clockid_t *ret)
{
	static const clockid_t clocks[] = {
		CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
	if (id >= sizeof(clocks) / sizeof(clocks[0]))
		return false;
	*ret = clocks[id];
	return true;
}

static uint32_t give_time(
	void *self, uint32_t id, uint32_t ptr, int (*get)(clockid_t clock, struct timespec *ts))
{
	clockid_t clock;
	struct timespec ts;
	(void)begin(self);
	if (!clock_of(id, &clock) || get(clock, &ts) < 0)
		return end(self, INVAL);
	uint64_t ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	return end(self, put(self, ptr, &ns, sizeof(ns)));
}

uint32_t wasm_wasi_clock_res_get(void *self, uint32_t id, uint32_t ptr)
{
	return give_time(self, id, ptr, clock_getres);
}

uint32_t wasm_wasi_clock_time_get(void *self, uint32_t id, uint64_t precision, uint32_t ptr)
{
	(void)precision;
	return give_time(self, id, ptr, clock_gettime);
}

uint32_t wasm_wasi_random_get(void *self, uint32_t ptr, uint32_t len)
{
	struct ramet_engine *engine = begin(self);
	void *dst = wasm_memory_at(self, ptr, len);
	if (dst)
		wasm_random(engine, dst, len);
	return end(self, dst ? OK : FAULT);
}

/* --- the standard streams --- */

static bool is_program(const struct ramet_engine *engine)
{
	return engine->current && engine->current->is_command;
}

/* vector number i, checked; what it names may still be elsewhere than in memory */
static bool vector(const void *self, uint32_t vectors, uint32_t i, struct iovec32 *ret)
{
	uint64_t where = (uint64_t)vectors + (uint64_t)i * sizeof(*ret);
	const void *from =
		where <= UINT32_MAX ? wasm_memory_at(self, (uint32_t)where, sizeof(*ret)) : NULL;
	if (from)
		memcpy(ret, from, sizeof(*ret));
	return from != NULL;
}

static uint32_t take_input(struct ramet_engine *engine, void *dst, uint32_t len)
{
	size_t left = engine->call->len - engine->read;
	uint32_t n = len < left ? len : (uint32_t)left;
	if (n > 0)
		memcpy(dst, (const char *)engine->call->data + engine->read, n);
	engine->read += n;
	return n;
}

uint32_t wasm_wasi_fd_read(
	void *self, uint32_t fd, uint32_t vectors, uint32_t count, uint32_t ret_read)
{
	struct ramet_engine *engine = begin(self);
	uint32_t total = 0;
	uint32_t got = 1;
	if (fd != STDIN_FILENO)
		return end(self, BADF);
	for (uint32_t i = 0; i < count && got > 0 && is_program(engine); i++) {
		struct iovec32 v;
		void *dst =
			vector(self, vectors, i, &v) ? wasm_memory_at(self, v.ptr, v.len) : NULL;
		if (!dst || engine->interrupts > 0)
			return end(self, FAULT);
		got = v.len == 0 ? 1 : take_input(engine, dst, v.len);
		total += v.len == 0 ? 0 : got;
	}
	return end(self, put_u32(self, ret_read, total));
}

static void write_out(struct ramet_engine *engine, uint32_t fd, const void *data, uint32_t len)
{
	if (fd == STDERR_FILENO || !is_program(engine)) {
		wasm_log(engine, (int)fd, data, len);
		return;
	}
	int rc = wasm_output_add(engine, data, len);
	if (rc == 0)
		return;
	snprintf(engine->message, sizeof(engine->message),
		rc == RAMET_ELIMIT ? "the output of %s has more than %zu bytes, its limit"
				   : "%s: no memory for output beyond %zu bytes",
		engine->call->context.function,
		rc == RAMET_ELIMIT ? engine->call->max_output : engine->buffer.len);
	wasm_leave(engine, WASM_LIMITED);
}

uint32_t wasm_wasi_fd_write(
	void *self, uint32_t fd, uint32_t vectors, uint32_t count, uint32_t ret_written)
{
	struct ramet_engine *engine = begin(self);
	uint32_t total = 0;
	if (fd != STDOUT_FILENO && fd != STDERR_FILENO)
		return end(self, BADF);
	for (uint32_t i = 0; i < count; i++) {
		struct iovec32 v;
		const void *data =
			vector(self, vectors, i, &v) ? wasm_memory_at(self, v.ptr, v.len) : NULL;
		if (!data || engine->interrupts > 0)
			return end(self, FAULT);
		write_out(engine, fd, data, v.len);
		total += v.len;
	}
	return end(self, put_u32(self, ret_written, total));
}

uint32_t wasm_wasi_fd_fdstat_get(void *self, uint32_t fd, uint32_t ptr)
{
	struct {
		uint8_t type; /* 0: nothing is said about it */
		uint16_t flags;
		uint64_t rights, inherited;
	} stat = {.rights = fd == STDIN_FILENO ? RIGHT_READ : RIGHT_WRITE};
	_Static_assert(sizeof(stat) == 24, "as WASI has it");
	(void)begin(self);
	return end(self, fd > STDERR_FILENO ? BADF : put(self, ptr, &stat, sizeof(stat)));
}

uint32_t wasm_wasi_fd_close(void *self, uint32_t fd)
{
	(void)self;
	return fd > STDERR_FILENO ? BADF : OK;
}

uint32_t wasm_wasi_fd_seek(
	void *self, uint32_t fd, uint64_t offset, uint32_t whence, uint32_t ret_offset)
{
	(void)self;
	(void)offset;
	(void)whence;
	(void)ret_offset;
	return fd > STDERR_FILENO ? BADF : SPIPE;
}

uint32_t wasm_wasi_fd_prestat_get(void *self, uint32_t fd, uint32_t ptr)
{
	(void)self;
	(void)fd;
	(void)ptr;
	return BADF; /* no directory is open */
}

uint32_t wasm_wasi_fd_prestat_dir_name(void *self, uint32_t fd, uint32_t ptr, uint32_t len)
{
	(void)len;
	return wasm_wasi_fd_prestat_get(self, fd, ptr);
}

/* --- the rest --- */

void wasm_wasi_proc_exit(void *self, uint32_t status)
{
	struct ramet_engine *engine = begin(self);
	engine->exit_status = status;
	wasm_leave(engine, WASM_EXITED);
}

uint32_t wasm_wasi_sched_yield(void *self)
{
	(void)self;
	return OK; /* nobody else is there */
}
