/* Between a compiled module, a shared object, and the engine that opens it. */
#ifndef RUNTIME_WASM_MODULE_MODULE_H
#define RUNTIME_WASM_MODULE_MODULE_H

#include "imports.h"
#include "wasm-rt.h"

#define WASM_MODULE_ABI 1u
#define WASM_MODULE_SYMBOL "ramet_wasm_module" /* a const struct wasm_module */

/* Exported functions that the engine can call, by their types. */
enum wasm_shape {
	WASM_OTHER, /* listed, for messages; not to be called */
	WASM_PLAIN, /* () */
	WASM_STATUS, /* () -> i32 */
	WASM_ALLOC, /* (i32) -> i32 */
	WASM_HANDLER /* (i32, i32) -> i32 */
};

struct wasm_function {
	const char *name;
	enum wasm_shape shape;
	void (*code)(void); /* its first parameter is the instance */
};

/* What the engine does for modules. self of imports: the instance that runs. */
struct wasm_host {
	void *(*running)(void);
	__attribute__((noreturn)) void (*trap)(wasm_rt_trap_t trap);
	uint32_t (*function_type)(const uint8_t *types, uint32_t count, uint32_t params);
	void (*allocate_memory)(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max);
	uint32_t (*grow_memory)(wasm_rt_memory_t *memory, uint32_t pages);
	void (*allocate_funcrefs)(wasm_rt_funcref_table_t *table, uint32_t size, uint32_t max);
	void (*allocate_externrefs)(wasm_rt_externref_table_t *table, uint32_t size, uint32_t max);
	uint32_t (*grow_funcrefs)(
		wasm_rt_funcref_table_t *table, uint32_t delta, wasm_rt_funcref_t init);
	uint32_t (*grow_externrefs)(
		wasm_rt_externref_table_t *table, uint32_t delta, wasm_rt_externref_t init);
#define WASM_RESULT_NONE void
#define WASM_RESULT_I32 uint32_t
#define WASM_RESULT_I64 uint64_t
#define WASM_HOST_SLOT(module, name, type, result, params, args) WASM_RESULT_##result(*name) params;
	struct {
		WASM_RAMET_IMPORTS(WASM_HOST_SLOT)
	} ramet;
	struct {
		WASM_WASI_IMPORTS(WASM_HOST_SLOT)
	} wasi;
#undef WASM_HOST_SLOT
};

struct wasm_module {
	unsigned abi; /* WASM_MODULE_ABI */
	size_t instance_bytes;
	const struct wasm_function *functions;
	unsigned nfunctions;
	/* init - once, first. Frames below stack_end are too low. */
	void (*init)(const struct wasm_host *host, uintptr_t stack_end);
	/* instantiate - of zeroed memory; runs the module's start function */
	void (*instantiate)(void *instance, void *self);
	wasm_rt_memory_t *(*memory)(void *instance); /* NULL: the module has none */
};

#endif
