/* Fetching ahead: prefetch from packs and images, drains that step aside, the log of faults, and
 * what happens to all of them when reads fail. */
#include "base/clock.h"
#include "base/fault.h"
#include "rfork/pager_internal.h"
#include "tests/lib/suite.h"
#include "tests/rfork/pager_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGES 512

static const uint32_t in_order[] = {300, 301, 302, 7, 6, 5, 100, 400, 401};
#define NORDER ARRAY_LEN(in_order)

static struct working_set *set_of(const uint32_t *pages, uint64_t count)
{
	struct ramet_err err = {0};
	struct working_set *set = NULL;
	working_set_create(PAGES, pages, count, &set, &err);
	return set;
}

static bool asked_in_order(const struct script_source *script, const uint32_t *pages, unsigned n)
{
	return atomic_load(&script->npages) == n && memcmp(script->pages, pages, n * 4) == 0;
}

/* prefetches in_order and waits; the code that done was told */
static int prefetch(struct world *world, bool packed)
{
	struct ramet_err err = {0};
	struct done done = {0};
	auto_working_set struct working_set *set = set_of(in_order, NORDER);
	if (!set || pager_prefetch(world->seed, set, packed, done_fn, &done, &err) < 0)
		return 1;
	return world_until(world, &done.count, 1) ? done.err.code : 2;
}

static bool have_order(const struct image *image)
{
	for (unsigned i = 0; i < NORDER; i++)
		if (!image_has(image, in_order[i]) ||
			!fixture_check(in_order[i], image->base + in_order[i] * RFORK_PAGE))
			return false;
	return atomic_load(&image->npresent) == NORDER;
}

static int read_order(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NORDER; i++)
		KID_EXPECT(fixture_check(in_order[i], kid_page(in_order[i])));
	return 0;
}

static void test_prefetched_pages_cause_no_events(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(prefetch(&world, false), 0);
	CHECK(have_order(world.image));
	CHECK_INT(kid_run(&world, read_order, NULL), 0);
	CHECK_INT(world_stats(&world).events, 0);
	CHECK_INT(world_stats(&world).ahead_pages, NORDER);
	world_fini(&world);
}

static void test_prefetch_without_pack_goes_by_address(void)
{
	static const uint32_t sorted[] = {5, 6, 7, 100, 300, 301, 302, 400, 401};
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {0};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK_INT(prefetch(&world, true), 0); /* it has none */
	CHECK(asked_in_order(&script, sorted, NORDER));
	CHECK_INT(atomic_load(&script.reads), 1);
	CHECK(have_order(world.image));
	CHECK_INT(prefetch(&world, false), 0); /* nothing is left to do */
	CHECK_INT(atomic_load(&script.reads), 1);
	world_fini(&world);
}

static void test_pack_is_read_in_its_order(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.base.pack_pages = NORDER};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK_INT(prefetch(&world, true), 0);
	CHECK(asked_in_order(&script, in_order, NORDER));
	CHECK(have_order(world.image));
	world_fini(&world);
}

struct pack {
	unsigned char *bytes;
	struct transport_segment *segment;
};

/* a peer with a pack; break_image: only the pack can be read */
static bool add_packed_peer(struct world *world, struct pack *pack, bool break_image)
{
	struct ramet_err err = {0};
	struct page_peer_spec spec = world_peer_spec(world);
	auto_working_set struct working_set *set = set_of(in_order, NORDER);
	pack->bytes = malloc(NORDER * RFORK_PAGE);
	if (!set || !pack->bytes || working_set_pack(set, world->origin, pack->bytes, &err) < 0 ||
		transport_segment_add(world->domain, pack->bytes, NORDER * RFORK_PAGE, 0,
			&pack->segment, &err) < 0)
		return false;
	spec.pack = transport_segment_ref(pack->segment, 0);
	spec.pack_pages = NORDER;
	spec.image.key ^= break_image;
	return pager_seed_add_peer(world->seed, &spec, &err) == 0;
}

static void test_pack_of_a_peer(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	struct pack pack = {0};
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(add_packed_peer(&world, &pack, true));
	CHECK_INT(prefetch(&world, true), 0);
	CHECK(have_order(world.image));
	CHECK_INT(world_stats(&world).failed_reads, 0);
	world_fini(&world);
	free(pack.bytes);
}

static void test_pack_that_went_away_is_not_a_revocation(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	struct pack pack = {0};
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(add_packed_peer(&world, &pack, false));
	transport_segment_remove(pack.segment, NULL, NULL);
	CHECK_INT(prefetch(&world, true), 0);
	CHECK(have_order(world.image));
	CHECK_INT(world_stats(&world).failed_reads, 1);
	CHECK_INT(world.revoked, 0);
	CHECK_INT(world.lost, 0);
	world_fini(&world);
	free(pack.bytes);
}

static void test_fault_waits_for_the_prefetch_that_brings_its_page(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.hold = true, .base.pack_pages = NORDER};
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	auto_working_set struct working_set *set = set_of(in_order, NORDER);
	CHECK_INT(pager_prefetch(world.seed, set, true, done_fn, &done, &err), 0);
	CHECK(world_until_atomic(&world, &script.reads, 1));
	CHECK(kid_start(&world, &kid, read_order, NULL));
	CHECK(world_until_faults(&world, 1));
	CHECK_INT(atomic_load(&script.reads), 1);
	script_release(&world, &script);
	CHECK_INT(kid_wait(&world, &kid), 0);
	CHECK_INT(atomic_load(&script.reads), 1);
	CHECK(world_until(&world, &done.count, 1));
	kid_remove(&kid);
	world_fini(&world);
}

static void test_fault_survives_the_loss_of_the_pack(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source packed = {.hold = true, .base.pack_pages = NORDER}, plain = {0};
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &packed));
	CHECK(world_add_script(&world, &plain));
	auto_working_set struct working_set *set = set_of(in_order, NORDER);
	CHECK_INT(pager_prefetch(world.seed, set, true, done_fn, &done, &err), 0);
	CHECK(world_until_atomic(&world, &packed.reads, 1));
	CHECK(kid_start(&world, &kid, read_order, NULL));
	CHECK(world_until_faults(&world, 1));
	atomic_store(&packed.fail, RAMET_EPEER);
	script_release(&world, &packed);
	CHECK_INT(kid_wait(&world, &kid), 0);
	CHECK(world_until(&world, &done.count, 1));
	CHECK_INT(done.err.code, 0);
	CHECK_INT(kid.failed, 0);
	CHECK(have_order(world.image));
	kid_remove(&kid);
	world_fini(&world);
}

static void test_prefetch_goes_on_with_the_next_source(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source bad = {.fail = RAMET_ETIMEOUT}, good = {0};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &bad));
	CHECK(world_add_script(&world, &good));
	CHECK_INT(prefetch(&world, false), 0);
	CHECK(have_order(world.image));
	world_fini(&world);
}

static void test_prefetch_fails_without_sources_and_faults_bring_neighbours(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {0};
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK_INT(prefetch(&world, false), RAMET_EPEER);
	CHECK(world_add_script(&world, &script));
	CHECK_INT(kid_run(&world, read_order, NULL), 0);
	static const uint32_t runs[] = {300, 301, 302, 5, 6, 7, 100, 400, 401};
	CHECK(asked_in_order(&script, runs, NORDER));
	CHECK_INT(atomic_load(&script.reads), 4);
	world_fini(&world);
}

static void test_revocation_ends_a_prefetch(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.fail = RAMET_EREVOKED}, other = {0};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(world_add_script(&world, &other));
	CHECK_INT(prefetch(&world, false), RAMET_EREVOKED);
	CHECK_INT(prefetch(&world, false), RAMET_EREVOKED);
	CHECK_INT(world.revoked, 1);
	CHECK_INT(atomic_load(&other.reads), 0);
	world_fini(&world);
}

static void test_drain_completes_the_image(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {0};
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	fixture.zeros = 0xf0;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK_INT(prefetch(&world, false), 0);
	CHECK_INT(pager_drain(world.seed, done_fn, &done, &err), 0);
	CHECK(world_until(&world, &done.count, 1));
	CHECK_INT(done.err.code, 0);
	CHECK(image_complete(world.image));
	CHECK(atomic_load(&script.max_inflight) <= 2);
	CHECK_INT(world_stats(&world).ahead_pages, PAGES - 4);
	CHECK_INT(image_resident(world.image), (PAGES - 4) * RFORK_PAGE);
	for (uint64_t page = 8; page < PAGES; page++)
		CHECK(fixture_check(page, world.image->base + page * RFORK_PAGE));
	world_fini(&world);
}

static int read_far(void *arg)
{
	(void)arg;
	KID_EXPECT(fixture_check(500, kid_page(500)));
	return 0;
}

static void test_drain_steps_aside_for_faults(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.hold = true};
	struct ramet_err err = {0};
	struct done drained = {0}, all = {0};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK(kid_start(&world, &kid, read_far, NULL));
	CHECK(world_until_atomic(&world, &script.reads, 1));
	CHECK_INT(pager_drain(world.seed, done_fn, &drained, &err), 0);
	struct pager_seed *other =
		NULL; /* its call is behind the drain's: the drain had its turn */
	CHECK_INT(pager_seed_add(world.pager, world.image, NULL, NULL, &other, &err), 0);
	CHECK_INT(pager_fetch_all(other, done_fn, &all, &err), 0);
	CHECK(world_until(&world, &all.count, 1)); /* it has no source */
	CHECK_INT(atomic_load(&script.reads), 1);
	script_release(&world, &script);
	CHECK_INT(kid_wait(&world, &kid), 0);
	CHECK(world_until(&world, &drained.count, 1));
	CHECK(image_complete(world.image));
	kid_remove(&kid);
	world_fini(&world);
}

static void test_fetch_all_by_the_transport(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(pager_fetch_all(world.seed, done_fn, &done, &err), 0);
	CHECK(world_until(&world, &done.count, 1));
	CHECK_INT(done.err.code, 0);
	CHECK(image_complete(world.image));
	for (uint64_t page = 0; page < PAGES; page++)
		CHECK(fixture_check(page, world.image->base + page * RFORK_PAGE));
	world_fini(&world);
}

/* pages of the staging memory that are there */
static unsigned staged(const struct world *world)
{
	static unsigned char present[8192];
	size_t pages = world->pager->staging_len / RFORK_PAGE;
	unsigned count = 0;
	if (!CHECK(pages <= sizeof(present)))
		return 0;
	CHECK_INT(mincore(world->pager->staging, world->pager->staging_len, present), 0);
	for (size_t i = 0; i < pages; i++)
		count += present[i] & 1;
	return count;
}

static void test_staging_memory_goes_back(void)
{
	struct fixture fixture = fixture_simple(1024);
	struct script_source script = {.hold = true};
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK_INT(pager_fetch_all(world.seed, done_fn, &done, &err), 0);
	CHECK(world_until_atomic(&world, &script.reads, 8));
	script_release(&world, &script);
	CHECK(world_until(&world, &done.count, 1));
	CHECK(image_complete(world.image));
	unsigned at_first = staged(&world);
	CHECK(at_first >= 8 * PAGE_READ_MAX);
	uint64_t end = now_ns() + WORLD_TIMEOUT_NS;
	while (staged(&world) > 2 * PAGE_READ_MAX && now_ns() < end)
		REQUIRE_OK(loop_turn(world.loop, 100000000, &err), &err);
	CHECK_INT(staged(&world), 2 * PAGE_READ_MAX);
	world_fini(&world);
}

static void test_pager_on_the_control_loop(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct ramet_err err = {0};
	struct done done = {0};
	struct pager *pager = NULL;
	struct pager_seed *seed = NULL;
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	const struct pager_options mem = {.provider = "mem"};
	struct page_peer_spec spec = world_peer_spec(&world);
	REQUIRE_OK(pager_create(world.loop, world.loop, &mem, &pager, &err), &err);
	CHECK_INT(pager_seed_add(pager, world.image, NULL, NULL, &seed, &err), 0);
	CHECK_INT(pager_seed_add_peer(seed, &spec, &err), 0);
	CHECK_INT(pager_fetch_all(seed, done_fn, &done, &err), 0);
	CHECK(world_until(&world, &done.count, 1));
	CHECK_INT(done.err.code, 0);
	CHECK(image_complete(world.image));
	pager_destroy(pager);
	world_fini(&world);
}

static void test_several_fetches_at_once(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	auto_working_set struct working_set *set = set_of(in_order, NORDER);
	auto_working_set struct working_set *none = set_of(NULL, 0);
	CHECK_INT(pager_drain(world.seed, done_fn, &done, &err), 0);
	CHECK_INT(pager_prefetch(world.seed, set, false, done_fn, &done, &err), 0);
	CHECK_INT(pager_prefetch(world.seed, none, true, done_fn, &done, &err), 0);
	CHECK_INT(pager_fetch_all(world.seed, done_fn, &done, &err), 0);
	CHECK(world_until(&world, &done.count, 4));
	CHECK_INT(done.err.code, 0);
	CHECK(image_complete(world.image));
	CHECK_INT(world_stats(&world).ahead_pages, PAGES);
	set->image_pages++;
	CHECK_INT(pager_prefetch(world.seed, set, false, done_fn, &done, &err), RAMET_EINVAL);
	world_fini(&world);
}

struct log {
	unsigned count;
	uint32_t pages[64];
	uint64_t npages;
};

static void log_fn(void *user, const uint32_t *pages, uint64_t count, const struct ramet_err *err)
{
	struct log *log = user;
	CHECK_INT(err->code, 0);
	log->npages = count;
	memcpy(log->pages, pages, MIN(count, 64ull) * sizeof(*pages));
	log->count++;
}

static void test_log_is_the_order_of_faults(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct ramet_err err = {0};
	struct log log = {0};
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK_INT(kid_run(&world, read_far, NULL), 0);
	CHECK(kid_start(&world, &kid, read_order, NULL));
	CHECK_INT(kid_wait(&world, &kid), 0);
	CHECK_INT(pager_seed_log(world.seed, log_fn, &log, &err), 0);
	CHECK(world_until(&world, &log.count, 1));
	CHECK_INT(log.npages, 1 + NORDER);
	CHECK_INT(log.pages[0], 500);
	CHECK(memcmp(log.pages + 1, in_order, sizeof(in_order)) == 0);
	struct pager_stats stats;
	pager_child_stats(kid.child, &stats);
	CHECK_INT(stats.fetched_pages, NORDER);
	kid_remove(&kid);
	world_fini(&world);
}

static void test_removed_seed_calls_nobody(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source script = {.hold = true};
	struct ramet_err err = {0};
	struct done done = {0};
	struct world world;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_script(&world, &script));
	CHECK_INT(pager_fetch_all(world.seed, done_fn, &done, &err), 0);
	CHECK(world_until_atomic(&world, &script.reads, 8));
	pager_seed_remove(world.seed);
	script_release(&world, &script);
	struct pager_seed *other = NULL;
	struct done later = {0};
	CHECK_INT(pager_seed_add(world.pager, world.origin, NULL, NULL, &other, &err), 0);
	CHECK_INT(pager_fetch_all(other, done_fn, &later, &err), 0);
	CHECK(world_until(&world, &later.count, 1));
	CHECK_INT(later.err.code, 0); /* that image was complete */
	CHECK_INT(done.count, 0);
	world_fini(&world);
}

#ifdef RAMET_FAULT_POINTS
static int read_first(void *arg)
{
	(void)arg;
	KID_EXPECT(fixture_check(0, kid_page(0)));
	return 0;
}

static void test_page_that_cannot_be_stored(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	fault_set("image.store", 0, 2);
	CHECK_INT(prefetch(&world, false), RAMET_EIO);
	CHECK(kid_start(&world, &kid, read_first, NULL));
	CHECK(world_until(&world, &kid.failed, 1));
	CHECK_INT(kid.err.code, RAMET_EIO);
	fault_set("image.store", 0, 0);
	kid_kill(&world, &kid);
	kid_remove(&kid);
	CHECK_INT(kid_run(&world, read_first, NULL), 0);
	world_fini(&world);
}

static void test_read_that_cannot_be_begun(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct script_source second = {0};
	struct world world;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	CHECK(world_add_script(&world, &second));
	fault_set("pager.read", 0, 1);
	CHECK_INT(kid_run(&world, read_first, NULL), 0);
	CHECK_INT(atomic_load(&second.reads), 1);
	CHECK_INT(world.lost, 0);
	world_fini(&world);
}
#define FAULT_TESTS TEST(test_page_that_cannot_be_stored), TEST(test_read_that_cannot_be_begun),
#else
#define FAULT_TESTS
#endif

SUITE_MAIN("pager_fetch", TEST(test_prefetched_pages_cause_no_events),
	TEST(test_prefetch_without_pack_goes_by_address), TEST(test_pack_is_read_in_its_order),
	TEST(test_pack_of_a_peer), TEST(test_pack_that_went_away_is_not_a_revocation),
	TEST(test_fault_waits_for_the_prefetch_that_brings_its_page),
	TEST(test_fault_survives_the_loss_of_the_pack),
	TEST(test_prefetch_goes_on_with_the_next_source),
	TEST(test_prefetch_fails_without_sources_and_faults_bring_neighbours),
	TEST(test_revocation_ends_a_prefetch), TEST(test_drain_completes_the_image),
	TEST(test_drain_steps_aside_for_faults), TEST(test_fetch_all_by_the_transport),
	TEST(test_staging_memory_goes_back), TEST(test_pager_on_the_control_loop),
	TEST(test_several_fetches_at_once), TEST(test_log_is_the_order_of_faults),
	FAULT_TESTS TEST(test_removed_seed_calls_nobody))
