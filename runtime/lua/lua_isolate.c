/* An isolate: a Lua state of its own, with an arena of its own, a part of the library, and one
 * function. */
#include "base/splitmix.h"
#include "runtime/lua/lua_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HANDLER "ramet.handler"
#define SEED "ramet.randomseed" /* math.randomseed, whatever functions make of theirs */
#define FILES "ramet.files"
#define PATH_CAP 4096

struct lua_isolate *lua_isolate_of(lua_State *L)
{
	void *isolate;
	(void)lua_getallocf(L, &isolate);
	return isolate;
}

static const struct ramet_engine_function *function_of(const struct lua_isolate *isolate)
{
	return &isolate->engine->load->functions[isolate->index];
}

/* --- the library --- */

/* a name's path below the application's directory, dots being slashes; false: it does not fit */
static bool module_path(const char *dir, const char *name, const char *end, char path[PATH_CAP])
{
	int len = snprintf(path, PATH_CAP, "%s/%s%s", dir, name, end);
	size_t from = strlen(dir) + 1;
	for (size_t i = from; len < PATH_CAP && i < from + strlen(name); i++)
		if (path[i] == '.')
			path[i] = '/';
	return len < PATH_CAP;
}

/* Text only: compiled code is not checked by LuaJIT, and could reach other isolates. A file that is
 * not there leaves the stack as it was, and is 0. */
static int load_text(lua_State *L, const char *path, const char *shown)
{
	char name[PATH_CAP];
	FILE *file = fopen(path, "re");
	struct stat stat;
	if (!file || fstat(fileno(file), &stat) < 0 || !S_ISREG(stat.st_mode)) {
		if (file)
			fclose(file);
		return 0;
	}
	char *text = malloc((size_t)stat.st_size + 1);
	size_t len = text ? fread(text, 1, (size_t)stat.st_size, file) : 0;
	fclose(file);
	snprintf(name, sizeof(name), "@%s", shown);
	int rc = text ? luaL_loadbufferx(L, text, len, name, "t") : LUA_ERRMEM;
	free(text);
	if (!text)
		lua_pushliteral(L, "not enough memory");
	return rc == 0 ? 1 : -1;
}

/* the application's modules; the first argument is the name */
static int search_guarded(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	const char *dir = lua_isolate_of(L)->engine->dir;
	static const char *const ends[] = {".lua", "/init.lua"};
	char path[PATH_CAP];
	for (unsigned i = 0; i < 2; i++) {
		if (!module_path(dir, name, ends[i], path))
			continue;
		int rc = load_text(L, path, path + strlen(dir) + 1);
		if (rc < 0)
			return lua_error(L);
		if (rc > 0)
			return 1;
	}
	lua_pushfstring(L, "\n\tno file '%s.lua' or '%s/init.lua' in the application", name, name);
	return 1;
}

static int search(lua_State *L)
{
	return lua_guard(L, search_guarded);
}

static int print_guarded(lua_State *L)
{
	int count = lua_gettop(L);
	for (int i = 1; i <= count; i++) {
		size_t len;
		lua_getglobal(L, "tostring");
		lua_pushvalue(L, i);
		lua_call(L, 1, 1);
		const char *text = lua_tolstring(L, -1, &len);
		if (!text)
			return luaL_error(L, "'tostring' must return a string to 'print'");
		if (i > 1)
			putchar('\t');
		fwrite(text, 1, len, stdout);
		lua_pop(L, 1);
	}
	putchar('\n');
	return 0;
}

static int print(lua_State *L)
{
	return lua_guard(L, print_guarded);
}

/* load() and loadstring() of text alone */
static const char text_only[] =
	"local load, select, type, error = load, select, type, error\n"
	"local function text(chunk, name, _, ...)\n"
	"	if select('#', ...) > 0 then return load(chunk, name, 't', (...)) end\n"
	"	return load(chunk, name, 't')\n"
	"end\n"
	"_G.load = text\n"
	"function loadstring(chunk, name)\n"
	"	if type(chunk) ~= 'string' then error('a string is expected', 2) end\n"
	"	return load(chunk, name, 't')\n"
	"end\n";

static void remove_fields(lua_State *L, const char *table, const char *const *names)
{
	lua_getglobal(L, table);
	for (; *names; names++) {
		lua_pushnil(L);
		lua_setfield(L, -2, *names);
	}
	lua_pop(L, 1);
}

static void keep_field(lua_State *L, const char *from, const char *name)
{
	lua_getglobal(L, from);
	lua_newtable(L);
	lua_getfield(L, -2, name);
	lua_setfield(L, -2, name);
	lua_setglobal(L, from);
	lua_pop(L, 1);
}

/* what takes a lock of the C library: that of time zones */
static void guard_time(lua_State *L)
{
	static const char *const names[] = {"date", "time"};
	lua_getglobal(L, "os");
	for (unsigned i = 0; i < 2; i++) {
		lua_getfield(L, -1, names[i]);
		lua_guard_wrap(L);
		lua_setfield(L, -2, names[i]);
	}
	lua_pop(L, 1);
}

static void forget(lua_State *L, const char *table, const char *const *names)
{
	lua_getfield(L, LUA_REGISTRYINDEX, table);
	for (; *names; names++) {
		lua_pushnil(L);
		lua_setfield(L, -2, *names);
	}
	lua_pop(L, 1);
}

static void open_modules(lua_State *L)
{
	static const char *const none[] = {"loadlib", "seeall", "cpath", "path", NULL};
	remove_fields(L, "package", none);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "loaders");
	lua_newtable(L); /* those of its own, then the application's files */
	lua_rawgeti(L, -2, 1);
	lua_rawseti(L, -2, 1);
	lua_pushcfunction(L, search);
	lua_rawseti(L, -2, 2);
	/* in place: require() holds the table itself */
	for (int i = 1; i <= 4; i++) {
		lua_rawgeti(L, -1, i);
		lua_rawseti(L, -3, i);
	}
	lua_pop(L, 3);
	forget(L, "_LOADED", (const char *const[]){"io", "debug", NULL});
	forget(L, "_PRELOAD", (const char *const[]){"ffi", "jit.util", "jit.profile", NULL});
}

/* No files, no processes, no memory by address: what an isolate could reach another one by. */
static void open_library(lua_State *L)
{
	static const char *const files[] = {"dofile", "loadfile", NULL};
	/* code that runs when memory is freed, whoever waits for that */
	static const char *const finalizers[] = {"newproxy", NULL};
	static const char *const processes[] = {
		"execute", "exit", "remove", "rename", "setlocale", "tmpname", NULL};
	static const char *const compiled[] = {"dump", NULL};
	luaL_openlibs(L); /* with the compiler */
	remove_fields(L, "_G", files);
	remove_fields(L, "_G", finalizers);
	remove_fields(L, "os", processes);
	remove_fields(L, "string", compiled);
	keep_field(L, "debug", "traceback");
	lua_pushnil(L);
	lua_setglobal(L, "io");
	open_modules(L);
	guard_time(L);
	lua_register(L, "print", print);
	lua_getglobal(L, "math");
	lua_getfield(L, -1, "randomseed");
	lua_setfield(L, LUA_REGISTRYINDEX, SEED);
	lua_pop(L, 1);
	if (luaL_loadbuffer(L, text_only, sizeof(text_only) - 1, "=load") != 0)
		lua_error(L);
	lua_call(L, 0, 0);
	lua_json_open(L);
	lua_context_open(L);
}

/* --- the function --- */

/* pushes what the file's chunk returned, which runs once */
static void push_file(lua_State *L, const char *dir, const char *file)
{
	char path[PATH_CAP];
	luaL_findtable(L, LUA_REGISTRYINDEX, FILES, 1);
	lua_getfield(L, -1, file);
	if (!lua_isnil(L, -1))
		return;
	lua_pop(L, 1);
	int rc = snprintf(path, sizeof(path), "%s/%s", dir, file) < (int)sizeof(path)
		? load_text(L, path, file)
		: 0;
	if (rc == 0)
		luaL_error(L, "%s cannot be read", file);
	if (rc < 0)
		lua_error(L);
	lua_call(L, 0, 1);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, file);
}

/* Pushes the function that "file.lua:symbol" names: the file's chunk returns it, or a table with
 * it. */
static void push_named(lua_State *L, const char *dir, const char *named)
{
	char file[PATH_CAP];
	const char *colon = strrchr(named, ':');
	if (!colon || colon[1] == '\0' || colon - named >= (ptrdiff_t)sizeof(file))
		luaL_error(L, "%s is not of the form \"file.lua:symbol\"", named);
	snprintf(file, sizeof(file), "%.*s", (int)(colon - named), named);
	push_file(L, dir, file);
	if (lua_istable(L, -1))
		lua_getfield(L, -1, colon + 1);
	if (!lua_isfunction(L, -1))
		luaL_error(L, "%s returns neither a function nor a table with a function %s", file,
			colon + 1);
}

static void open_handler(lua_State *L, const struct lua_isolate *isolate)
{
	const struct ramet_engine *engine = isolate->engine;
	push_named(L, engine->dir, function_of(isolate)->handler);
	lua_setfield(L, LUA_REGISTRYINDEX, HANDLER);
	if (!engine->load->init)
		return;
	push_named(L, engine->dir, engine->load->init);
	lua_call(L, 0, 0);
}

void lua_isolate_handler(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, HANDLER);
}

/* --- making and freeing --- */

static int seed(lua_State *L)
{
	struct ramet_engine *engine = lua_isolate_of(L)->engine;
	uint64_t bits;
	memcpy(&bits, engine->seed, sizeof(bits));
	bits = splitmix(splitmix(bits) ^ ++engine->given);
	lua_getfield(L, LUA_REGISTRYINDEX, SEED);
	lua_pushnumber(L, (double)(bits >> 11)); /* what a number can hold */
	lua_call(L, 1, 0);
	return 0;
}

static int keep(lua_State *L, lua_CFunction function)
{
	lua_pushcfunction(L, function);
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* What is called later lies ready: outside a protected call, nothing may allocate. */
static int open_all(lua_State *L)
{
	struct lua_isolate *isolate = lua_isolate_of(L);
	open_library(L);
	isolate->run = keep(L, lua_run_call);
	isolate->describe = keep(L, lua_describe_error);
	isolate->seed = keep(L, seed);
	open_handler(L, isolate);
	return 0;
}

static int traceback(lua_State *L)
{
	if (lua_isstring(L, 1))
		luaL_traceback(L, L, lua_tostring(L, 1), 1);
	else
		lua_pushliteral(L, "an error that is no text");
	return 1;
}

/* in a protected call; raises what went wrong, with where that was */
static int open_traced(lua_State *L)
{
	lua_settop(L, 0);
	lua_pushcfunction(L, traceback);
	lua_pushcfunction(L, open_all);
	return lua_pcall(L, 0, 0, 1) != 0 ? lua_error(L) : 0;
}

static int load_isolate(struct lua_isolate *isolate)
{
	struct ramet_engine *engine = isolate->engine;
	int rc = lua_cpcall(isolate->L, open_traced, NULL);
	if (rc != 0) {
		const char *why = lua_tostring(isolate->L, -1);
		snprintf(engine->message, sizeof(engine->message), "function %s: %s",
			function_of(isolate)->name, why ? why : "an error that is no text");
	}
	lua_settop(isolate->L, 0);
	return rc == 0 ? 0 : rc == LUA_ERRMEM ? RAMET_ELIMIT : RAMET_EUSER;
}

int lua_isolate_create(
	struct ramet_engine *engine, unsigned index, struct lua_isolate **ret_isolate)
{
	lua_State *L = luaL_newstate();
	struct lua_isolate *isolate = calloc(1, sizeof(*isolate));
	if (!L || !isolate) {
		snprintf(engine->message, sizeof(engine->message), "no memory for a Lua state");
		if (L)
			lua_close(L);
		free(isolate);
		return RAMET_ENOMEM;
	}
	*isolate = (struct lua_isolate){.engine = engine, .index = index, .L = L};
	lua_heap_open(isolate);
	int rc = load_isolate(isolate);
	if (rc < 0)
		lua_isolate_destroy(isolate);
	else
		*ret_isolate = isolate;
	return rc;
}

void lua_isolate_destroy(struct lua_isolate *isolate)
{
	if (!isolate)
		return;
	if (isolate->L) {
		lua_heap_close(isolate);
		lua_close(isolate->L);
	}
	free(isolate);
}

int lua_isolate_seed(struct lua_isolate *isolate)
{
	lua_State *L = isolate->L;
	if (isolate->epoch == isolate->engine->epoch)
		return 0;
	lua_rawgeti(L, LUA_REGISTRYINDEX, isolate->seed);
	int rc = lua_pcall(L, 0, 0, 0);
	lua_settop(L, 0);
	isolate->epoch = isolate->engine->epoch;
	return rc == 0 ? 0 : rc == LUA_ERRMEM ? RAMET_ELIMIT : RAMET_EUSER;
}
