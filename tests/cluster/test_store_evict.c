/* The content store as a node starts: what is kept, and what is not. */
#include "base/err.h"
#include "base/file.h"
#include "cluster/store_evict.h"
#include "tests/lib/suite.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[64], object[128], part[128], boot[128];
};

static bool setup(struct fixture *f)
{
	char scope[128];
	*f = (struct fixture){.dir = "/tmp/ramet-store-XXXXXX"};
	if (!CHECK(mkdtemp(f->dir) != NULL))
		return false;
	snprintf(scope, sizeof(scope), "%s/1000", f->dir);
	snprintf(f->object, sizeof(f->object), "%s/1000/abcd", f->dir);
	snprintf(f->part, sizeof(f->part), "%s/part.7", f->dir);
	snprintf(f->boot, sizeof(f->boot), "%s.boot", f->dir);
	return CHECK_INT(mkdir(scope, 0700), 0);
}

static void teardown(struct fixture *f)
{
	char scope[128];
	snprintf(scope, sizeof(scope), "%s/1000", f->dir);
	unlink(f->object);
	unlink(f->boot);
	CHECK_INT(rmdir(scope), 0);
	CHECK_INT(rmdir(f->dir), 0);
}

static void check_begin(struct fixture *f, uint64_t expected)
{
	struct ramet_err err = {0};
	uint64_t bytes = 1;
	REQUIRE_OK(file_replace(f->part, "half", 4, 0600, &err), &err);
	REQUIRE_OK(store_evict_begin(f->dir, &bytes, &err), &err);
	CHECK_INT(bytes, expected);
	CHECK(access(f->part, F_OK) != 0);
	CHECK_INT(access(f->object, F_OK), expected ? 0 : -1);
}

static void test_files_of_this_boot_are_kept(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	REQUIRE(setup(&f));
	check_begin(&f, 0);
	REQUIRE_OK(file_replace(f.object, "twelve bytes", 12, 0500, &err), &err);
	check_begin(&f, 12);
	check_begin(&f, 12);
	teardown(&f);
}

static void test_files_of_another_boot_are_not(void)
{
	static const char other[] = "00000000-0000-0000-0000-000000000000\n";
	struct fixture f;
	struct ramet_err err = {0};
	REQUIRE(setup(&f));
	REQUIRE_OK(file_replace(f.object, "twelve bytes", 12, 0500, &err), &err);
	check_begin(&f, 0); /* nobody knows when they were fetched */
	REQUIRE_OK(file_replace(f.object, "twelve bytes", 12, 0500, &err), &err);
	REQUIRE_OK(file_replace(f.boot, other, sizeof(other) - 1, 0600, &err), &err);
	check_begin(&f, 0);
	teardown(&f);
}

SUITE_MAIN("store_evict", TEST(test_files_of_this_boot_are_kept),
	TEST(test_files_of_another_boot_are_not))
