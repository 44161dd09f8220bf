/* Filling the gaps of pymalloc (Objects/obmalloc.c of CPython): blocks of 32 sizes in pools, each
 * pool of one size; a pool that is new begins with its first block and goes on in order. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bindings/python/python_heap.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define STEP 16u
#define SIZES 32u
#define POOL_HEAD 48u /* of a pool: its header */
#define BLOCKS_MAX 32768u /* of gaps in a size: more means that this is another allocator */

static size_t pool_bytes(void)
{
	const char *version = Py_GetVersion();
	long minor = version[0] == '3' && version[1] == '.' ? strtol(version + 2, NULL, 10) : 0;
	return minor >= 10 ? 16384 : minor > 0 ? 4096 : 0;
}

/* whether first begins a new pool: then all of it has been taken, and is given back */
static bool takes_pool(char *first, size_t size, size_t pool)
{
	const size_t count = (pool - POOL_HEAD) / size;
	size_t taken = 1;
	if ((uintptr_t)first % pool != POOL_HEAD)
		return false;
	char *other = NULL;
	while (taken < count) {
		other = PyObject_Malloc(size);
		if (other != first + taken * size)
			break;
		other = NULL;
		taken++;
	}
	if (taken == count)
		for (size_t i = 0; i < count; i++)
			PyObject_Free(first + i * size);
	return taken == count; /* else these blocks were gaps, too, and so was the other */
}

/* false: there is no end to it */
static bool fill(size_t size, size_t pool, void **blocks)
{
	for (unsigned n = 0; n < BLOCKS_MAX; n++) {
		blocks[n] = PyObject_Malloc(size);
		if (!blocks[n] || takes_pool(blocks[n], size, pool))
			return true;
	}
	for (unsigned n = 0; n < BLOCKS_MAX; n++)
		PyObject_Free(blocks[n]);
	return false;
}

void python_heap_seal(void)
{
	const size_t pool = pool_bytes();
	void **blocks = pool ? malloc(BLOCKS_MAX * sizeof(*blocks)) : NULL;
	for (unsigned i = 1; blocks && i <= SIZES && fill(i * STEP, pool, blocks); i++)
		;
	free(blocks);
}
