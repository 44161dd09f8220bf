/* Code that a deadline must not jump out of. A loop that LuaJIT has compiled looks at no hook, so a
 * deadline leaves it by siglongjmp(), and the process with it (lua_engine.c). That is safe as long
 * as nothing but Lua's own state, which is never used again, is in the midst of a change. */
#include "runtime/lua/lua_internal.h"

int lua_guard(lua_State *L, lua_CFunction fn)
{
	struct ramet_engine *engine = lua_isolate_of(L)->engine;
	sig_atomic_t jumps = engine->jumps;
	engine->jumps = 0;
	lua_pushcfunction(L, fn);
	lua_insert(L, 1);
	int rc = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
	engine->jumps = jumps;
	return rc != 0 ? lua_error(L) : lua_gettop(L);
}

/* the function is the first upvalue */
static int call_wrapped(lua_State *L)
{
	struct ramet_engine *engine = lua_isolate_of(L)->engine;
	sig_atomic_t jumps = engine->jumps;
	engine->jumps = 0;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	int rc = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
	engine->jumps = jumps;
	return rc != 0 ? lua_error(L) : lua_gettop(L);
}

void lua_guard_wrap(lua_State *L)
{
	lua_pushcclosure(L, call_wrapped, 1);
}
