/* Memories and tables of instances. An instance's memory is one private anonymous mapping, readable
 * up to its size and exactly that large until it grows; then the rest is reserved, so that growing
 * by little at a time copies seldom. Nothing is mapped a second time or moved by the kernel: in a
 * clone that would show what lies behind in the seed's file. */
#include "runtime/wasm/wasm_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool allowed(const struct wasm_isolate *isolate, uint64_t more)
{
	uint64_t most = isolate->engine->load->heap;
	return most == 0 || isolate->bytes + more <= most;
}

/* --- linear memory --- */

static void *map(size_t bytes)
{
	void *base =
		mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return base == MAP_FAILED ? NULL : base;
}

_Noreturn static void too_much(struct wasm_isolate *isolate, const char *what, uint64_t bytes)
{
	struct ramet_engine *engine = isolate->engine;
	snprintf(engine->message, sizeof(engine->message),
		"a %s of %llu bytes is more than this function may have", what,
		(unsigned long long)bytes);
	wasm_leave(engine, WASM_LIMITED);
}

void wasm_allocate_memory(wasm_rt_memory_t *seen, uint32_t pages, uint32_t max)
{
	struct wasm_isolate *isolate = wasm_running();
	wasm_host_begin(isolate->engine);
	struct wasm_memory *memory = &isolate->memory;
	size_t bytes = (size_t)pages * WASM_PAGE;
	*seen = (wasm_rt_memory_t){.max_pages = max < WASM_PAGES_MAX ? max : WASM_PAGES_MAX};
	memory->seen = seen;
	if (pages > WASM_PAGES_MAX || !allowed(isolate, bytes))
		too_much(isolate, "memory", bytes);
	if (bytes > 0) {
		memory->base = map(bytes);
		memory->reserved = memory->base ? bytes : 0;
		if (!memory->base || mprotect(memory->base, bytes, PROT_READ | PROT_WRITE) < 0)
			too_much(isolate, "memory", bytes);
	}
	isolate->bytes += bytes;
	*seen = (wasm_rt_memory_t){memory->base, pages, seen->max_pages, (uint32_t)bytes};
	wasm_host_end(isolate->engine);
}

bool wasm_is_zero(const unsigned char *page)
{
	const uint64_t *words = (const uint64_t *)(const void *)page;
	uint64_t any = 0;
	for (size_t i = 0; i < WASM_COPY / sizeof(*words); i++)
		any |= words[i];
	return any == 0;
}

/* to another place with room for at least this much, and twice what there was */
static int move(struct wasm_memory *memory, size_t needed)
{
	size_t most = (size_t)memory->seen->max_pages * WASM_PAGE;
	size_t reserved = 2 * (size_t)memory->seen->size;
	if (reserved < needed)
		reserved = needed;
	if (reserved > most)
		reserved = most;
	unsigned char *base = map(reserved);
	if (!base)
		return RAMET_ENOMEM;
	if (mprotect(base, needed, PROT_READ | PROT_WRITE) < 0) {
		munmap(base, reserved);
		return RAMET_ENOMEM;
	}
	for (size_t at = 0; at < memory->seen->size; at += WASM_COPY)
		if (!wasm_is_zero(memory->base + at))
			memcpy(base + at, memory->base + at, WASM_COPY);
	if (memory->base)
		munmap(memory->base, memory->reserved);
	memory->base = base;
	memory->reserved = reserved;
	return 0;
}

static uint32_t grow(struct wasm_isolate *isolate, wasm_rt_memory_t *seen, uint32_t delta)
{
	struct wasm_memory *memory = &isolate->memory;
	uint32_t old = seen->pages;
	size_t more = (size_t)delta * WASM_PAGE;
	size_t needed = seen->size + more;
	if (delta > seen->max_pages - old || !allowed(isolate, more))
		return UINT32_MAX;
	if (delta == 0)
		return old;
	if (needed > memory->reserved
			? move(memory, needed) < 0
			: mprotect(memory->base + seen->size, more, PROT_READ | PROT_WRITE) < 0)
		return UINT32_MAX;
	isolate->bytes += more;
	*seen = (wasm_rt_memory_t){memory->base, old + delta, seen->max_pages, (uint32_t)needed};
	return old;
}

uint32_t wasm_grow_memory(wasm_rt_memory_t *seen, uint32_t delta)
{
	struct wasm_isolate *isolate = wasm_running();
	wasm_host_begin(isolate->engine);
	uint32_t result = grow(isolate, seen, delta);
	if (result == UINT32_MAX && !wasm_growth_may_fail)
		too_much(isolate, "memory", seen->size + (uint64_t)delta * WASM_PAGE);
	wasm_host_end(isolate->engine);
	return result;
}

void *wasm_memory_at(const struct wasm_isolate *isolate, uint32_t ptr, uint32_t len)
{
	static unsigned char nothing;
	const wasm_rt_memory_t *seen = isolate->memory.seen;
	if ((uint64_t)ptr + len > (seen ? seen->size : 0))
		return NULL;
	return seen && len > 0 ? seen->data + ptr : &nothing;
}

/* --- tables --- */

static void add_table(void **data, uint32_t *seen_size, size_t element, uint32_t size)
{
	struct wasm_isolate *isolate = wasm_running();
	size_t bytes = size * element;
	wasm_host_begin(isolate->engine);
	if (size > WASM_ELEMENTS_MAX || isolate->ntables == WASM_TABLES_MAX ||
		!allowed(isolate, bytes))
		too_much(isolate, "table", bytes);
	struct wasm_table *tables =
		realloc(isolate->tables, (isolate->ntables + 1u) * sizeof(*tables));
	if (tables)
		isolate->tables = tables;
	*data = tables ? calloc(size + 1u, element) : NULL;
	if (!*data)
		too_much(isolate, "table", bytes);
	tables[isolate->ntables++] = (struct wasm_table){data, seen_size, element};
	isolate->bytes += bytes;
	*seen_size = size;
	wasm_host_end(isolate->engine);
}

static uint32_t limit(uint32_t max)
{
	return max < WASM_ELEMENTS_MAX ? max : WASM_ELEMENTS_MAX;
}

void wasm_allocate_funcrefs(wasm_rt_funcref_table_t *table, uint32_t size, uint32_t max)
{
	table->max_size = limit(max);
	add_table((void **)(void *)&table->data, &table->size, sizeof(*table->data), size);
}

void wasm_allocate_externrefs(wasm_rt_externref_table_t *table, uint32_t size, uint32_t max)
{
	table->max_size = limit(max);
	add_table((void **)(void *)&table->data, &table->size, sizeof(*table->data), size);
}

/* room for delta more; the old size, or UINT32_MAX */
static uint32_t grow_table(void **data, uint32_t size, uint32_t max, size_t element, uint32_t delta)
{
	struct wasm_isolate *isolate = wasm_running();
	size_t more = delta * element;
	if (delta > max - size || !allowed(isolate, more))
		return UINT32_MAX;
	void *grown = realloc(*data, ((size_t)size + delta + 1) * element);
	if (!grown)
		return UINT32_MAX;
	*data = grown;
	isolate->bytes += more;
	return size;
}

uint32_t wasm_grow_funcrefs(wasm_rt_funcref_table_t *table, uint32_t delta, wasm_rt_funcref_t init)
{
	struct ramet_engine *engine = wasm_running()->engine;
	wasm_host_begin(engine);
	uint32_t old = grow_table((void **)(void *)&table->data, table->size, table->max_size,
		sizeof(*table->data), delta);
	for (uint32_t i = 0; old != UINT32_MAX && i < delta; i++)
		table->data[table->size++] = init;
	wasm_host_end(engine);
	return old;
}

uint32_t wasm_grow_externrefs(
	wasm_rt_externref_table_t *table, uint32_t delta, wasm_rt_externref_t init)
{
	struct ramet_engine *engine = wasm_running()->engine;
	wasm_host_begin(engine);
	uint32_t old = grow_table((void **)(void *)&table->data, table->size, table->max_size,
		sizeof(*table->data), delta);
	for (uint32_t i = 0; old != UINT32_MAX && i < delta; i++)
		table->data[table->size++] = init;
	wasm_host_end(engine);
	return old;
}

void wasm_memory_free(struct wasm_isolate *isolate)
{
	if (isolate->memory.base)
		munmap(isolate->memory.base, isolate->memory.reserved);
	for (unsigned i = 0; i < isolate->ntables; i++)
		free(*isolate->tables[i].data);
	free(isolate->tables);
	isolate->tables = NULL;
	isolate->memory = (struct wasm_memory){0};
	isolate->ntables = 0;
	isolate->bytes = 0;
}
