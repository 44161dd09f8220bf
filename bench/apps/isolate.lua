-- What `bench/run isolate` starts isolates of, here and in the bare LuaJIT.
local function sum(n)
    local s = 0
    for i = 1, n do s = (s + i * i) % 1000003 end
    return s
end

return {
    echo = function(event) return event end,
    sum = function(event) return sum(event) end,
}
