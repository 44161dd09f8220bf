/* bench/run invoke: what calls cost here. */
#include "bench/cases.h"
#include "bench/invoke.h"

#include "base/cleanup.h"

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {{.name = "local", .fn = invoke_local},
		{.name = "far", .fn = invoke_far}, {.name = "many", .fn = invoke_many},
		{.name = "payload", .fn = invoke_payload}, {.name = "fresh", .fn = invoke_fresh},
		{.name = "sustained", .fn = invoke_sustained}, {.name = "ends", .fn = invoke_ends},
		{.name = "python", .fn = invoke_python},
		{.name = "executor", .fn = invoke_executor}, {.name = "dask", .fn = invoke_dask},
		{.name = "redeploy", .fn = invoke_redeploy},
		{.name = "sweep", .fn = invoke_sweep, .by_name = true}};
	return cases_main("invoke", cases, ARRAY_LEN(cases), argc, argv);
}
