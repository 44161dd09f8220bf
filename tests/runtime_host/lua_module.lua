-- what lua_functions.lua requires
return { word = "module" }
