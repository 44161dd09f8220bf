/* Numbers of function types: the same for the same type in every module, which is what an indirect
 * call compares. They are given when modules are opened, and kept. */
#include "runtime/wasm/wasm_internal.h"

#include <stdlib.h>
#include <string.h>

struct type {
	uint8_t *types; /* parameters, results */
	uint32_t count, params;
};

static struct {
	struct type *items;
	uint32_t count, cap;
	bool failed;
} known;

bool wasm_types_failed(void)
{
	return known.failed;
}

static uint32_t find(const uint8_t *types, uint32_t count, uint32_t params)
{
	for (uint32_t i = 0; i < known.count; i++) {
		const struct type *type = &known.items[i];
		if (type->count == count && type->params == params &&
			memcmp(type->types, types, count) == 0)
			return i + 1;
	}
	return 0;
}

static bool grow(void)
{
	if (known.count < known.cap)
		return true;
	uint32_t cap = known.cap ? 2 * known.cap : 32;
	struct type *items = realloc(known.items, cap * sizeof(*items));
	if (!items)
		return false;
	known.items = items;
	known.cap = cap;
	return true;
}

uint32_t wasm_function_type(const uint8_t *types, uint32_t count, uint32_t params)
{
	uint32_t number = find(types, count, params);
	if (number > 0)
		return number;
	uint8_t *copy = malloc(count + 1u);
	if (!copy || !grow()) {
		free(copy);
		known.failed = true; /* and no module is opened any more */
		return 0;
	}
	memcpy(copy, types, count);
	known.items[known.count++] = (struct type){copy, count, params};
	return known.count;
}
