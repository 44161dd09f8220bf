/* Forks whose code was trained, and forks of two languages: apps/isolate.py; and Python
 * modules that are brought back: apps/module.py. */
#include "bench/isolate.h"

#include "base/cleanup.h"
#include "bench/invoke.h"

int isolate_module(struct ramet_err *err)
{
	static const struct invoke_row rows[] = {
		{"python_module_start", "us", "reset",
			"a new module, its code run in it, and the same call", "namespace"},
	};
	return invoke_script_on(1, "module.py", "", rows, ARRAY_LEN(rows), err);
}

int isolate_hot(struct ramet_err *err)
{
	static const struct invoke_row rows[] = {
		{"v8_hot_start", "us", "js_first", "the same function's steady state", "js_steady"},
		{"lua_hot_start", "us", "lua_first", "the same function's steady state",
			"lua_steady"},
		{"v8_untrained_start", "us", "js_untrained", "the same function's steady state",
			"js_steady"},
		{"lua_untrained_start", "us", "lua_untrained", "the same function's steady state",
			"lua_steady"},
	};
	return invoke_script_on(2, "isolate.py", "hot", rows, ARRAY_LEN(rows), err);
}

int isolate_density(struct ramet_err *err)
{
	static const struct invoke_row rows[] = {
		{"density", "B", "each", "a node of ours with the same 50 functions", "ours"},
		{"density_per_language", "B", "language",
			"a node of ours with the same 50 functions", "ours"},
	};
	return invoke_script_on(1, "density.py", "", rows, ARRAY_LEN(rows), err);
}

int isolate_tax(struct ramet_err *err)
{
	static const struct invoke_row rows[] = {
		{"polyglot_tax", "us", "poly", "a clone of a seed with Python alone", "python"},
	};
	return invoke_script_on(1, "isolate.py", "tax", rows, ARRAY_LEN(rows), err);
}
