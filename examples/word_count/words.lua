-- How many words a text has.
local f = {}

function f.count(event)
	local n = 0
	for _ in event:gmatch("%S+") do
		n = n + 1
	end
	return n
end

return f
