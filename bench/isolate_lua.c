/* Lua: isolates of engine_lua.so beside bare states of the same LuaJIT. */
#include "bench/isolate.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define FILE_NAME "isolate.lua"

static void close_state(lua_State **L)
{
	if (*L)
		lua_close(*L);
}

static int lua_failed(lua_State *L, struct ramet_err *err)
{
	const char *text = lua_tostring(L, -1);
	return err_set(err, RAMET_EUSER, "bare LuaJIT: %s", text ? text : "an error");
}

/* a state with its libraries and the file; the function is on its stack */
static int open_bare(const char *symbol, lua_State **ret, struct ramet_err *err)
{
	*ret = luaL_newstate();
	if (!*ret)
		return err_nomem(err);
	luaL_openlibs(*ret);
	if (luaL_loadfile(*ret, BENCH_APPS "/" FILE_NAME) != 0 || lua_pcall(*ret, 0, 1, 0) != 0)
		return lua_failed(*ret, err);
	lua_getfield(*ret, -1, symbol);
	return 0;
}

static int call_bare(lua_State *L, double input, double *ret_output, struct ramet_err *err)
{
	lua_pushvalue(L, -1);
	lua_pushnumber(L, input);
	if (lua_pcall(L, 1, 1, 0) != 0)
		return lua_failed(L, err);
	*ret_output = lua_tonumber(L, -1);
	lua_pop(L, 1);
	return 0;
}

static int run_bare(const char *symbol, double input, double *ret_output, struct ramet_err *err)
{
	CLEANUP(close_state) lua_State *L = NULL;
	int rc = open_bare(symbol, &L, err);
	return rc < 0 ? rc : call_bare(L, input, ret_output, err);
}

static int bare_one(
	const char *symbol, double input, double *ret_output, double *ret_us, struct ramet_err *err)
{
	uint64_t begin = now_ns();
	int rc = run_bare(symbol, input, ret_output, err);
	*ret_us = (double)(now_ns() - begin) / 1e3;
	return rc;
}

static int bare_many(
	const char *symbol, double input, unsigned calls, double *ret_us, struct ramet_err *err)
{
	CLEANUP(close_state) lua_State *L = NULL;
	double output = 0;
	int rc = open_bare(symbol, &L, err);
	for (unsigned i = 0; rc == 0 && i < calls; i++) /* compiled, as ours is by then */
		rc = call_bare(L, input, &output, err);
	uint64_t begin = now_ns();
	for (unsigned i = 0; rc == 0 && i < calls; i++)
		rc = call_bare(L, input, &output, err);
	*ret_us = (double)(now_ns() - begin) / 1e3 / calls;
	return rc;
}

static const struct isolate_bare bare = {.label = "lua",
	.what = "luaL_newstate(), openlibs, the same file loaded, its echo of a number, "
		"lua_close()",
	.one = bare_one,
	.many = bare_many};

int isolate_lua(struct ramet_err *err)
{
	static struct plugin plugin;
	static const struct plugin_app app = {
		.dir = BENCH_APPS,
		.handlers = {FILE_NAME ":echo", FILE_NAME ":sum"},
		.count = 2,
	};
	static const struct isolate_idle idle = {
		"lua", "lua", BENCH_APPS, FILE_NAME ":echo", NULL, 1000};
	int rc = isolate_idle(&idle, err);
	if (rc == 0)
		rc = plugin_open("lua", &app, &plugin, err);
	if (rc < 0)
		return rc;
	rc = isolate_start(&plugin, &bare, err);
	return rc < 0 ? rc : isolate_calls(&plugin, &bare, err);
}
