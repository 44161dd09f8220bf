/* Cases: OpenMP's pool, waiting for work as it is captured. */
#include "tests/rfork/state.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

static uint64_t (*openmp_sum)(uint64_t n, int *ret_threads);

static unsigned thread_count(void)
{
	struct stat st;
	return stat("/proc/self/task", &st) == 0 ? (unsigned)st.st_nlink - 2 : 0;
}

static int openmp_setup(void)
{
	void *library = dlopen(OPENMP_LIBRARY, RTLD_NOW);
	if (!library)
		return STATE_NOT_HERE; /* built without libgomp */
	*(void **)&openmp_sum = dlsym(library, "openmp_sum");
	int threads = 0;
	if (!openmp_sum || openmp_sum(1000, &threads) != 500500 || threads != 4)
		return STATE_BROKEN;
	return thread_count() == 4 ? STATE_OK : STATE_BROKEN;
}

/* by the pool that was there, ten times */
static const char *openmp_check(void)
{
	STATE_EXPECT_INT(thread_count(), 4);
	for (uint64_t n = 100000; n < 100010; n++) {
		int threads = 0;
		STATE_EXPECT_INT(openmp_sum(n, &threads), n * (n + 1) / 2);
		STATE_EXPECT_INT(threads, 4);
	}
	STATE_EXPECT_INT(thread_count(), 4);
	return NULL;
}

const struct state_case state_openmp[] = {
	{.name = "OpenMP's threads",
		.setup = openmp_setup,
		.check_child = openmp_check,
		.check_parent = openmp_check,
		.fault = "threads.make",
		.flags = STATE_ALONE},
	{.name = NULL},
};
