/* base/fault: counting, and that every fault point of the sources is in docs/fault-points.md and
 * the other way round. */
#include "base/cleanup.h"
#include "base/fault.h"
#include "tests/lib/suite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef RAMET_FAULT_POINTS

static void test_skip_and_count(void)
{
	CHECK(!fault_hit("test.a"));
	fault_set("test.a", 2, 2);
	fault_set("test.b", 0, 1);
	bool hits[6];
	for (int i = 0; i < 6; i++)
		hits[i] = fault_hit("test.a");
	CHECK(!hits[0] && !hits[1] && hits[2] && hits[3] && !hits[4] && !hits[5]);
	CHECK(fault_hit("test.b"));
	CHECK(!fault_hit("test.b"));
	CHECK(!fault_hit("test"));
	fault_set("test.a", 0, 0);
	fault_set("test.b", 0, 0);
}

static void test_switching_all_off_is_cheap_again(void)
{
	fault_set("test.a", 0, 100);
	CHECK(atomic_load(&fault_any));
	CHECK(fault_hit("test.a"));
	fault_set("test.a", 0, 0);
	CHECK(!atomic_load(&fault_any) || getenv("RAMET_FAULT"));
	CHECK(!fault_hit("test.a"));
}

static void test_more_points_than_slots_do_no_harm(void)
{
	char name[32];
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "test.many%d", i);
		fault_set(name, 0, 1);
	}
	CHECK(fault_hit("test.many0"));
	CHECK(!fault_hit("test.many39"));
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "test.many%d", i);
		fault_set(name, 0, 0);
	}
	CHECK(!fault_hit("test.many1"));
}

static void test_environment(void)
{
	if (!getenv("RAMET_FAULT")) {
		CHECK(!fault_hit("test.env"));
		return;
	}
	fault_init();
	CHECK(!fault_hit("test.env1"));
	CHECK(fault_hit("test.env1"));
	CHECK(!fault_hit("test.env1"));
	CHECK(fault_hit("test.env2"));
	CHECK(fault_hit("test.env2"));
}

#endif

/* --- names in the sources against names in the document --- */

#define NAMES_MAX 256
static char used[NAMES_MAX][64], listed[NAMES_MAX][64];
static unsigned used_count, listed_count;

static bool contains(char (*names)[64], unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void collect(
	const char *path, const char *before, char after, char (*names)[64], unsigned *count)
{
	char line[1024];
	auto_fclose FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		for (const char *at = line; (at = strstr(at, before));) {
			at += strlen(before);
			size_t len = strcspn(at, "\"`\n");
			if (at[len] != after || len >= 64 || *count == NAMES_MAX)
				continue;
			char name[64];
			snprintf(name, sizeof(name), "%.*s", (int)len, at);
			if (!contains(names, *count, name))
				memcpy(names[(*count)++], name, sizeof(name));
		}
	}
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	const char *base = path + ftw->base;
	if (type == FTW_D &&
		(strcmp(base, "tests") == 0 || strcmp(base, "build") == 0 ||
			strcmp(base, ".git") == 0))
		return FTW_SKIP_SUBTREE;
	const char *dot = strrchr(base, '.');
	if (type == FTW_F && dot && (strcmp(dot, ".c") == 0 || strcmp(dot, ".h") == 0) &&
		strcmp(base, "fault.h") != 0)
		collect(path, "fault_hit(\"", '"', used, &used_count);
	return FTW_CONTINUE;
}

static void test_document_lists_exactly_the_points_there_are(void)
{
	const char *src = getenv("RAMET_SRC");
	if (!src) {
		suite_skip("RAMET_SRC is not set");
		return;
	}
	char path[4096];
	snprintf(path, sizeof(path), "%s/docs/fault-points.md", src);
	collect(path, "| `", '`', listed, &listed_count);
	CHECK_INT(nftw(src, visit, 32, FTW_PHYS | FTW_ACTIONRETVAL), 0);
	CHECK(used_count > 0);
	for (unsigned i = 0; i < used_count; i++)
		if (!contains(listed, listed_count, used[i])) {
			printf("  %s is not in docs/fault-points.md\n", used[i]);
			CHECK(!"a fault point is not documented");
		}
	for (unsigned i = 0; i < listed_count; i++)
		if (!contains(used, used_count, listed[i])) {
			printf("  %s is in docs/fault-points.md only\n", listed[i]);
			CHECK(!"a documented fault point does not exist");
		}
}

#ifdef RAMET_FAULT_POINTS
SUITE_MAIN("fault", TEST(test_skip_and_count), TEST(test_switching_all_off_is_cheap_again),
	TEST(test_more_points_than_slots_do_no_harm), TEST(test_environment),
	TEST(test_document_lists_exactly_the_points_there_are))
#else
SUITE_MAIN("fault", TEST(test_document_lists_exactly_the_points_there_are))
#endif
