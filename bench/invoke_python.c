/* Calls from Python: apps/clients.py takes them, and those of others, in a cluster of ours. */
#include "bench/invoke.h"

#include "base/cleanup.h"

int invoke_python(struct ramet_err *err)
{
	static const char pool[] = "ProcessPoolExecutor, submit().result()";
	static const struct invoke_row rows[] = {
		{"python_client_64", "us", "trip_client", pool, "trip_pool"},
		{"python_function_64", "us", "trip_function", pool, "trip_pool"},
		{"python_executor_64", "us", "trip_executor", pool, "trip_pool"},
	};
	return invoke_script("clients.py", "trips", rows, ARRAY_LEN(rows), err);
}

int invoke_executor(struct ramet_err *err)
{
	static const struct invoke_row rows[] = {
		{"executor_vs_processpool", "tasks/s", "ours_submit",
			"ProcessPoolExecutor, submit() and as_completed()", "theirs_submit"},
		{"executor_map_vs_processpool", "tasks/s", "ours_map",
			"ProcessPoolExecutor, map() without chunksize", "theirs_map"},
	};
	return invoke_script("clients.py", "executor", rows, ARRAY_LEN(rows), err);
}

int invoke_dask(struct ramet_err *err)
{
	static const struct invoke_row rows[] = {
		{"executor_vs_dask", "tasks/s", "ours_beside_dask",
			"Dask distributed, map() and as_completed()", "dask"},
		{"executor_vs_dask_gather", "tasks/s", "ours_beside_dask",
			"Dask distributed, map() and gather()", "dask_gather"},
	};
	return invoke_script("clients.py", "dask", rows, ARRAY_LEN(rows), err);
}
