/* Faults: real processes whose pages come through the pager, from sources that answer, fail, or
 * say that the seed is revoked. */
#include "tests/lib/suite.h"
#include "tests/rfork/pager_world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 64

static int read_all(void *arg)
{
	(void)arg;
	for (uint64_t page = 0; page < PAGES; page++)
		KID_EXPECT(fixture_check(page, kid_page(page)));
	return 0;
}

static int read_shuffled(void *arg)
{
	uint64_t step = 2 * (uint64_t)(uintptr_t)arg + 1; /* odd: meets every page */
	for (uint64_t i = 0; i < PAGES; i++) {
		uint64_t page = i * step % PAGES;
		KID_EXPECT(fixture_check(page, kid_page(page)));
		kid_page(page)[0] ^= 1;
	}
	return 0;
}

#define SCATTERED ((void *)2) /* no two neighbours one after the other */

static void test_child_sees_the_bytes_of_the_seed(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, read_shuffled, SCATTERED), 0);
	struct pager_stats stats = world_stats(&world);
	CHECK_INT(stats.faults, PAGES);
	CHECK_INT(stats.fetched_pages, PAGES);
	CHECK_INT(stats.fetched_bytes, PAGES * RFORK_PAGE);
	CHECK_INT(stats.failed_reads, 0);
	CHECK(image_complete(world.image));
	world_fini(&world);
}

/* who reads an array from its start to its end waits for few of its pages */
static void test_stream_is_fetched_ahead(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, read_all, NULL), 0);
	struct pager_stats stats = world_stats(&world);
	CHECK_INT(stats.faults, 7); /* pages 0 to 2, then four times 16 at most */
	CHECK_INT(stats.fetched_pages, PAGES);
	CHECK(image_complete(world.image));
	world_fini(&world);
}

static void test_pages_over_tcp(void)
{
	static const struct pager_options tcp = {.provider = "tcp"};
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, &tcp));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, read_all, NULL), 0);
	CHECK_INT(world_stats(&world).fetched_pages, PAGES);
	CHECK_INT(world_stats(&world).failed_reads, 0);
	world_fini(&world);
}

static void test_many_children_and_a_drain_at_once(void)
{
	static const struct pager_options tight = {
		.provider = "mem", .fault_slots = 3, .bulk_slots = 1, .drain_slots = 1};
	struct fixture fixture = fixture_simple(PAGES);
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	struct kid kids[16];
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, &tight));
	CHECK(world_add_peer(&world));
	for (unsigned i = 0; i < ARRAY_LEN(kids); i++) {
		CHECK(kid_start(&world, &kids[i], read_shuffled, (void *)(uintptr_t)i));
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
	CHECK_INT(stats.fetched_pages + stats.ahead_pages, PAGES); /* nothing twice */
	world_fini(&world);
}

static void test_sibling_causes_no_events(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	struct kid first, second;
	CHECK(kid_start(&world, &first, read_all, NULL));
	CHECK_INT(kid_wait(&world, &first), 0);
	uint64_t events = world_stats(&world).events;
	CHECK(events > 0);
	CHECK(kid_start(&world, &second, read_all, NULL));
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
	struct fixture fixture = fixture_simple(PAGES);
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
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, write_pages, NULL), 0);
	CHECK_INT(kid_run(&world, read_all, NULL), 0);
	for (uint64_t page = 0; page < PAGES; page++)
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
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, faults_in_the_kernel, NULL), 0);
	CHECK_INT(world_stats(&world).faults, 3);
	world_fini(&world);
}

static int read_one(void *arg)
{
	uint64_t page = (uint64_t)(uintptr_t)arg;
	KID_EXPECT(fixture_check(page, kid_page(page)));
	return 0;
}

static void test_two_children_wait_for_one_read(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.hold = true};
	struct world world;
	struct kid a, b;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &a, read_one, (void *)4));
	CHECK(kid_start(&world, &b, read_one, (void *)4));
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

static void test_failed_source_is_followed_by_the_next(void)
{
	static const int codes[] = {RAMET_EPEER, RAMET_EACCESS, RAMET_EIO, RAMET_ETIMEOUT};
	if (!world_can_fault())
		return;
	for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
		struct fixture fixture = fixture_simple(PAGES);
		struct script_source bad = {.fail = codes[i]}, worse = {.refuse = codes[i]},
				     good = {0};
		struct world world;
		REQUIRE(world_init(&world, &fixture, NULL));
		CHECK(world_add_script(&world, &bad));
		CHECK(world_add_script(&world, &worse));
		CHECK(world_add_script(&world, &good));
		CHECK_INT(kid_run(&world, read_shuffled, SCATTERED), 0);
		bool ended = codes[i] == RAMET_EPEER || codes[i] == RAMET_EACCESS;
		CHECK_INT(atomic_load(&bad.reads), ended ? 1 : PAGES);
		CHECK_INT(atomic_load(&good.reads), PAGES);
		CHECK_INT(world_stats(&world).failed_reads, ended ? 2 : 2 * PAGES);
		if (ended)
			CHECK(world_until(&world, &world.lost, 2));
		CHECK_INT(world.lost, ended ? 2 : 0);
		CHECK_INT(world.revoked, 0);
		world_fini(&world);
	}
}

static void test_child_fails_when_no_source_is_left(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source first = {.fail = RAMET_EPEER}, second = {.fail = RAMET_ETIMEOUT};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &first));
	CHECK(world_add_script(&world, &second));
	CHECK(kid_start(&world, &kid, read_one, (void *)4));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK_INT(kid.failed_instance, kid.pid);
	CHECK_INT(kid.err.code, RAMET_ETIMEOUT);
	CHECK(strstr(kid.err.msg, "page 4") != NULL);
	kid_kill(&world, &kid);
	kid_remove(&kid);

	CHECK(kid_start(&world, &kid, read_one, (void *)5)); /* the second may have recovered */
	atomic_store(&second.fail, RAMET_EPEER);
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK_INT(kid.failed, 1);
	kid_kill(&world, &kid);
	kid_remove(&kid);
	world_fini(&world);
}

static void test_child_fails_when_there_is_no_source(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(kid_start(&world, &kid, read_one, (void *)4));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK_INT(kid.err.code, RAMET_EPEER);
	kid_kill(&world, &kid);
	kid_remove(&kid);
	world_fini(&world);
}

static void test_revoked_source_ends_the_seed(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source first = {.hold = true, .fail = RAMET_EREVOKED}, other = {0};
	struct world world;
	struct kid a, b, late;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &first));
	CHECK(world_add_script(&world, &other));
	CHECK(kid_start(&world, &a, read_one, (void *)4));
	CHECK(kid_start(&world, &b, read_one, (void *)9));
	CHECK(world_until_atomic(&world, &first.reads, 2));
	script_release(&world, &first);
	CHECK(world_until(&world, &a.failed, 1));
	CHECK(world_until(&world, &b.failed, 1));
	CHECK(world_until(&world, &world.revoked, 1));
	CHECK_INT(a.err.code, RAMET_EREVOKED);
	CHECK_INT(b.err.code, RAMET_EREVOKED);
	CHECK_INT(world.revoked_err.code, RAMET_EREVOKED);

	CHECK(kid_start(&world, &late, read_one, (void *)20));
	CHECK(world_until(&world, &late.failed, 1));
	CHECK_INT(late.err.code, RAMET_EREVOKED);
	CHECK_INT(atomic_load(&other.reads), 0);
	CHECK_INT(world.revoked, 1);
	struct kid *kids[] = {&a, &b, &late};
	for (unsigned i = 0; i < 3; i++) {
		kid_kill(&world, kids[i]);
		kid_remove(kids[i]);
	}
	world_fini(&world);
}

static void test_revocation_at_the_peer(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, read_one, (void *)1), 0);
	transport_segment_remove(world.segment, NULL, NULL);
	CHECK(kid_start(&world, &kid, read_one, (void *)2));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK(world_until(&world, &world.revoked, 1));
	CHECK_INT(kid.err.code, RAMET_EREVOKED);
	kid_kill(&world, &kid);
	kid_remove(&kid);
	CHECK_INT(kid_run(&world, read_one, (void *)1), 0); /* what is here stays readable */
	world_fini(&world);
}

static void test_copy_that_goes_does_not_revoke(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source copy = {.fail = RAMET_EREVOKED}, origin = {0};
	struct world world;
	if (!world_can_fault())
		return;
	copy.base.copy = true;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &copy));
	CHECK(world_add_script(&world, &origin));
	CHECK_INT(kid_run(&world, read_all, NULL), 0);
	CHECK(world_until(&world, &world.lost, 1));
	CHECK_INT(world.revoked, 0);
	CHECK_INT(atomic_load(&copy.reads), 1);
	world_fini(&world);
}

static void test_revoke_from_the_control_side(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.hold = true};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &kid, read_one, (void *)4));
	CHECK(world_until_atomic(&world, &script.reads, 1));
	pager_seed_revoke(world.seed);
	pager_seed_revoke(world.seed);
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK(world_until(&world, &world.revoked, 1));
	script_release(&world, &script); /* the bytes come, but nobody is served any more */
	kid_kill(&world, &kid);
	kid_remove(&kid);
	CHECK(!image_has(world.image, 4));
	CHECK_INT(world.revoked, 1);
	world_fini(&world);
}

static void test_peer_that_refuses_or_dies(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	struct kid kid;
	struct ramet_err err = {0};
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	struct page_peer_spec spec = world_peer_spec(&world);
	spec.token[0] ^= 1;
	CHECK_INT(pager_seed_add_peer(world.seed, &spec, &err), 0);
	CHECK(kid_start(&world, &kid, read_one, (void *)4));
	CHECK(world_until(&world, &kid.failed, 1));
	kid_kill(&world, &kid);
	kid_remove(&kid);

	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, read_one, (void *)4), 0);
	transport_conn_close(world.server_conn);
	CHECK(kid_start(&world, &kid, read_one, (void *)5));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK(world_until(&world, &world.lost, 2));
	kid_kill(&world, &kid);
	kid_remove(&kid);

	CHECK(world_add_peer(&world)); /* connects anew */
	CHECK_INT(kid_run(&world, read_one, (void *)5), 0);
	world_fini(&world);
}

static void test_more_faults_than_slots(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	static const struct pager_options tight = {.fault_slots = 2, .bulk_slots = 1};
	struct script_source script = {.hold = true};
	struct kid kids[6];
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, &tight));
	CHECK(world_add_script(&world, &script));
	for (unsigned i = 0; i < 6; i++) /* two share a page */
		CHECK(kid_start(&world, &kids[i], read_one, (void *)(uintptr_t)(i == 5 ? 4 : i)));
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

static void test_removal_while_a_read_is_in_flight(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.hold = true};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &kid, read_one, (void *)4));
	CHECK(world_until_atomic(&world, &script.reads, 1));
	kid_kill(&world, &kid);
	pager_seed_remove(world.seed);
	kid.child = NULL; /* went with its seed */
	kid_remove(&kid);
	script_release(&world, &script);
	world_fini(&world);
	CHECK(atomic_load(&script.destroyed));
	CHECK_INT(kid.failed, 0);
}

static void test_destruction_while_everything_is_in_flight(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.hold = true};
	struct world world;
	struct done done = {0};
	struct kid kid;
	struct ramet_err err = {0};
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &kid, read_one, (void *)4));
	CHECK(world_until_atomic(&world, &script.reads, 1));
	CHECK_INT(pager_drain(world.seed, done_fn, &done, &err), 0);
	CHECK_INT(pager_fetch_all(world.seed, done_fn, &done, &err), 0);
	CHECK(world_until_atomic(&world, &script.reads, 2));
	kid_kill(&world, &kid);
	kid.child = NULL;
	kid_remove(&kid);
	world_fini(&world);
	CHECK(atomic_load(&script.destroyed));
	CHECK_INT(done.count, 0);
	CHECK_INT(kid.failed, 0);
}

SUITE_MAIN("pager", TEST(test_child_sees_the_bytes_of_the_seed),
	TEST(test_stream_is_fetched_ahead), TEST(test_pages_over_tcp),
	TEST(test_many_children_and_a_drain_at_once), TEST(test_sibling_causes_no_events),
	TEST(test_zero_pages_are_not_fetched_and_cost_siblings_nothing),
	TEST(test_writes_stay_private), TEST(test_faults_inside_system_calls),
	TEST(test_two_children_wait_for_one_read), TEST(test_failed_source_is_followed_by_the_next),
	TEST(test_child_fails_when_no_source_is_left),
	TEST(test_child_fails_when_there_is_no_source), TEST(test_revoked_source_ends_the_seed),
	TEST(test_revocation_at_the_peer), TEST(test_copy_that_goes_does_not_revoke),
	TEST(test_revoke_from_the_control_side), TEST(test_peer_that_refuses_or_dies),
	TEST(test_more_faults_than_slots), TEST(test_removal_while_a_read_is_in_flight),
	TEST(test_destruction_while_everything_is_in_flight))
