/* bench/run isolate: what languages cost here. */
#include "bench/cases.h"
#include "bench/isolate.h"

#include "base/cleanup.h"

#ifndef BENCH_LUA
int isolate_lua(struct ramet_err *err)
{
	(void)err;
	report_note("lua: skipped: built without LuaJIT");
	return 0;
}
#endif

#ifndef BENCH_WASM
int isolate_wasm(struct ramet_err *err)
{
	(void)err;
	report_note("wasm_start: skipped: built without wat2wasm, wasm2c and its runtime (package "
		    "wabt)");
	return 0;
}
#endif

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {{.name = "lua", .fn = isolate_lua},
		{.name = "wasm", .fn = isolate_wasm}, {.name = "v8", .fn = isolate_v8},
		{.name = "qjs", .fn = isolate_qjs}, {.name = "python", .fn = isolate_python},
		{.name = "polyglot", .fn = isolate_polyglot},
		{.name = "density", .fn = isolate_density}, {.name = "hot", .fn = isolate_hot}};
	return cases_main("isolate", cases, ARRAY_LEN(cases), argc, argv);
}
