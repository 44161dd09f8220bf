/* JSON and Lua values, by jansson. null is json.null, since nil leaves no trace in a table; an
 * array carries a metatable, so that an empty one stays one. */
#include "runtime/lua/lua_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 512
#define EXACT 9007199254740992.0 /* 2^53: up to here a number is the integer that it looks like */
#define ARRAY "ramet.array"

/* --- from JSON --- */

static void push_depth(lua_State *L, const json_t *value, int depth);

static void push_array(lua_State *L, const json_t *value, int depth)
{
	size_t count = json_array_size(value);
	lua_createtable(L, count < 1u << 20 ? (int)count : 0, 0);
	luaL_getmetatable(L, ARRAY);
	lua_setmetatable(L, -2);
	for (size_t i = 0; i < count; i++) {
		push_depth(L, json_array_get(value, i), depth);
		lua_rawseti(L, -2, (int)i + 1);
	}
}

static void push_object(lua_State *L, const json_t *value, int depth)
{
	lua_newtable(L);
	for (void *at = json_object_iter((json_t *)value); at;
		at = json_object_iter_next((json_t *)value, at)) {
		/* no NUL: what has one is refused when it is read */
		lua_pushstring(L, json_object_iter_key(at));
		push_depth(L, json_object_iter_value(at), depth);
		lua_rawset(L, -3);
	}
}

static void push_depth(lua_State *L, const json_t *value, int depth)
{
	if (depth == DEPTH_MAX || !lua_checkstack(L, 6))
		luaL_error(L, "the input is nested more than %d deep", DEPTH_MAX);
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		push_object(L, value, depth + 1);
		return;
	case JSON_ARRAY:
		push_array(L, value, depth + 1);
		return;
	case JSON_STRING:
		lua_pushlstring(L, json_string_value(value), json_string_length(value));
		return;
	case JSON_INTEGER:
	case JSON_REAL:
		lua_pushnumber(L, json_number_value(value));
		return;
	case JSON_TRUE:
	case JSON_FALSE:
		lua_pushboolean(L, json_is_true(value));
		return;
	default:
		lua_pushlightuserdata(L, NULL);
	}
}

void lua_json_push(lua_State *L, const json_t *value)
{
	push_depth(L, value, 0);
}

/* --- to JSON --- */

/* Where a value goes: to the end of an array, under a key of an object, or to the root. Each is
 * there before it is filled: an error that is raised midway loses nothing. */
struct place {
	json_t *in;
	const char *key;
	json_t **root;
};

static json_t *put(lua_State *L, const struct place *place, json_t *made)
{
	int rc = made ? 0 : -1;
	if (rc == 0 && place->root)
		*place->root = made;
	else if (rc == 0 && place->key)
		rc = json_object_set_new(place->in, place->key, made);
	else if (rc == 0)
		rc = json_array_append_new(place->in, made);
	if (rc < 0)
		luaL_error(L, "not enough memory, or a key that is not UTF-8");
	return made;
}

static void take(lua_State *L, int index, const struct place *place, int depth);

/* 1 to n, and nothing else: n; or -1 */
static long length_of_array(lua_State *L, int index)
{
	long count = 0;
	long length = (long)lua_objlen(L, index);
	bool marked = false;
	if (lua_getmetatable(L, index)) {
		luaL_getmetatable(L, ARRAY);
		marked = lua_rawequal(L, -1, -2);
		lua_pop(L, 2);
	}
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pop(L, 1);
		count++;
		if (lua_type(L, -1) != LUA_TNUMBER || lua_tonumber(L, -1) < 1 ||
			lua_tonumber(L, -1) > (double)length ||
			lua_tonumber(L, -1) != floor(lua_tonumber(L, -1))) {
			lua_pop(L, 1);
			return -1;
		}
	}
	return count == length && (count > 0 || marked) ? count : -1;
}

static void take_object(lua_State *L, int index, json_t *into, int depth)
{
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pushvalue(L, -2); /* the key itself must not become a string */
		size_t len;
		const char *key = lua_isboolean(L, -1) ? NULL : lua_tolstring(L, -1, &len);
		if (!key || strlen(key) != len)
			luaL_error(L, "a key of type %s is not for JSON",
				lua_typename(L, lua_type(L, -1)));
		const struct place place = {.in = into, .key = key};
		take(L, lua_gettop(L) - 1, &place, depth);
		lua_pop(L, 2);
	}
}

static void take_table(lua_State *L, int index, const struct place *place, int depth)
{
	long count = length_of_array(L, index);
	json_t *made = put(L, place, count >= 0 ? json_array() : json_object());
	if (count < 0)
		take_object(L, index, made, depth);
	for (long i = 1; i <= count; i++) {
		const struct place item = {.in = made};
		lua_rawgeti(L, index, (int)i);
		take(L, lua_gettop(L), &item, depth);
		lua_pop(L, 1);
	}
}

static json_t *number(lua_State *L, double value)
{
	if (isnan(value) || isinf(value))
		luaL_error(L, "%f is not for JSON", value);
	return value == floor(value) && fabs(value) <= EXACT ? json_integer((json_int_t)value)
							     : json_real(value);
}

static json_t *string(lua_State *L, int index)
{
	size_t len;
	const char *data = lua_tolstring(L, index, &len);
	json_t *made = json_stringn(data, len);
	if (!made)
		luaL_error(L, "a string that is not UTF-8 is not for JSON");
	return made;
}

static void take(lua_State *L, int index, const struct place *place, int depth)
{
	if (depth == DEPTH_MAX || !lua_checkstack(L, 8))
		luaL_error(L, "the output is nested more than %d deep", DEPTH_MAX);
	switch (lua_type(L, index)) {
	case LUA_TTABLE:
		take_table(L, index, place, depth + 1);
		return;
	case LUA_TSTRING:
		put(L, place, string(L, index));
		return;
	case LUA_TNUMBER:
		put(L, place, number(L, lua_tonumber(L, index)));
		return;
	case LUA_TBOOLEAN:
		put(L, place, json_boolean(lua_toboolean(L, index)));
		return;
	case LUA_TLIGHTUSERDATA:
	case LUA_TNIL:
	case LUA_TNONE:
		put(L, place, json_null());
		return;
	default:
		luaL_error(L, "a %s is not for JSON", luaL_typename(L, index));
	}
}

void lua_json_take(lua_State *L, int index, json_t **root)
{
	const struct place place = {.root = root};
	take(L, index > 0 ? index : lua_gettop(L) + 1 + index, &place, 0);
}

/* --- for functions --- */

static json_t **engine_root(lua_State *L)
{
	struct ramet_engine *engine = lua_isolate_of(L)->engine;
	json_decref(engine->output);
	engine->output = NULL;
	return &engine->output;
}

static int encode_guarded(lua_State *L)
{
	json_t **root = engine_root(L);
	luaL_checkany(L, 1);
	lua_json_take(L, 1, root);
	char *text = json_dumps(*root, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!text)
		return luaL_error(L, "not enough memory");
	lua_pushstring(
		L, text); /* if that raises an error, the call has failed for want of memory */
	free(text);
	return 1;
}

static int decode_guarded(lua_State *L)
{
	json_error_t error;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	json_t **root = engine_root(L);
	*root = json_loadb(text, len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
	if (!*root)
		return luaL_error(L, "%s, at byte %d", error.text, error.position);
	lua_json_push(L, *root);
	return 1;
}

static int encode(lua_State *L)
{
	return lua_guard(L, encode_guarded);
}

static int decode(lua_State *L)
{
	return lua_guard(L, decode_guarded);
}

static int array(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	luaL_getmetatable(L, ARRAY);
	lua_setmetatable(L, 1);
	return 1;
}

void lua_json_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"array", array}, {"encode", encode}, {"decode", decode}, {NULL, NULL}};
	luaL_newmetatable(L, ARRAY);
	lua_pop(L, 1);
	luaL_register(L, "json", functions);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	lua_pop(L, 1);
}
