/* What the files of the Lua engine share. */
#ifndef RUNTIME_LUA_LUA_INTERNAL_H
#define RUNTIME_LUA_LUA_INTERNAL_H

#include "ramet/engine.h"

#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* One Lua state, with a function loaded. */
struct lua_isolate {
	struct ramet_engine *engine;
	unsigned index; /* of its function */
	lua_State *L;
	lua_Alloc alloc; /* LuaJIT's own, whose arena belongs to this state alone */
	void *alloc_arg;
	size_t used; /* bytes */
	size_t pressed; /* when it has so many, garbage is collected soon */
	int run, describe, seed; /* C functions, by their reference in the registry */
	uint64_t epoch; /* of the engine's random bytes that it was seeded with; 0: none */
};

struct ramet_engine {
	int signal; /* of deadlines */
	const char *dir; /* of the application; ends without a slash */
	const struct ramet_engine_load *load;
	struct lua_isolate **isolates; /* of each function */
	unsigned count;
	/* randomness: bytes for this process, which an isolate takes when it is next used */
	unsigned char seed[RAMET_ENGINE_SEED_BYTES];
	uint64_t epoch; /* of these bytes */
	uint64_t given; /* how often an isolate was seeded with them: each time with others */
	const struct ramet_engine_secret *secrets; /* the host's */
	unsigned nsecrets;
	/* the call that runs */
	struct lua_isolate *current; /* NULL: none */
	unsigned last; /* the function that was called last */
	bool renewed; /* its isolate has not run anything yet */
	struct lua_isolate *replaced; /* its answer has not been sent yet */
	const struct ramet_engine_call *call;
	int code; /* of an error that is not the function's; 0: none */
	volatile sig_atomic_t interrupts; /* how often it was told to end */
	volatile sig_atomic_t jumps; /* Lua code runs, and may be left at any instruction */
	sigjmp_buf out;
	json_t *input, *output; /* freed when the call is over */
	char *text; /* the answer: malloc'ed */
	const char *data;
	size_t len;
	bool binary;
	char type[64], message[4096], traceback[16384];
};

/* --- lua_isolate.c --- */

/* lua_isolate_create - a state with this function loaded. After a failure engine->message says why.
 */
int lua_isolate_create(
	struct ramet_engine *engine, unsigned index, struct lua_isolate **ret_isolate);
void lua_isolate_destroy(struct lua_isolate *isolate); /* NULL is fine */
/* lua_isolate_seed - math.random() goes on from the engine's bytes, if it does not yet. 0,
 * RAMET_EUSER, RAMET_ELIMIT */
int lua_isolate_seed(struct lua_isolate *isolate);
/* lua_isolate_handler - pushes it */
void lua_isolate_handler(lua_State *L);
struct lua_isolate *lua_isolate_of(lua_State *L);

/* --- lua_engine.c --- */

int lua_run_call(lua_State *L); /* the engine's call, on an empty stack */
int lua_describe_error(lua_State *L); /* a message handler: the engine's message, traceback */

/* --- lua_heap.c --- */

/* lua_heap_open - counts what this state allocates from now on, and limits it */
void lua_heap_open(struct lua_isolate *isolate);
/* lua_heap_close - its own allocator again: LuaJIT frees an arena as a whole only where it sees
 * that */
void lua_heap_close(struct lua_isolate *isolate);

/* --- lua_guard.c --- */

/* lua_guard - runs fn with the arguments of the C function that calls it, and returns for it. While
 * it runs, a deadline does not jump out: for all that takes locks, or memory of the process. */
int lua_guard(lua_State *L, lua_CFunction fn);
/* lua_guard_wrap - the function on top of the stack becomes one that runs so */
void lua_guard_wrap(lua_State *L);

/* --- lua_json.c --- */

void lua_json_open(lua_State *L); /* the global `json`: null, array(t), encode, decode */
void lua_json_push(lua_State *L, const json_t *value); /* raises errors */
/* lua_json_take - the value at index, as JSON that belongs to *root; raises errors */
void lua_json_take(lua_State *L, int index, json_t **root);

/* --- lua_context.c --- */

void lua_context_open(lua_State *L); /* once; the object lies in the registry */
void lua_context_push(lua_State *L);
/* lua_output - the value at index as a handler's answer or a chunk: bytes, if the call is binary or
 * it is no text, else JSON. What is returned is the engine's. Raises errors. */
void lua_output(lua_State *L, int index, const char **ret_data, size_t *ret_len, bool *ret_binary);

#endif
