/* bench/run invoke: what calls cost here. */
#include "bench/cases.h"
#include "bench/invoke.h"

#include "base/cleanup.h"

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {{"local", invoke_local, false},
		{"far", invoke_far, false}, {"many", invoke_many, false},
		{"payload", invoke_payload, false}, {"fresh", invoke_fresh, false},
		{"sustained", invoke_sustained, false}, {"ends", invoke_ends, false},
		{"python", invoke_python, false}, {"executor", invoke_executor, false},
		{"dask", invoke_dask, false}, {"redeploy", invoke_redeploy, false}};
	return cases_main("invoke", cases, ARRAY_LEN(cases), argc, argv);
}
