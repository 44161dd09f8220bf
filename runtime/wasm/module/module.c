/* The part of a compiled module that is the same in each: what the generated C calls goes to the
 * engine, by a table. */
#include "module.h"

#include <stdarg.h>

#define TYPES_MAX 2048 /* wabt reads no more parameters and results than 1,000 each */
#define WASI_ENOSYS 52u

static const struct wasm_host *host;
uintptr_t wasm_stack_end;

void wasm_module_begin(const struct wasm_host *the_host, uintptr_t stack_end) WASM_MODULE_HIDDEN;
void wasm_module_begin(const struct wasm_host *the_host, uintptr_t stack_end)
{
	host = the_host;
	wasm_stack_end = stack_end;
}

void wasm_rt_trap(wasm_rt_trap_t trap)
{
	host->trap(trap);
}

uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...)
{
	uint8_t types[TYPES_MAX];
	va_list args;
	uint32_t count = params + results;
	if (params > TYPES_MAX / 2 || results > TYPES_MAX / 2)
		host->trap(WASM_RT_TRAP_EXHAUSTION);
	va_start(args, results);
	for (uint32_t i = 0; i < count; i++)
		types[i] = (uint8_t)va_arg(args, int);
	va_end(args);
	return host->function_type(types, count, params);
}

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max)
{
	host->allocate_memory(memory, pages, max);
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages)
{
	return host->grow_memory(memory, pages);
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t size, uint32_t max)
{
	host->allocate_funcrefs(table, size, max);
}

void wasm_rt_allocate_externref_table(wasm_rt_externref_table_t *table, uint32_t size, uint32_t max)
{
	host->allocate_externrefs(table, size, max);
}

uint32_t wasm_rt_grow_funcref_table(
	wasm_rt_funcref_table_t *table, uint32_t delta, wasm_rt_funcref_t init)
{
	return host->grow_funcrefs(table, delta, init);
}

uint32_t wasm_rt_grow_externref_table(
	wasm_rt_externref_table_t *table, uint32_t delta, wasm_rt_externref_t init)
{
	return host->grow_externrefs(table, delta, init);
}

/* --- imports, by the names that wasm2c gives them ---
 *
 * What they get as their own is not looked at: where an element segment put an import into a table,
 * an indirect call gives the address of the pointer instead of the pointer. It is the instance that
 * runs in any case. */

#define RETURN_NONE
#define RETURN_I32 return
#define RETURN_I64 return

#define RAMET(module, name, type, result, params, args) \
	WASM_RESULT_##result Z_rametZ_##name params; \
	WASM_RESULT_##result Z_rametZ_##name params \
	{ \
		self = host->running(); \
		RETURN_##result host->ramet.name args; \
	}
WASM_RAMET_IMPORTS(RAMET)

#define WASI(module, name, type, result, params, args) \
	WASM_RESULT_##result Z_wasi_snapshot_preview1Z_##name params; \
	WASM_RESULT_##result Z_wasi_snapshot_preview1Z_##name params \
	{ \
		self = host->running(); \
		RETURN_##result host->wasi.name args; \
	}
WASM_WASI_IMPORTS(WASI)

#define ABSENT(name, type, params) \
	uint32_t Z_wasi_snapshot_preview1Z_##name params; \
	uint32_t Z_wasi_snapshot_preview1Z_##name params \
	{ \
		return WASI_ENOSYS; \
	}
WASM_WASI_ABSENT(ABSENT)
