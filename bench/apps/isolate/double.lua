return {
	handler = function(event)
		return event * 2
	end,
}
