/* What the files of the WebAssembly engine share. One engine in a process, one thread. */
#ifndef RUNTIME_WASM_WASM_INTERNAL_H
#define RUNTIME_WASM_WASM_INTERNAL_H

#include "ramet/engine.h"
#include "runtime/wasm/module/module.h"

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WASM_PAGE 65536u
#define WASM_PAGES_MAX 65535u /* 4 GiB would not fit into a size of 32 bits */
#define WASM_TABLES_MAX 64u
#define WASM_ELEMENTS_MAX (1u << 20) /* of a table */

/* How guest code ended, if not by returning. */
enum wasm_end {
	WASM_RETURNED,
	WASM_TRAPPED, /* engine->trap */
	WASM_INTERRUPTED, /* by a deadline */
	WASM_EXITED, /* by proc_exit(); engine->exit_status */
	WASM_LIMITED, /* it needs more memory than it may have; engine->message */
	WASM_REFUSED /* the application is wrong; engine->message */
};

/* One time that guest code is run; they nest. */
struct wasm_run {
	sigjmp_buf out;
	struct wasm_run *outer;
};

/* A file of the application, opened once. */
struct wasm_file {
	const char *name; /* as handlers have it */
	size_t len;
	const struct wasm_module *module;
};

/* A table that an instance has: memory of ours, behind the one that the generated C sees. */
struct wasm_table {
	void **data; /* where the instance has its address */
	uint32_t *size; /* and its elements */
	size_t element; /* bytes */
};

/* Linear memory: readable up to its size, the rest of it reserved. */
struct wasm_memory {
	wasm_rt_memory_t *seen; /* what the instance has of it; NULL: it has none */
	unsigned char *base;
	size_t reserved; /* bytes */
};

/* What an instance was, to be brought back: see wasm_image.c. */
struct wasm_image;

/* One instance of a function's module. */
struct wasm_isolate {
	struct ramet_engine *engine;
	unsigned index; /* of its function */
	const struct wasm_file *file;
	const struct wasm_function *handler;
	const struct wasm_function *alloc; /* ramet_alloc(); NULL: none */
	const struct wasm_function *clone_hook; /* ramet_after_clone() */
	bool is_command; /* a program: each call is a run of it */
	bool spoilt; /* guest code was left midway: to be made anew before it is used */
	bool used; /* since it was made, or brought back */
	void *instance;
	struct wasm_memory memory;
	struct wasm_table *tables;
	unsigned ntables;
	size_t bytes; /* that count for its limit */
	struct wasm_image *image;
	uint64_t epoch; /* of the engine, in which its hook ran */
	const char
		*symbol; /* that the handler names; and addresses in the instance (runtime/qjs) */
	uint32_t kept[4];
};

struct wasm_bytes {
	unsigned char *data; /* malloc'ed */
	size_t len, cap;
};

struct ramet_engine {
	int signal; /* of deadlines */
	uintptr_t stack_end; /* guest code's frames stay above it */
	const struct ramet_engine_load *load;
	struct wasm_file *files;
	unsigned nfiles;
	struct wasm_isolate *isolates; /* of each function */
	unsigned count;
	uint64_t epoch; /* counts after_clone() */
	const struct ramet_engine_secret *secrets; /* the host's */
	unsigned nsecrets;
	/* guest code that runs */
	struct wasm_isolate *running; /* whose */
	struct wasm_run *run; /* the innermost */
	volatile sig_atomic_t guest; /* at an instruction of it, and not in what it calls */
	volatile sig_atomic_t interrupts; /* of the call: how often it was told to end */
	wasm_rt_trap_t trap;
	uint32_t exit_status;
	/* the call */
	struct wasm_isolate *current; /* NULL: none */
	struct wasm_isolate *last;
	const struct ramet_engine_call *call;
	size_t read; /* bytes of the input that a program has read */
	struct wasm_bytes buffer; /* of output */
	const void *output;
	size_t output_len;
	bool output_binary;
	bool failed; /* error() has filled message */
	char type[64], message[4096];
	char raised[64], traceback[8192]; /* with the message, where the language has them; or "" */
};

/* --- wasm_guard.c: between the engine and guest code --- */

/* wasm_run - fn(arg), which may call guest code by wasm_call_*(): how that ended. What fn does
 * besides must own nothing while guest code runs. */
enum wasm_end wasm_run(struct wasm_isolate *isolate,
	void (*fn)(struct wasm_isolate *isolate, void *arg), void *arg);
void wasm_call_plain(struct wasm_isolate *isolate, const struct wasm_function *fn);
uint32_t wasm_call_status(struct wasm_isolate *isolate, const struct wasm_function *fn);
uint32_t wasm_call_alloc(
	struct wasm_isolate *isolate, const struct wasm_function *fn, uint32_t len);
uint32_t wasm_call_handler(
	struct wasm_isolate *isolate, const struct wasm_function *fn, uint32_t input, uint32_t len);
void wasm_call_instantiate(struct wasm_isolate *isolate);
/* in what guest code calls: wasm_host_begin() first, wasm_host_end() last; between them a deadline
 * does not jump out */
void wasm_host_begin(struct ramet_engine *engine);
void wasm_host_end(struct ramet_engine *engine); /* may leave for good */
/* wasm_leave - out of the innermost run, from what guest code calls */
_Noreturn void wasm_leave(struct ramet_engine *engine, enum wasm_end end);
_Noreturn void wasm_trap(wasm_rt_trap_t trap);
void wasm_interrupt(struct ramet_engine *engine); /* async-signal-safe */
struct wasm_isolate *wasm_running(void); /* whose guest code calls */
const char *wasm_trap_text(wasm_rt_trap_t trap);

/* --- wasm_memory.c: memories and tables, as the generated C asks for them --- */

void wasm_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max);
uint32_t wasm_grow_memory(wasm_rt_memory_t *memory, uint32_t pages);
void wasm_allocate_funcrefs(wasm_rt_funcref_table_t *table, uint32_t size, uint32_t max);
void wasm_allocate_externrefs(wasm_rt_externref_table_t *table, uint32_t size, uint32_t max);
uint32_t wasm_grow_funcrefs(wasm_rt_funcref_table_t *table, uint32_t delta, wasm_rt_funcref_t init);
uint32_t wasm_grow_externrefs(
	wasm_rt_externref_table_t *table, uint32_t delta, wasm_rt_externref_t init);
void wasm_memory_free(struct wasm_isolate *isolate); /* and the tables */
/* wasm_memory_at - len bytes at guest address ptr, or NULL if they are not all there */
void *wasm_memory_at(const struct wasm_isolate *isolate, uint32_t ptr, uint32_t len);

#define WASM_COPY 4096u /* bytes that are kept and copied, or all zero and not touched */
bool wasm_is_zero(const unsigned char *page); /* WASM_COPY of them, aligned */

/* --- wasm_isolate.c --- */

/* wasm_isolate_open - finds what a function's handler names, and makes its instance. After a
 * failure engine->message says why. */
int wasm_isolate_open(struct ramet_engine *engine, unsigned index);
/* wasm_isolate_make - a new instance, the start function and `init` included, in the place of the
 * old one. Within a wasm_run(). */
void wasm_isolate_make(struct wasm_isolate *isolate);
void wasm_isolate_free(struct wasm_isolate *isolate); /* its instance, and what it was */
/* wasm_end_error - a code and engine->type, engine->message for what did not return */
int wasm_end_error(struct ramet_engine *engine, enum wasm_end end);

/* --- wasm_handlers.c, or another language that is compiled to WebAssembly (runtime/qjs) --- */

extern const char wasm_engine_name[], wasm_engine_about[], wasm_error_type[];
extern const bool wasm_growth_may_fail; /* else a call that wants too much memory ends there */
/* wasm_handler_find - what a handler names in isolate->file; engine->message says why not */
int wasm_handler_find(
	struct ramet_engine *engine, struct wasm_isolate *isolate, const char *symbol);
/* wasm_handler_begin - in a new instance, within a wasm_run(); may leave it */
void wasm_handler_begin(struct wasm_isolate *isolate);
/* wasm_handler_check - a call's input: RAMET_EINVAL, and engine->message */
int wasm_handler_check(struct ramet_engine *engine, const struct ramet_engine_call *call);

/* --- wasm_image.c --- */

/* wasm_image_take - what the instance is now is what it is brought back to. RAMET_ENOMEM */
int wasm_image_take(struct wasm_isolate *isolate);
int wasm_image_restore(struct wasm_isolate *isolate); /* RAMET_ENOMEM: it is spoilt now */
void wasm_image_free(struct wasm_isolate *isolate);
size_t wasm_image_bytes(const struct wasm_isolate *isolate);

/* --- wasm_module.c, or another language (runtime/qjs) --- */

int wasm_file_open(struct ramet_engine *engine, const char *name, size_t len,
	const struct wasm_file **ret_file); /* engine->message says why not */

/* --- wasm_file.c --- */

/* wasm_file_is - "file:symbol" is of this file */
bool wasm_file_is(const struct wasm_file *file, const char *named);
const struct wasm_function *wasm_file_find(const struct wasm_file *file, const char *name);
/* wasm_file_known - the file that "file:symbol" is of, if it is open */
bool wasm_file_known(
	const struct ramet_engine *engine, const char *named, const struct wasm_file **ret_file);

/* --- wasm_types.c --- */

uint32_t wasm_function_type(const uint8_t *types, uint32_t count, uint32_t params);
bool wasm_types_failed(void); /* there was no memory for one: its number is of no use */

/* --- wasm_ramet.c, wasm_wasi.c: imports --- */

extern const struct wasm_host wasm_host;
#define WASM_DECLARE(module, name, type, result, params, args) \
	WASM_RESULT_##result wasm_##module##_##name params;
#define WASM_DECLARE_WASI(module, name, type, result, params, args) \
	WASM_RESULT_##result wasm_wasi_##name params;
WASM_RAMET_IMPORTS(WASM_DECLARE)
WASM_WASI_IMPORTS(WASM_DECLARE_WASI)

/* wasm_output_add - behind what there is. RAMET_ENOMEM, RAMET_ELIMIT */
int wasm_output_add(struct ramet_engine *engine, const void *data, size_t len);
/* wasm_log - to this process's stdout or stderr; as much as goes until the call is interrupted */
void wasm_log(struct ramet_engine *engine, int fd, const void *data, size_t len);
/* wasm_random - from the kernel: nothing of it is kept. Until the call is interrupted. */
void wasm_random(const struct ramet_engine *engine, void *data, size_t len);

#endif
