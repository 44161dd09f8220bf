/* `context`, a handler's second argument: one object for each isolate, whose fields are looked up
 * in the call that runs. */
#include "runtime/lua/lua_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONTEXT "ramet.context"

static const struct ramet_engine_call *call_of(lua_State *L)
{
	const struct ramet_engine *engine = lua_isolate_of(L)->engine;
	if (!engine->current)
		luaL_error(L, "the call is over");
	return engine->call;
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- what it tells --- */

static void push_id(lua_State *L, const struct ramet_engine_context *context)
{
	char text[2 * RAMET_ENGINE_CALL_ID_BYTES + 1];
	for (unsigned i = 0; i < RAMET_ENGINE_CALL_ID_BYTES; i++)
		snprintf(text + 2 * (size_t)i, 3, "%02x", context->id[i]);
	lua_pushstring(L, text);
}

static void push_secrets(lua_State *L, const struct ramet_engine *engine)
{
	lua_newtable(L);
	for (unsigned i = 0; i < engine->nsecrets; i++) {
		lua_pushlstring(L, engine->secrets[i].value, engine->secrets[i].len);
		lua_setfield(L, -2, engine->secrets[i].name);
	}
}

/* seconds until the deadline; negative: it has passed */
static double remaining(const struct ramet_engine_context *context)
{
	return (double)context->deadline_ns / 1e9 - now();
}

/* nil where the call has none */
static void push_time(lua_State *L, const struct ramet_engine_context *context,
	double (*time)(const struct ramet_engine_context *))
{
	if (context->deadline_ns == 0)
		lua_pushnil(L);
	else
		lua_pushnumber(L, time(context));
}

static double deadline(const struct ramet_engine_context *context)
{
	return (double)context->deadline_ns / 1e9;
}

/* --- what is told before the end --- */

void lua_output(lua_State *L, int index, const char **ret_data, size_t *ret_len, bool *ret_binary)
{
	struct ramet_engine *engine = lua_isolate_of(L)->engine;
	if (lua_type(L, index) == LUA_TSTRING) {
		*ret_data = lua_tolstring(L, index, ret_len);
		json_t *text = engine->call->binary ? NULL : json_stringn(*ret_data, *ret_len);
		*ret_binary = !text;
		if (!text)
			return;
		json_decref(engine->output);
		engine->output = text;
	} else {
		json_decref(engine->output);
		engine->output = NULL;
		lua_json_take(L, index, &engine->output);
	}
	*ret_binary = false;
	free(engine->text);
	engine->text = json_dumps(engine->output, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!engine->text)
		luaL_error(L, "not enough memory");
	*ret_data = engine->text;
	*ret_len = strlen(engine->text);
}

static int tell(lua_State *L, const struct ramet_engine_event *event)
{
	const struct ramet_engine_call *call = call_of(L);
	struct ramet_err err;
	if (call->emit && call->emit(event, &err) < 0)
		return luaL_error(L, "%s", err.msg);
	return 0;
}

static int emit_guarded(lua_State *L)
{
	struct ramet_engine_event event = {0};
	const char *data;
	luaL_checkany(L, 1);
	(void)call_of(L);
	lua_output(L, 1, &data, &event.len, &event.binary);
	event.chunk = data;
	return tell(L, &event);
}

static int progress_guarded(lua_State *L)
{
	struct ramet_engine_event event = {.progress = true};
	event.fraction = luaL_checknumber(L, 1);
	event.text.data = luaL_optlstring(L, 2, "", &event.text.len);
	return tell(L, &event);
}

static int emit(lua_State *L)
{
	return lua_guard(L, emit_guarded);
}

static int progress(lua_State *L)
{
	return lua_guard(L, progress_guarded);
}

/* --- fields --- */

static int field(lua_State *L)
{
	static const char *const names[] = {"function", "version", "node", "rank", "size", "id",
		"deadline", "remaining", "cancelled", "listened", "secrets", "emit", "progress",
		NULL};
	enum {
		FUNCTION,
		VERSION,
		NODE,
		RANK,
		SIZE,
		ID,
		DEADLINE,
		REMAINING,
		CANCELLED,
		LISTENED,
		SECRETS,
		EMIT,
		PROGRESS
	};
	const struct ramet_engine_call *call = call_of(L);
	const struct ramet_engine_context *context = &call->context;
	switch (luaL_checkoption(L, 2, NULL, names)) {
	case FUNCTION:
		lua_pushstring(L, context->function);
		break;
	case VERSION:
		lua_pushstring(L, context->version);
		break;
	case NODE:
		lua_pushnumber(L, (double)context->node);
		break;
	case RANK:
		lua_pushnumber(L, (double)context->rank);
		break;
	case SIZE:
		lua_pushnumber(L, (double)context->size);
		break;
	case ID:
		push_id(L, context);
		break;
	case DEADLINE:
		push_time(L, context, deadline);
		break;
	case REMAINING:
		push_time(L, context, remaining);
		break;
	case CANCELLED:
		lua_pushboolean(L, context->deadline_ns != 0 && remaining(context) <= 0);
		break;
	case LISTENED:
		lua_pushboolean(L, call->emit != NULL);
		break;
	case SECRETS:
		push_secrets(L, lua_isolate_of(L)->engine);
		break;
	case EMIT:
		lua_pushcfunction(L, emit);
		break;
	default:
		lua_pushcfunction(L, progress);
	}
	return 1;
}

static int fixed(lua_State *L)
{
	return luaL_error(L, "context cannot be changed");
}

void lua_context_open(lua_State *L)
{
	lua_newuserdata(L, 1);
	lua_newtable(L);
	lua_pushcfunction(L, field);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, fixed);
	lua_setfield(L, -2, "__newindex");
	lua_pushliteral(L, "context");
	lua_setfield(L, -2, "__metatable"); /* what getmetatable() gives */
	lua_setmetatable(L, -2);
	lua_setfield(L, LUA_REGISTRYINDEX, CONTEXT);
}

void lua_context_push(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, CONTEXT);
}
