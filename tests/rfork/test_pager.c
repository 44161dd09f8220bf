/* Faults: real processes whose pages come through the pager, over a made-up seed. */
#include "tests/lib/suite.h"
#include "tests/rfork/pager_world.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

static void test_child_sees_the_bytes_of_the_seed(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, kid_read_shuffled, KID_SCATTERED), 0);
	struct pager_stats stats = world_stats(&world);
	CHECK_INT(stats.faults, KID_PAGES);
	CHECK_INT(stats.fetched_pages, KID_PAGES);
	CHECK_INT(stats.fetched_bytes, KID_PAGES * RFORK_PAGE);
	CHECK_INT(stats.failed_reads, 0);
	CHECK(image_complete(world.image));
	world_fini(&world);
}

/* who reads an array from its start to its end waits for few of its pages */
static void test_stream_is_fetched_ahead(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, kid_read_all, NULL), 0);
	struct pager_stats stats = world_stats(&world);
	CHECK_INT(stats.faults, 7); /* pages 0 to 2, then four times 16 at most */
	CHECK_INT(stats.fetched_pages, KID_PAGES);
	CHECK(image_complete(world.image));
	world_fini(&world);
}

static void test_pages_over_tcp(void)
{
	static const struct pager_options tcp = {.provider = "tcp"};
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, &tcp));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, kid_read_all, NULL), 0);
	CHECK_INT(world_stats(&world).fetched_pages, KID_PAGES);
	CHECK_INT(world_stats(&world).failed_reads, 0);
	world_fini(&world);
}

/* nobody is stopped by what is fetched ahead; for a fault the pager polls, once for each in a row
 */
static void test_polls_only_while_faults_are_outstanding(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct ramet_err err = {0};
	struct done done = {0};
	struct transport_spins spins;
	struct world world;
	cpu_set_t cpus;
	if (!world_can_fault())
		return;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2) {
		suite_skip("there is one processor");
		return;
	}
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, kid_read_all, NULL), 0);
	pager_spins(world.pager, &spins);
	CHECK_INT(spins.begun, world_stats(&world).faults);
	CHECK_INT(spins.ended, spins.begun);
	world_fini(&world);

	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(pager_fetch_all(world.seed, done_fn, &done, &err), 0);
	CHECK(world_until(&world, &done.count, 1));
	pager_spins(world.pager, &spins);
	CHECK_INT(world_stats(&world).ahead_pages, KID_PAGES);
	CHECK_INT(spins.begun, 0);
	CHECK_INT(spins.polls, 0);
	world_fini(&world);
}

static void test_many_children_and_a_drain_at_once(void)
{
	static const struct pager_options tight = {
		.provider = "mem", .fault_slots = 3, .bulk_slots = 1, .drain_slots = 1};
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	struct kid kids[16];
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, &tight));
	CHECK(world_add_peer(&world));
	for (unsigned i = 0; i < ARRAY_LEN(kids); i++) {
		CHECK(kid_start(&world, &kids[i], kid_read_shuffled, (void *)(uintptr_t)i));
		if (i == 4)
			CHECK_INT(pager_drain(world.seed, done_fn, &done, &err), 0);
	}
	for (unsigned i = 0; i < ARRAY_LEN(kids); i++) {
		CHECK_INT(kid_wait(&world, &kids[i]), 0);
		kid_remove(&kids[i]);
	}
	CHECK(world_until(&world, &done.count, 1));
	CHECK_INT(done.err.code, 0);
	struct pager_stats stats = world_stats(&world);
	CHECK_INT(stats.fetched_pages + stats.ahead_pages, KID_PAGES); /* nothing twice */
	world_fini(&world);
}

static void test_sibling_causes_no_events(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	struct kid first, second;
	CHECK(kid_start(&world, &first, kid_read_all, NULL));
	CHECK_INT(kid_wait(&world, &first), 0);
	uint64_t events = world_stats(&world).events;
	CHECK(events > 0);
	CHECK(kid_start(&world, &second, kid_read_all, NULL));
	CHECK_INT(kid_wait(&world, &second), 0);
	struct pager_stats stats;
	pager_child_stats(second.child, &stats);
	CHECK_INT(stats.events, 0);
	CHECK_INT(world_stats(&world).events, events);
	kid_remove(&first);
	kid_remove(&second);
	world_fini(&world);
}

static int read_zeros(void *arg)
{
	static const unsigned char zeros[RFORK_PAGE];
	(void)arg;
	KID_EXPECT(memcmp(kid_page(5), zeros, RFORK_PAGE) == 0);
	kid_page(6)[100] = 1; /* written first */
	KID_EXPECT(kid_page(6)[99] == 0 && kid_page(6)[100] == 1);
	KID_EXPECT(fixture_check(7, kid_page(7)));
	return 0;
}

static void test_zero_pages_are_not_fetched_and_cost_siblings_nothing(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	fixture.zeros = 1u << 5 | 1u << 6;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, read_zeros, NULL), 0);
	struct pager_stats stats = world_stats(&world);
	CHECK_INT(stats.zero_pages, 2);
	CHECK_INT(stats.fetched_pages, 1);
	CHECK_INT(kid_run(&world, read_zeros, NULL), 0);
	CHECK_INT(world_stats(&world).events, stats.events);
	CHECK_INT(image_resident(world.image), 3 * RFORK_PAGE);
	world_fini(&world);
}

static int write_pages(void *arg)
{
	(void)arg;
	for (uint64_t page = 0; page < 8; page++) {
		kid_page(page)[17] ^= 0xff;
		unsigned char copy[RFORK_PAGE];
		memcpy(copy, kid_page(page), sizeof(copy));
		copy[17] ^= 0xff;
		KID_EXPECT(fixture_check(page, copy));
	}
	return 0;
}

static void test_writes_stay_private(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, write_pages, NULL), 0);
	CHECK_INT(kid_run(&world, kid_read_all, NULL), 0);
	for (uint64_t page = 0; page < KID_PAGES; page++)
		CHECK(fixture_check(page, world.image->base + page * RFORK_PAGE));
	world_fini(&world);
}

/* the kernel itself faults: read(2) into and write(2) from pages that are missing */
static int faults_in_the_kernel(void *arg)
{
	int pipe_fds[2];
	(void)arg;
	KID_EXPECT(pipe(pipe_fds) == 0);
	KID_EXPECT(write(pipe_fds[1], kid_page(3), RFORK_PAGE) == (ssize_t)RFORK_PAGE);
	KID_EXPECT(read(pipe_fds[0], kid_page(9) + 8, RFORK_PAGE) == (ssize_t)RFORK_PAGE);
	KID_EXPECT(fixture_check(3, kid_page(9) + 8));
	uint64_t first, last = fixture_word(10, 1);
	memcpy(&first, kid_page(9), sizeof(first));
	KID_EXPECT(first == fixture_word(9, 0));
	KID_EXPECT(memcmp(kid_page(10) + 8, &last, sizeof(last)) == 0);
	return 0;
}

static void test_faults_inside_system_calls(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, faults_in_the_kernel, NULL), 0);
	CHECK_INT(world_stats(&world).faults, 3);
	world_fini(&world);
}

static void test_two_children_wait_for_one_read(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct script_source script = {.hold = true};
	struct world world;
	struct kid a, b;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &a, kid_read_one, (void *)4));
	CHECK(kid_start(&world, &b, kid_read_one, (void *)4));
	CHECK(world_until_faults(&world, 2));
	CHECK(world_until_atomic(&world, &script.reads, 1));
	CHECK_INT(atomic_load(&script.reads), 1);
	script_release(&world, &script);
	CHECK_INT(kid_wait(&world, &a), 0);
	CHECK_INT(kid_wait(&world, &b), 0);
	CHECK_INT(atomic_load(&script.reads), 1);
	kid_remove(&a);
	kid_remove(&b);
	world_fini(&world);
	CHECK(atomic_load(&script.destroyed));
}

static void test_more_faults_than_slots(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	static const struct pager_options tight = {.fault_slots = 2, .bulk_slots = 1};
	struct script_source script = {.hold = true};
	struct kid kids[6];
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, &tight));
	CHECK(world_add_script(&world, &script));
	for (unsigned i = 0; i < 6; i++) /* two share a page */
		CHECK(kid_start(
			&world, &kids[i], kid_read_one, (void *)(uintptr_t)(i == 5 ? 4 : i)));
	CHECK(world_until_atomic(&world, &script.reads, 2));
	CHECK(world_until_faults(&world, 6));
	script_release(&world, &script);
	for (unsigned i = 0; i < 6; i++) {
		CHECK_INT(kid_wait(&world, &kids[i]), 0);
		kid_remove(&kids[i]);
	}
	CHECK_INT(atomic_load(&script.reads), 5);
	CHECK_INT(atomic_load(&script.max_inflight), 2);
	world_fini(&world);
}

SUITE_MAIN("pager", TEST(test_child_sees_the_bytes_of_the_seed), TEST(test_stream_is_fetched_ahead),
	TEST(test_pages_over_tcp), TEST(test_polls_only_while_faults_are_outstanding),
	TEST(test_many_children_and_a_drain_at_once), TEST(test_sibling_causes_no_events),
	TEST(test_zero_pages_are_not_fetched_and_cost_siblings_nothing),
	TEST(test_writes_stay_private), TEST(test_faults_inside_system_calls),
	TEST(test_two_children_wait_for_one_read), TEST(test_more_faults_than_slots))
