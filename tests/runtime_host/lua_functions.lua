-- Functions that test_lua.c calls.
local module = require("lua_module")
local calls = 0
shared = "as it was"
math.randomseed = function() end -- clones differ nevertheless

local f = {}

function f.same(event)
	return event
end

function f.count()
	calls = calls + 1
	return calls
end

function f.required()
	return module.word
end

function f.empty()
	return { list = json.array({}), table = {}, null = json.null, text = json.encode(json.decode("[1,[]]")) }
end

function f.fail(event)
	local function inner()
		error("no luck today")
	end
	inner()
end

function f.raise_table()
	error({ code = 7 })
end

-- is compiled: looks at no hook
function f.spin()
	local x = 0
	while true do
		x = x + 1
	end
end

-- is interpreted, and swallows what is raised
function f.stubborn()
	while true do
		pcall(function()
			while true do
				string.format("%d", 1)
			end
		end)
	end
end

function f.interpreted()
	jit.off(true, true)
	local x = 0
	while true do
		x = x + 1
	end
end

function f.bomb(event)
	return string.rep("a", 30000):find(string.rep("a*", 30) .. "b")
end

function f.deep(event)
	local function down(n)
		return 1 + down(n + 1)
	end
	return down(1)
end

function f.spoil()
	shared = "spoilt"
	string.format = nil
	getmetatable("").__index.upper = function()
		return "spoilt"
	end
	return shared
end

function f.look()
	return { shared, string.format ~= nil, ("a"):upper() }
end

function f.random()
	return math.random(1, 2 ^ 31)
end

function f.context(event, context)
	return {
		context["function"], context.version, context.node, context.rank, context.size, context.id,
		context.remaining ~= nil, context.cancelled, context.listened,
	}
end

function f.reach()
	local found = {}
	for _, name in ipairs({ "io", "ffi", "debug", "jit.util", "package.loadlib" }) do
		local ok, what = pcall(require, name)
		found[#found + 1] = ok and type(what) == "table" and name or nil
	end
	for _, name in ipairs({ "dofile", "loadfile", "io", "newproxy" }) do
		found[#found + 1] = _G[name] and name or nil
	end
	for _, name in ipairs({ "execute", "exit", "remove", "rename", "tmpname" }) do
		found[#found + 1] = os[name] and name
	end
	found[#found + 1] = package.loadlib and "loadlib"
	found[#found + 1] = string.dump and "dump"
	local compiled = "\27LJ\2\0"
	found[#found + 1] = load(compiled) and "load"
	found[#found + 1] = loadstring(compiled) and "loadstring"
	found[#found + 1] = load("return 1", "x", "b")() ~= 1 and "mode" or nil
	return json.array(found)
end

function f.environment()
	return os.getenv("COLOUR") .. os.date("!%Y", 0)
end

function f.bytes(event)
	return event .. "\0\255"
end

function f.loop_sum(event)
	local sum = 0
	for i = 1, event do
		sum = sum + i % 7
	end
	return sum
end

return f
