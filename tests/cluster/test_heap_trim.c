/* What malloc keeps between pieces that stay goes back to the kernel without anybody asking. */
#include "base/clock.h"
#include "base/loop.h"
#include "cluster/heap_trim.h"
#include "cluster/workers.h"
#include "tests/lib/suite.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECES 4000
#define PIECE 8000 /* with its neighbours: each leaves a whole page free */
#define LOOK_NS (20 * NSEC_PER_MSEC)
#define LONG_NS (20 * NSEC_PER_SEC)

static size_t own_bytes(void)
{
	unsigned long all = 0;
	unsigned long shared = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	CHECK(f != NULL && fscanf(f, "%*u %lu %lu", &all, &shared) == 2);
	if (f)
		fclose(f);
	return (all - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

/* the daemon's own calls, counted */
static unsigned trims;
int malloc_trim(size_t pad)
{
	int (*real)(size_t) = NULL;
	void *found = dlsym(RTLD_NEXT, "malloc_trim");
	memcpy(&real, &found, sizeof(real));
	int rc = real(pad);
	__atomic_fetch_add(&trims, 1, __ATOMIC_SEQ_CST);
	return rc;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 1 /* it has other habits: then only the trims themselves are run */
#else
#define OWN_MALLOC 0
#endif

static unsigned trims_so_far(void)
{
	return __atomic_load_n(&trims, __ATOMIC_SEQ_CST);
}

static void turn_until_trimmed(struct loop *loop)
{
	struct ramet_err err = {0};
	unsigned before = trims_so_far();
	uint64_t end = now_ns() + LONG_NS;
	while (trims_so_far() == before && now_ns() < end)
		REQUIRE_OK(loop_turn(loop, LOOK_NS, &err), &err);
	CHECK_INT(trims_so_far(), before + 1);
}

/* in_use: the pieces are freed when they were there during a trim */
static void check_holes(bool in_use)
{
	static void *pieces[PIECES];
	static void *between[PIECES];
	struct loop *loop;
	struct workers *workers;
	struct heap_trim *trim;
	struct ramet_err err = {0};
	REQUIRE_OK(loop_create(&loop, &err), &err);
	REQUIRE_OK(workers_create(loop, 1, &workers, &err), &err);
	(void)malloc_trim(0); /* what an earlier test has left */
	size_t before = own_bytes();
	REQUIRE_OK(heap_trim_create(loop, workers, LOOK_NS, &trim, &err), &err);
	for (unsigned i = 0; i < PIECES; i++) {
		REQUIRE((pieces[i] = malloc(PIECE)) != NULL);
		memset(pieces[i], 1, PIECE);
		REQUIRE((between[i] = malloc(16)) != NULL);
	}
	size_t full = own_bytes();
	CHECK(OWN_MALLOC || full > before + PIECES * (PIECE / 2));
	if (in_use && !OWN_MALLOC)
		turn_until_trimmed(loop);
	for (unsigned i = 0; i < PIECES; i++)
		free(pieces[i]);
	size_t bound = before + (full - before) * 2 / 3;
	uint64_t end = now_ns() + LONG_NS;
	CHECK(OWN_MALLOC || own_bytes() > full - PIECES); /* it keeps them */
	while (!OWN_MALLOC && own_bytes() > bound && now_ns() < end)
		REQUIRE_OK(loop_turn(loop, LOOK_NS, &err), &err);
	CHECK(OWN_MALLOC || own_bytes() <= bound);
	for (unsigned i = 0; i < PIECES; i++)
		free(between[i]);
	workers_destroy(workers);
	heap_trim_destroy(trim);
	loop_destroy(loop);
}

static void test_holes_go_back(void)
{
	check_holes(false);
}

static void test_what_was_in_use_goes_back_later(void)
{
	check_holes(true);
}

SUITE_MAIN("heap_trim", TEST(test_holes_go_back), TEST(test_what_was_in_use_goes_back_later))
