/* bench/run isolate: what isolates of the engines cost here. */
#include "bench/cases.h"
#include "bench/isolate.h"

#include "base/cleanup.h"

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{.name = "lua", .fn = isolate_lua, .pinned = true},
		{.name = "wasm", .fn = isolate_wasm, .pinned = true},
		{.name = "v8", .fn = isolate_v8, .pinned = true},
		{.name = "module", .fn = isolate_module}, {.name = "clone", .fn = isolate_clone},
		{.name = "hot", .fn = isolate_hot}, {.name = "density", .fn = isolate_density},
		{.name = "tax", .fn = isolate_tax}};
	return cases_main("isolate", cases, ARRAY_LEN(cases), argc, argv);
}
