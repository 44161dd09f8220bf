/* What is measured in a cluster as anybody has one: memory of resident functions, first calls on
 * another node. Scripts of apps/ take the samples. */
#include "bench/invoke.h"
#include "bench/isolate.h"

#include "base/cleanup.h"

int isolate_density(struct ramet_err *err)
{
	static const struct invoke_row rows[] = {
		{"density", "1/GiB", "ours", "a process each", "each"},
		{"density_per_language", "1/GiB", "ours",
			"a process for each language, holding its functions", "language"},
	};
	const struct invoke_run run = {"density.py", "", 1, rows, ARRAY_LEN(rows), false};
	return invoke_script_run(&run, err);
}

int isolate_hot(struct ramet_err *err)
{
	static const char steady[] = "calls after it in the same instance";
	static const struct invoke_row rows[] = {
		{"lua_hot_start", "us", "lua_trained", steady, "lua_trained_steady"},
		{"lua_untrained_start", "us", "lua_untrained", steady, "lua_untrained_steady"},
		{"lua_untrained_local", "us", "lua_local", steady, "lua_local_steady"},
		{"v8_hot_start", "us", "js_trained", steady, "js_trained_steady"},
		{"v8_untrained_start", "us", "js_untrained", steady, "js_untrained_steady"},
		{"v8_untrained_local", "us", "js_local", steady, "js_local_steady"},
	};
	const struct invoke_run run = {"hot_start.py", "", 2, rows, ARRAY_LEN(rows), true};
	return invoke_script_run(&run, err);
}
