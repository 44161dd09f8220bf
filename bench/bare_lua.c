/* LuaJIT as it is: a state with the whole library, the file run, its function called. */
#include "bench/isolate.h"

#include "base/clock.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

static int one(const char *file)
{
	lua_State *L = luaL_newstate(); /* it stays */
	if (!L)
		return RAMET_ENOMEM;
	luaL_openlibs(L);
	if (luaL_dofile(L, file) != 0)
		return RAMET_EIO;
	lua_getfield(L, -1, "handler");
	lua_pushnumber(L, 21);
	if (lua_pcall(L, 1, 1, 0) != 0)
		return RAMET_EIO;
	return strcmp(lua_tostring(L, -1), ISOLATE_OUTPUT) == 0 ? 0 : RAMET_EIO;
}

int bare_lua(const char *dir, unsigned count, double *ret_ns)
{
	char file[512];
	int rc = 0;
	snprintf(file, sizeof(file), "%s/double.lua", dir);
	uint64_t begin = now_ns();
	for (unsigned i = 0; rc == 0 && i < count; i++)
		rc = one(file);
	*ret_ns = (double)(now_ns() - begin) / count;
	return rc;
}
