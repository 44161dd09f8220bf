/* Whether RDMA is asked for: for memory and for leases apart, not for a while after it failed, and
 * in spite of some refusals. */
#include "cluster/data_paths.h"
#include "cluster/segments.h"
#include "tests/lib/suite.h"

static unsigned verbs_way = SEGMENTS_SECOND;

unsigned segments_way_of(const struct segments *segments, const char *provider)
{
	(void)segments;
	(void)provider;
	return verbs_way;
}

static void lose(struct data_paths *paths, int code)
{
	struct ramet_err err = {0};
	err_set(&err, code, "it did not get there");
	data_paths_lost(paths, 2, DATA_LEASES, "verbs", &err);
}

static struct data_paths *open_paths(void)
{
	struct data_paths *paths = NULL;
	struct ramet_err err = {0};
	CHECK_INT(data_paths_create(NULL, &paths, &err), 0);
	CHECK(data_paths_verbs(paths, 2, DATA_LEASES));
	data_paths_taken(paths, 2, DATA_LEASES, "verbs");
	data_paths_taken(paths, 2, DATA_MEMORY, "verbs");
	return paths;
}

static void test_a_failure_bars_its_use_alone(void)
{
	struct data_paths *paths = open_paths();
	lose(paths, RAMET_EREVOKED); /* that says nothing of the way */
	CHECK(data_paths_verbs(paths, 2, DATA_LEASES));
	lose(paths, RAMET_EPEER);
	CHECK(!data_paths_verbs(paths, 2, DATA_LEASES));
	CHECK(data_paths_verbs(paths, 2, DATA_MEMORY));
	CHECK(data_paths_verbs(paths, 3, DATA_LEASES));
	data_paths_destroy(paths);
}

static void test_refusals_in_a_row(void)
{
	struct data_paths *paths = open_paths();
	for (unsigned i = 0; i < 10; i++) { /* never more than two of them */
		lose(paths, RAMET_EPERM);
		lose(paths, RAMET_EPERM);
		data_paths_reached(paths, 2, DATA_LEASES);
	}
	CHECK(data_paths_verbs(paths, 2, DATA_LEASES));
	for (unsigned i = 0; i < 3; i++)
		lose(paths, RAMET_EPERM);
	CHECK(!data_paths_verbs(paths, 2, DATA_LEASES));
	data_paths_destroy(paths);
}

static void test_without_a_device(void)
{
	struct data_paths *paths = open_paths();
	verbs_way = SEGMENTS_WAYS_MAX;
	CHECK(!data_paths_verbs(paths, 2, DATA_MEMORY));
	verbs_way = SEGMENTS_SECOND;
	data_paths_destroy(paths);
}

SUITE_MAIN("data_paths", TEST(test_a_failure_bars_its_use_alone), TEST(test_refusals_in_a_row),
	TEST(test_without_a_device))
