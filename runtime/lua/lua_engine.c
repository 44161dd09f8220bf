/* The Lua engine: LuaJIT, a state for each function, one call at a time. See docs/engines.md for
 * what functions may use.
 *
 * A deadline first sets a hook, which raises an error at the next instruction that is interpreted.
 * A loop that was compiled looks at no hook: if the call still runs when the deadline is told
 * again, it is left by siglongjmp(). Its state, and the machine code that it was in, are never used
 * again: the process ends after its answer, and another clone takes its place. */
#include "runtime/lua/lua_internal.h"

#include <luajit.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static struct ramet_engine the_engine;

static int engine_init(int deadline_signal, char *detail, size_t cap,
	struct ramet_engine **ret_engine, struct ramet_err *err)
{
	if (getrandom(the_engine.seed, sizeof(the_engine.seed), 0) !=
		(ssize_t)sizeof(the_engine.seed)) {
		err->code = RAMET_EIO;
		snprintf(err->msg, sizeof(err->msg), "no random bytes for Lua");
		return err->code;
	}
	the_engine.epoch = 1;
	the_engine.signal = deadline_signal;
	setvbuf(stdout, NULL, _IOLBF, 0); /* what was printed before a crash is in the log */
	json_object_seed(0); /* from the kernel, now: not at the first call in each clone */
	snprintf(detail, cap, "%s, jansson %s", LUAJIT_VERSION, jansson_version_str());
	*ret_engine = &the_engine;
	return 0;
}

static int failed(struct ramet_engine *engine, int code, struct ramet_engine_error *ret_error)
{
	*ret_error = (struct ramet_engine_error){
		.code = code,
		.kind = code == RAMET_EUSER || code == RAMET_EINVAL ? RAMET_ENGINE_USER
			: code == RAMET_ELIMIT			    ? RAMET_ENGINE_LIMIT
								    : RAMET_ENGINE_SYSTEM,
		.type = {engine->type, strlen(engine->type)},
		.message = {engine->message, strlen(engine->message)},
		.traceback = {engine->traceback, strlen(engine->traceback)},
	};
	return code;
}

static int engine_load(struct ramet_engine *engine, const struct ramet_engine_load *load,
	struct ramet_engine_error *ret_error)
{
	engine->load = load;
	engine->dir = load->dir;
	engine->isolates = calloc(load->nfunctions + 1, sizeof(void *));
	if (!engine->isolates)
		return RAMET_ENOMEM;
	for (; engine->count < load->nfunctions; engine->count++) {
		int rc =
			lua_isolate_create(engine, engine->count, &engine->isolates[engine->count]);
		if (rc < 0)
			return failed(engine, rc, ret_error);
	}
	return 0;
}

/* --- calls --- */

/* message, traceback: what was raised, as text */
int lua_describe_error(lua_State *L)
{
	struct ramet_engine *engine = lua_isolate_of(L)->engine;
	const char *message = lua_tostring(L, 1);
	if (!message && luaL_callmeta(L, 1, "__tostring"))
		message = lua_tostring(L, -1);
	snprintf(engine->type, sizeof(engine->type), "LuaError");
	if (message)
		snprintf(engine->message, sizeof(engine->message), "%s", message);
	else
		snprintf(engine->message, sizeof(engine->message), "a %s was raised",
			luaL_typename(L, 1));
	luaL_traceback(L, L, NULL, 1);
	snprintf(engine->traceback, sizeof(engine->traceback), "%s", lua_tostring(L, -1));
	lua_settop(L, 1);
	return 1;
}

static void push_input(lua_State *L, struct ramet_engine *engine)
{
	const struct ramet_engine_call *call = engine->call;
	json_error_t error;
	if (call->binary) {
		lua_pushlstring(L, call->data, call->len);
		return;
	}
	if (call->len == 0) {
		lua_pushnil(L);
		return;
	}
	engine->input = json_loadb(
		call->data, call->len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
	if (!engine->input) {
		engine->code = RAMET_EINVAL;
		luaL_error(L, "the input is no JSON: %s, at byte %d", error.text, error.position);
	}
	if (json_is_null(engine->input))
		lua_pushnil(L);
	else
		lua_json_push(L, engine->input);
}

int lua_run_call(lua_State *L)
{
	struct ramet_engine *engine = lua_isolate_of(L)->engine;
	lua_isolate_handler(L);
	push_input(L, engine);
	lua_context_push(L);
	engine->jumps = 1;
	lua_call(L, 2, 1);
	engine->jumps = 0;
	lua_output(L, -1, &engine->data, &engine->len, &engine->binary);
	return 1; /* the text of which may be the answer */
}

/* Another isolate for the function that was called last. */
static int renew(struct ramet_engine *engine)
{
	struct lua_isolate *old = engine->isolates[engine->last];
	int rc = lua_isolate_create(engine, engine->last, &engine->isolates[engine->last]);
	if (rc < 0)
		return rc;
	engine->renewed = true;
	if (engine->current)
		engine->replaced = old; /* its answer may lie in it */
	else
		lua_isolate_destroy(old);
	return 0;
}

/* What filled it may be in variables of the function's: the next call has another isolate. */
static int out_of_memory(struct ramet_engine *engine, struct ramet_engine_error *ret_error)
{
	snprintf(engine->type, sizeof(engine->type), "LuaError");
	snprintf(engine->message, sizeof(engine->message), "not enough memory (limit %llu bytes)",
		(unsigned long long)engine->load->heap);
	int rc = failed(engine, RAMET_ELIMIT, ret_error);
	ret_error->leaves = renew(engine) < 0;
	return rc;
}

static int ended_badly(struct ramet_engine *engine, int rc, struct ramet_engine_error *ret_error)
{
	if (rc == LUA_ERRMEM)
		return out_of_memory(engine, ret_error);
	if (rc == LUA_ERRERR)
		snprintf(engine->message, sizeof(engine->message), "an error in an error");
	return failed(engine, engine->code ? engine->code : RAMET_EUSER, ret_error);
}

/* Left by force: nothing of the state is touched any more. */
static int jumped(struct ramet_engine *engine, struct ramet_engine_error *ret_error)
{
	engine->current->L = NULL;
	snprintf(engine->type, sizeof(engine->type), "LuaError");
	snprintf(engine->message, sizeof(engine->message), "the call was ended in compiled code");
	int rc = failed(engine, RAMET_EUSER, ret_error); /* the host says why it was ended */
	ret_error->leaves = true;
	return rc;
}

static int engine_call(struct ramet_engine *engine, const struct ramet_engine_call *call,
	struct ramet_engine_result *ret_result, struct ramet_engine_error *ret_error)
{
	struct lua_isolate *isolate = engine->isolates[call->function];
	engine->type[0] = engine->message[0] = engine->traceback[0] = '\0';
	engine->interrupts = engine->jumps = 0;
	engine->code = 0;
	engine->call = call;
	engine->current = isolate;
	engine->last = call->function;
	engine->renewed = false;
	int rc = lua_isolate_seed(isolate);
	if (rc == RAMET_ELIMIT)
		return out_of_memory(engine, ret_error);
	if (rc < 0) {
		snprintf(engine->message, sizeof(engine->message), "no new random numbers");
		return failed(engine, RAMET_EINTERNAL, ret_error);
	}
	if (sigsetjmp(engine->out, 0) != 0)
		return jumped(engine, ret_error);
	lua_rawgeti(isolate->L, LUA_REGISTRYINDEX, isolate->describe);
	lua_rawgeti(isolate->L, LUA_REGISTRYINDEX, isolate->run);
	rc = lua_pcall(isolate->L, 0, 1, 1);
	engine->jumps = 0;
	if (rc != 0)
		return ended_badly(engine, rc, ret_error);
	*ret_result = (struct ramet_engine_result){engine->data, engine->len, engine->binary};
	return 0;
}

static void engine_done(struct ramet_engine *engine)
{
	struct lua_isolate *isolate = engine->current;
	engine->current = NULL;
	json_decref(engine->input);
	json_decref(engine->output);
	free(engine->text);
	engine->input = engine->output = NULL;
	engine->text = NULL;
	if (isolate && isolate->L) {
		if (engine->interrupts > 0)
			lua_sethook(isolate->L, NULL, 0, 0);
		lua_settop(isolate->L, 0);
	}
	lua_isolate_destroy(engine->replaced);
	engine->replaced = NULL;
	if (__fpending(stdout) > 0)
		fflush(stdout);
}

static void stop(lua_State *L, lua_Debug *debug)
{
	(void)debug;
	luaL_error(L, "the call was ended");
}

static void engine_interrupt(struct ramet_engine *engine)
{
	if (!engine->current)
		return;
	if (engine->interrupts++ == 0) {
		lua_sethook(engine->current->L, stop,
			LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
	} else if (engine->jumps) {
		sigset_t ours;
		engine->jumps = 0;
		sigemptyset(&ours); /* the handler's own signal is blocked, and siglongjmp() leaves
				       it so */
		sigaddset(&ours, engine->signal);
		sigprocmask(SIG_UNBLOCK, &ours, NULL);
		siglongjmp(engine->out, 1);
	}
}

/* --- between calls --- */

static int engine_reset(struct ramet_engine *engine)
{
	return engine->renewed ? 0 : renew(engine);
}

static int engine_before_snapshot(struct ramet_engine *engine, struct ramet_err *err)
{
	(void)err;
	for (unsigned i = 0; i < engine->count; i++)
		(void)lua_gc(engine->isolates[i]->L, LUA_GCCOLLECT, 0);
	return 0;
}

/* An isolate takes what it needs of them at its next call: a clone has more of them than it uses.
 */
static int engine_after_clone(struct ramet_engine *engine,
	const unsigned char seed[RAMET_ENGINE_SEED_BYTES], struct ramet_err *err)
{
	(void)err;
	memcpy(engine->seed, seed, RAMET_ENGINE_SEED_BYTES);
	engine->epoch++;
	return 0;
}

static void engine_secrets(
	struct ramet_engine *engine, const struct ramet_engine_secret *secrets, unsigned count)
{
	engine->secrets = secrets;
	engine->nsecrets = count;
}

static void engine_stats(const struct ramet_engine *engine, struct ramet_engine_stats *ret_stats)
{
	*ret_stats = (struct ramet_engine_stats){.functions = engine->count};
	for (unsigned i = 0; i < engine->count; i++)
		ret_stats->bytes += engine->isolates[i]->used;
}

__attribute__((visibility("default"))) extern const struct ramet_engine_ops ramet_engine;
const struct ramet_engine_ops ramet_engine = {
	.name = "lua",
	.abi = RAMET_ENGINE_ABI,
	.init = engine_init,
	.load = engine_load,
	.call = engine_call,
	.done = engine_done,
	.interrupt = engine_interrupt,
	.before_snapshot = engine_before_snapshot,
	.after_clone = engine_after_clone,
	.secrets = engine_secrets,
	.reset = engine_reset,
	.stats = engine_stats,
};
