/* What the C that wasm2c (1.0.32) makes of a module expects to be there. Part of each compiled
 * module, and of the engine, which has the same idea of a memory and of a table.
 *
 * Every access is compared with the memory's size, and every function looks at the stack that is
 * left: no signal is needed for either, and no address space is reserved. */
#ifndef RUNTIME_WASM_MODULE_WASM_RT_H
#define RUNTIME_WASM_MODULE_WASM_RT_H

#include "stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define wasm_rt_memcpy __builtin_memcpy
#define wasm_rt_unreachable __builtin_unreachable

#define WASM_RT_MEMCHECK_SIGNAL_HANDLER 0 /* comparisons instead */

/* wasm2c counts calls; what ends a stack is its size. The count is a temporary that the compiler
 * removes, and its limit says whether the frame lies too low. */
#define WASM_RT_USE_STACK_DEPTH_COUNT 1
#define wasm_rt_call_stack_depth ((uint32_t){0})
#define WASM_RT_MAX_CALL_STACK_DEPTH (wasm_stack_pointer() < wasm_stack_end ? 0u : UINT32_MAX)
#define WASM_MODULE_HIDDEN __attribute__((visibility("hidden")))
extern uintptr_t wasm_stack_end WASM_MODULE_HIDDEN;

typedef enum {
	WASM_RT_TRAP_NONE,
	WASM_RT_TRAP_OOB,
	WASM_RT_TRAP_INT_OVERFLOW,
	WASM_RT_TRAP_DIV_BY_ZERO,
	WASM_RT_TRAP_INVALID_CONVERSION,
	WASM_RT_TRAP_UNREACHABLE,
	WASM_RT_TRAP_CALL_INDIRECT,
	WASM_RT_TRAP_EXHAUSTION
} wasm_rt_trap_t;

typedef enum {
	WASM_RT_I32,
	WASM_RT_I64,
	WASM_RT_F32,
	WASM_RT_F64,
	WASM_RT_FUNCREF,
	WASM_RT_EXTERNREF
} wasm_rt_type_t;

typedef void (*wasm_rt_function_ptr_t)(void);

typedef struct {
	uint32_t func_type; /* of wasm_rt_register_func_type() */
	wasm_rt_function_ptr_t func; /* NULL: none */
	void *module_instance;
} wasm_rt_funcref_t;
static const wasm_rt_funcref_t wasm_rt_funcref_null_value = {0, NULL, NULL};

typedef void *wasm_rt_externref_t;
static const wasm_rt_externref_t wasm_rt_externref_null_value = NULL;

typedef struct {
	uint8_t *data;
	uint32_t pages, max_pages; /* of 64 KiB */
	uint32_t size; /* bytes */
} wasm_rt_memory_t;

typedef struct {
	wasm_rt_funcref_t *data;
	uint32_t max_size, size; /* elements */
} wasm_rt_funcref_table_t;

typedef struct {
	wasm_rt_externref_t *data;
	uint32_t max_size, size;
} wasm_rt_externref_table_t;

__attribute__((noreturn)) void wasm_rt_trap(wasm_rt_trap_t trap);
/* the types of the parameters, then those of the results */
uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...);
void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages);
uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages);
void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t size, uint32_t max);
void wasm_rt_allocate_externref_table(
	wasm_rt_externref_table_t *table, uint32_t size, uint32_t max);
uint32_t wasm_rt_grow_funcref_table(
	wasm_rt_funcref_table_t *table, uint32_t delta, wasm_rt_funcref_t init);
uint32_t wasm_rt_grow_externref_table(
	wasm_rt_externref_table_t *table, uint32_t delta, wasm_rt_externref_t init);

/* the engine frees an instance's memory and tables itself */
static inline void wasm_rt_free_memory(wasm_rt_memory_t *memory)
{
	(void)memory;
}
static inline void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table)
{
	(void)table;
}
static inline void wasm_rt_free_externref_table(wasm_rt_externref_table_t *table)
{
	(void)table;
}

#endif
