/* The memory of an isolate: LuaJIT's own allocator, whose arena belongs to one state alone, with
 * its bytes counted and limited. LuaJIT gives up where memory is refused, and does not look for
 * garbage first: beyond half of the limit, it is told in time to collect more often. */
#include "runtime/lua/lua_internal.h"

#define FAST_COLLECTION 1000 /* how many times faster than allocation, in per cent */
#define PRESSES 16 /* of the limit, the part that may be allocated between two collections */

/* These set numbers of the collector, and run nothing: allowed in an allocator. */
static void collect_soon(struct lua_isolate *isolate)
{
	(void)lua_gc(isolate->L, LUA_GCSETSTEPMUL, FAST_COLLECTION);
	(void)lua_gc(isolate->L, LUA_GCRESTART, 0);
}

static void press(struct lua_isolate *isolate, size_t limit)
{
	size_t step = limit / PRESSES;
	if (isolate->used < limit / 2) {
		isolate->pressed = limit / 2;
	} else if (isolate->used >= isolate->pressed) {
		collect_soon(isolate);
		isolate->pressed = isolate->used + step;
	} else if (isolate->pressed - isolate->used > step) {
		isolate->pressed = isolate->used + step;
	}
}

static void *allocate(void *arg, void *old, size_t old_size, size_t size)
{
	struct lua_isolate *isolate = arg;
	size_t limit = isolate->engine->load->heap;
	size_t before = old ? old_size : 0;
	size_t others = isolate->used - before;
	if (limit > 0 && size > before && (others > limit || size > limit - others))
		return NULL;
	void *made = isolate->alloc(isolate->alloc_arg, old, old_size, size);
	if (!made && size > 0)
		return NULL;
	isolate->used = others + size;
	if (limit > 0)
		press(isolate, limit);
	return made;
}

void lua_heap_open(struct lua_isolate *isolate)
{
	isolate->alloc = lua_getallocf(isolate->L, &isolate->alloc_arg);
	isolate->used = (size_t)lua_gc(isolate->L, LUA_GCCOUNT, 0) * 1024 +
		(size_t)lua_gc(isolate->L, LUA_GCCOUNTB, 0);
	lua_setallocf(isolate->L, allocate, isolate);
}

void lua_heap_close(struct lua_isolate *isolate)
{
	lua_setallocf(isolate->L, isolate->alloc, isolate->alloc_arg);
}
