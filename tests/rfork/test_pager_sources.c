/* Which bytes are believed, and from whom: checksums of pages, and sources that come, go and are
 * tried in order while children wait. */
#include "tests/lib/suite.h"
#include "tests/rfork/pager_world.h"

#include <stdlib.h>
#include <string.h>

#define PAGES 1100 /* checksums in three blocks, if they are apart */
#define WRONG 700

static int read_some(void *arg)
{
	uint64_t step = 37 + 2 * (uint64_t)(uintptr_t)arg;
	for (uint64_t page = 0; page < PAGES; page += step)
		KID_EXPECT(fixture_check(page, kid_page(page)));
	KID_EXPECT(fixture_check(WRONG, kid_page(WRONG)));
	return 0;
}

static int fetch_all(struct world *world)
{
	struct ramet_err err = {0};
	struct done done = {0};
	if (pager_fetch_all(world->seed, done_fn, &done, &err) < 0)
		return 1;
	return world_until(world, &done.count, 1) ? done.err.code : 2;
}

static bool whole(const struct image *image)
{
	for (uint64_t page = 0; page < image->npages; page++)
		if (!image_has(image, page) ||
			!fixture_check(page, image->base + page * RFORK_PAGE))
			return false;
	return true;
}

static bool begin(struct world *world, bool apart, const struct pager_options *options)
{
	struct fixture fixture = fixture_simple(PAGES);
	fixture.apart = apart;
	return world_can_fault() && CHECK(world_init(world, &fixture, options));
}

/* --- checksums --- */

static void check_wrong_bytes(bool apart, uint32_t wrong)
{
	struct script_source bad = {.base.name = "bad", .wrong = wrong + 1};
	struct script_source good = {.base.name = "good", .base.rank = 1};
	struct world world;
	if (!begin(&world, apart, NULL))
		return;
	CHECK(world_add_script(&world, &bad));
	CHECK(world_add_script(&world, &good));
	CHECK_INT(kid_run(&world, read_some, NULL), 0);
	CHECK_INT(fetch_all(&world), 0);
	CHECK(whole(world.image));
	CHECK_INT(world.lost, 1);
	CHECK_STR(world.lost_name, "bad");
	CHECK_INT(world.lost_err.code, RAMET_ECHECKSUM);
	char expected[64];
	snprintf(expected, sizeof(expected), "page %u of seed abcdef01", wrong);
	CHECK(strstr(world.lost_err.msg, expected) != NULL);
	CHECK(atomic_load(&bad.destroyed));
	world_fini(&world);
}

static void test_wrong_bytes_never_reach_a_child(void)
{
	check_wrong_bytes(false, WRONG);
}

static void test_wrong_bytes_are_seen_with_checksums_apart(void)
{
	check_wrong_bytes(true, WRONG);
}

static void test_wrong_checksums_are_seen(void)
{
	check_wrong_bytes(true, PAGES + 1); /* the second block */
}

static void test_wrong_bytes_without_another_source_fail(void)
{
	struct script_source bad = {.wrong = WRONG + 1};
	struct world world;
	if (!begin(&world, false, NULL))
		return;
	CHECK(world_add_script(&world, &bad));
	struct kid kid;
	CHECK(kid_start(&world, &kid, read_some, NULL));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK_INT(kid.err.code, RAMET_ECHECKSUM);
	CHECK(!image_has(world.image, WRONG));
	kid_kill(&world, &kid);
	kid_remove(&kid);
	world_fini(&world);
}

static void test_wrong_pack(void)
{
	static const uint32_t pages[] = {WRONG, 3, 5};
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source bad = {.base.pack_pages = 3, .wrong = WRONG + 1}, good = {0};
	struct working_set *set = NULL;
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &bad));
	CHECK(world_add_script(&world, &good));
	REQUIRE_OK(working_set_create(PAGES, pages, 3, &set, &err), &err);
	CHECK_INT(pager_prefetch(world.seed, set, true, done_fn, &done, &err), 0);
	CHECK(world_until(&world, &done.count, 1));
	CHECK_INT(done.err.code, 0);
	CHECK_INT(atomic_load(&world.image->npresent), 3);
	CHECK(fixture_check(WRONG, world.image->base + WRONG * RFORK_PAGE));
	CHECK_INT(world.lost, 1);
	working_set_destroy(set);
	world_fini(&world);
}

static void test_trusted_link(void)
{
	const struct pager_options options = {.provider = "mem", .unchecked = true};
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source bad = {.wrong = WRONG + 1};
	struct world world;
	REQUIRE(world_init(&world, &fixture, &options));
	CHECK(world_add_script(&world, &bad));
	CHECK_INT(fetch_all(&world), 0);
	CHECK(!whole(world.image));
	CHECK_INT(world.lost, 0);
	world_fini(&world);
}

static void test_checksums_apart_over_a_transport(void)
{
	const struct pager_options options = {.provider = "tcp"};
	struct world world;
	if (!begin(&world, true, &options))
		return;
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, read_some, (void *)1), 0);
	CHECK_INT(fetch_all(&world), 0);
	CHECK(whole(world.image));
	CHECK_INT(world_stats(&world).failed_reads, 0);
	/* the copy can serve others: it has the checksums too */
	CHECK(memcmp(world.image->base + PAGES * RFORK_PAGE,
		      world.origin->base + PAGES * RFORK_PAGE,
		      world.image->nblocks * RFORK_PAGE) == 0);
	world_fini(&world);
}

/* --- sources --- */

static void test_rank_goes_before_age(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source old = {.base.rank = 2}, young = {.base.rank = 1};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &old));
	CHECK(world_add_script(&world, &young));
	CHECK_INT(fetch_all(&world), 0);
	CHECK_INT(atomic_load(&old.reads), 0);
	CHECK(atomic_load(&young.reads) > 0);
	world_fini(&world);
}

static void test_child_waits_for_a_source_that_appears(void)
{
	struct script_source first = {.fail = RAMET_EPEER}, second = {0};
	struct world world;
	struct kid kid;
	world_seed_handler = &world_starving;
	if (begin(&world, false, NULL)) {
		CHECK(world_add_script(&world, &first));
		CHECK(kid_start(&world, &kid, read_some, NULL));
		CHECK(world_until(&world, &world.starved, 1));
		CHECK_INT(kid.failed, 0);
		CHECK(world_add_script(&world, &second));
		CHECK_INT(kid_wait(&world, &kid), 0);
		CHECK_INT(world.lost, 1);
		CHECK_INT(world.starved, 1);
		kid_remove(&kid);
		world_fini(&world);
	}
	world_seed_handler = NULL;
}

static void test_sources_come_back_again_and_again(void)
{
	static struct script_source sources[3 * PAGER_SOURCES_MAX];
	struct world world;
	struct kid kid;
	unsigned n = 0;
	memset(sources, 0, sizeof(sources));
	world_seed_handler = &world_starving;
	if (begin(&world, false, NULL)) {
		CHECK(kid_start(&world, &kid, read_some, NULL));
		for (; n < ARRAY_LEN(sources) && CHECK(world_until(&world, &world.starved, n + 1));
			n++) {
			bool last = n + 1 == ARRAY_LEN(sources);
			atomic_store(&sources[n].fail, last ? 0 : RAMET_EPEER);
			CHECK(world_add_script(&world, &sources[n]));
		}
		CHECK_INT(kid_wait(&world, &kid), 0);
		CHECK_INT(world.lost, n - 1);
		CHECK_INT(world.starved, n);
		kid_remove(&kid);
		world_fini(&world);
	}
	world_seed_handler = NULL;
}

static void test_given_up_with_the_reason(void)
{
	struct script_source source = {.base.name = "far", .fail = RAMET_EPEER};
	struct script_source again = {0};
	struct world world;
	struct kid kid, other;
	world_seed_handler = &world_starving;
	if (begin(&world, false, NULL)) {
		CHECK(world_add_script(&world, &source));
		CHECK(kid_start(&world, &kid, read_some, NULL));
		CHECK(world_until(&world, &world.starved, 1));
		pager_seed_give_up(world.seed);
		CHECK(world_until(&world, &kid.failed, 1));
		CHECK_INT(kid.err.code, RAMET_EPEER);
		CHECK(strstr(kid.err.msg, "no source is left; the last, far") != NULL);
		/* who comes later is looked after anew */
		CHECK(kid_start(&world, &other, read_some, NULL));
		CHECK(world_until(&world, &world.starved, 2));
		CHECK(world_add_script(&world, &again));
		CHECK_INT(kid_wait(&world, &other), 0);
		kid_kill(&world, &kid);
		kid_remove(&kid);
		kid_remove(&other);
		world_fini(&world);
	}
	world_seed_handler = NULL;
}

static void check_ends_while_starving(bool revoke)
{
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	struct kid kid;
	world_seed_handler = &world_starving;
	if (begin(&world, false, NULL)) {
		CHECK_INT(pager_drain(world.seed, done_fn, &done, &err), 0);
		CHECK(kid_start(&world, &kid, read_some, NULL));
		CHECK(world_until_faults(&world, 1));
		CHECK(world_until(&world, &world.starved, 1));
		if (revoke) {
			pager_seed_revoke(world.seed);
			CHECK(world_until(&world, &kid.failed, 1));
			CHECK_INT(kid.err.code, RAMET_EREVOKED);
			CHECK(world_until(&world, &done.count, 1));
		}
		kid_kill(&world, &kid);
		kid_remove(&kid);
		pager_seed_remove(world.seed);
		world_fini(&world); /* nothing leaks, nothing waits */
	}
	world_seed_handler = NULL;
}

static void test_revoked_while_starving(void)
{
	check_ends_while_starving(true);
}

static void test_removed_while_starving(void)
{
	check_ends_while_starving(false);
}

SUITE_MAIN("pager_sources", TEST(test_wrong_bytes_never_reach_a_child),
	TEST(test_wrong_bytes_are_seen_with_checksums_apart), TEST(test_wrong_checksums_are_seen),
	TEST(test_wrong_bytes_without_another_source_fail), TEST(test_wrong_pack),
	TEST(test_trusted_link), TEST(test_checksums_apart_over_a_transport),
	TEST(test_rank_goes_before_age), TEST(test_child_waits_for_a_source_that_appears),
	TEST(test_sources_come_back_again_and_again), TEST(test_given_up_with_the_reason),
	TEST(test_revoked_while_starving), TEST(test_removed_while_starving))
