/* Sources that fail, refuse, or say that the seed is revoked, and pagers that end while reads are
 * in flight: what becomes of the processes that wait for pages. */
#include "tests/lib/suite.h"
#include "tests/rfork/pager_world.h"

#include <string.h>

static void test_failed_source_is_followed_by_the_next(void)
{
	static const int codes[] = {RAMET_EPEER, RAMET_EACCESS, RAMET_EIO, RAMET_ETIMEOUT};
	if (!world_can_fault())
		return;
	for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
		struct fixture fixture = fixture_simple(KID_PAGES);
		struct script_source bad = {.fail = codes[i]}, worse = {.refuse = codes[i]},
				     good = {0};
		struct world world;
		REQUIRE(world_init(&world, &fixture, NULL));
		CHECK(world_add_script(&world, &bad));
		CHECK(world_add_script(&world, &worse));
		CHECK(world_add_script(&world, &good));
		CHECK_INT(kid_run(&world, kid_read_shuffled, KID_SCATTERED), 0);
		bool ended = codes[i] == RAMET_EPEER || codes[i] == RAMET_EACCESS;
		CHECK_INT(atomic_load(&bad.reads), ended ? 1 : KID_PAGES);
		CHECK_INT(atomic_load(&good.reads), KID_PAGES);
		CHECK_INT(world_stats(&world).failed_reads, ended ? 2 : 2 * KID_PAGES);
		if (ended)
			CHECK(world_until(&world, &world.lost, 2));
		CHECK_INT(world.lost, ended ? 2 : 0);
		CHECK_INT(world.revoked, 0);
		world_fini(&world);
	}
}

static void test_child_fails_when_no_source_is_left(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct script_source first = {.fail = RAMET_EPEER}, second = {.fail = RAMET_ETIMEOUT};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &first));
	CHECK(world_add_script(&world, &second));
	CHECK(kid_start(&world, &kid, kid_read_one, (void *)4));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK_INT(kid.failed_instance, kid.pid);
	CHECK_INT(kid.err.code, RAMET_ETIMEOUT);
	CHECK(strstr(kid.err.msg, "page 4") != NULL);
	kid_kill(&world, &kid);
	kid_remove(&kid);

	CHECK(kid_start(&world, &kid, kid_read_one, (void *)5)); /* the second may have recovered */
	atomic_store(&second.fail, RAMET_EPEER);
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK_INT(kid.failed, 1);
	kid_kill(&world, &kid);
	kid_remove(&kid);
	world_fini(&world);
}

static void test_child_fails_when_there_is_no_source(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(kid_start(&world, &kid, kid_read_one, (void *)4));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK_INT(kid.err.code, RAMET_EPEER);
	kid_kill(&world, &kid);
	kid_remove(&kid);
	world_fini(&world);
}

static void test_revoked_source_ends_the_seed(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct script_source first = {.hold = true, .fail = RAMET_EREVOKED}, other = {0};
	struct world world;
	struct kid a, b, late;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &first));
	CHECK(world_add_script(&world, &other));
	CHECK(kid_start(&world, &a, kid_read_one, (void *)4));
	CHECK(kid_start(&world, &b, kid_read_one, (void *)9));
	CHECK(world_until_atomic(&world, &first.reads, 2));
	script_release(&world, &first);
	CHECK(world_until(&world, &a.failed, 1));
	CHECK(world_until(&world, &b.failed, 1));
	CHECK(world_until(&world, &world.revoked, 1));
	CHECK_INT(a.err.code, RAMET_EREVOKED);
	CHECK_INT(b.err.code, RAMET_EREVOKED);
	CHECK_INT(world.revoked_err.code, RAMET_EREVOKED);

	CHECK(kid_start(&world, &late, kid_read_one, (void *)20));
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
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, kid_read_one, (void *)1), 0);
	transport_segment_remove(world.segment, NULL, NULL);
	CHECK(kid_start(&world, &kid, kid_read_one, (void *)2));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK(world_until(&world, &world.revoked, 1));
	CHECK_INT(kid.err.code, RAMET_EREVOKED);
	kid_kill(&world, &kid);
	kid_remove(&kid);
	CHECK_INT(kid_run(&world, kid_read_one, (void *)1), 0); /* what is here stays readable */
	world_fini(&world);
}

static void test_copy_that_goes_does_not_revoke(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct script_source copy = {.fail = RAMET_EREVOKED}, origin = {0};
	struct world world;
	if (!world_can_fault())
		return;
	copy.base.copy = true;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &copy));
	CHECK(world_add_script(&world, &origin));
	CHECK_INT(kid_run(&world, kid_read_all, NULL), 0);
	CHECK(world_until(&world, &world.lost, 1));
	CHECK_INT(world.revoked, 0);
	CHECK_INT(atomic_load(&copy.reads), 1);
	world_fini(&world);
}

static void test_revoke_from_the_control_side(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct script_source script = {.hold = true};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &kid, kid_read_one, (void *)4));
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
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct world world;
	struct kid kid;
	struct ramet_err err = {0};
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	struct page_peer_spec spec = world_peer_spec(&world);
	spec.token[0] ^= 1;
	CHECK_INT(pager_seed_add_peer(world.seed, &spec, &err), 0);
	CHECK(kid_start(&world, &kid, kid_read_one, (void *)4));
	CHECK(world_until(&world, &kid.failed, 1));
	kid_kill(&world, &kid);
	kid_remove(&kid);

	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, kid_read_one, (void *)4), 0);
	transport_conn_close(world.server_conn);
	CHECK(kid_start(&world, &kid, kid_read_one, (void *)5));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK(world_until(&world, &world.lost, 2));
	kid_kill(&world, &kid);
	kid_remove(&kid);

	CHECK(world_add_peer(&world)); /* connects anew */
	CHECK_INT(kid_run(&world, kid_read_one, (void *)5), 0);
	world_fini(&world);
}

static void test_removal_while_a_read_is_in_flight(void)
{
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct script_source script = {.hold = true};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &kid, kid_read_one, (void *)4));
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
	struct fixture fixture = fixture_simple(KID_PAGES);
	struct script_source script = {.hold = true};
	struct world world;
	struct done done = {0};
	struct kid kid;
	struct ramet_err err = {0};
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &kid, kid_read_one, (void *)4));
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

SUITE_MAIN("pager ends", TEST(test_failed_source_is_followed_by_the_next),
	TEST(test_child_fails_when_no_source_is_left),
	TEST(test_child_fails_when_there_is_no_source), TEST(test_revoked_source_ends_the_seed),
	TEST(test_revocation_at_the_peer), TEST(test_copy_that_goes_does_not_revoke),
	TEST(test_revoke_from_the_control_side), TEST(test_peer_that_refuses_or_dies),
	TEST(test_removal_while_a_read_is_in_flight),
	TEST(test_destruction_while_everything_is_in_flight))
