-- The functions of engine_cases.h.
local calls, kept = 0, {}
local f = {}

function f.echo(event)
	return event
end

function f.count()
	calls = calls + 1
	return calls
end

function f.total()
	return calls
end

function f.fail()
	local function inner()
		error("no luck today")
	end
	inner()
end

function f.spin()
	local x = 0
	while true do
		x = x + 1
	end
end

function f.hoard(event)
	kept = {}
	for i = 1, event do
		kept[i] = ("x"):rep(1000) .. i
	end
	return #kept
end

function f.large(event)
	return ("x"):rep(event)
end

function f.deep()
	local function down(n)
		return 1 + down(n + 1)
	end
	return down(1)
end

function f.draw()
	return math.random()
end

function f.now()
	return os.time()
end

function f.tell(event, context)
	for i = 1, event do
		context.emit(i)
	end
	return "told"
end

function f.loop(event)
	local s = 0
	for i = 1, event do
		s = (s + i * i) % 1000003
	end
	return s
end

return f
