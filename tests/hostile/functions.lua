-- A function that does what its input says, "kind id": well, or harm. See functions.c. It cannot count itself where a
-- test would see it: it has no memory but its own.
local function recursion(n)
	return 1 + recursion(n + 1)
end

local kinds = {
	good = function() end,
	loop = function()
		while true do end
	end,
	-- interpreted, and swallows what is raised
	stubborn = function()
		while true do
			pcall(function()
				while true do
					string.format("%d", 1)
				end
			end)
		end
	end,
	memory = function()
		local kept = {}
		for i = 1, 2 ^ 20 do
			kept[i] = ("x"):rep(1024) .. i
		end
	end,
	recursion = function()
		return recursion(1)
	end,
	print = function()
		for _ = 1, 4096 do
			print(("x"):rep(1023))
		end
	end,
	-- a pattern that goes back over what it had for ever
	pattern = function()
		return (("a"):rep(100000)):find((".-"):rep(30) .. "b")
	end,
	-- what all functions of the isolate share is spoilt
	spoil = function()
		string.format = nil
		string.rep = function() error("spoilt") end
		getmetatable("").__index = function() error("spoilt") end
		local all = _G
		for name in next, all do
			all[name] = nil
		end
	end,
	-- what isolates are kept from
	escape = function()
		local found = {}
		for name, value in pairs({ io = io, ffi = package and package.loaded.ffi, dofile = dofile, loadfile = loadfile,
			execute = os and os.execute, getregistry = debug and debug.getregistry, dump = string and string.dump,
			loadlib = package and package.loadlib, newproxy = newproxy }) do
			found[#found + 1] = name
		end
		if pcall(require, "ffi") or pcall(require, "io") then
			found[#found + 1] = "require"
		end
		local bytecode = load("\27LJ\2\0\0")
		if bytecode then
			found[#found + 1] = "bytecode"
		end
		assert(#found == 0, table.concat(found, " "))
	end,
}

return function(event)
	local kind, number = event:match("(%a+) (%d+)")
	if kind == "output" then
		return ("x"):rep(2 * 2 ^ 20)
	end
	if kind == "raise" then
		error("no " .. number)
	end
	local result = tonumber(number)
	kinds[kind]()
	return result
end
