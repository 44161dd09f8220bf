/* Bundles between two nodes: fetched, pushed, shared, checked; sources that lie or have nothing. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "cluster/bundle.h"
#include "cluster/bus.h"
#include "cluster/file_transfer.h"
#include "cluster/workers.h"
#include "tests/cluster/transfer_world.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void check_an_added_bundle_is_there(
	struct transfer_world *f, struct bundles *bundles, const char *id, struct buf *archive)
{
	struct ramet_err err = {0};
	struct transfer_outcome added = {0};
	CHECK(!bundles_have(bundles, id));
	REQUIRE_OK(bundles_add(bundles, id, archive, transfer_on_bundle, &added, NULL, &err), &err);
	BUS_PAIR_UNTIL(&f->pair, added.count == 1);
	CHECK_INT(added.err.code, 0);
	CHECK(bundles_have(bundles, id));
}

static void check_its_file_holds(struct bundles *bundles, const char *id, const char *text)
{
	struct ramet_err err = {0};
	char dir[512], path[sizeof(dir) + 16];
	auto_free char *got = NULL;
	REQUIRE(bundles_path(bundles, id, dir, sizeof(dir)) == 0);
	snprintf(path, sizeof(path), "%s/app.py", dir);
	REQUIRE_OK(file_read(path, 8u << 20, &got, NULL, &err), &err);
	CHECK(strcmp(got, text) == 0);
}

static void check_what_is_here_is_told_later(
	struct transfer_world *f, struct bundles *bundles, const char *id)
{
	struct ramet_err err = {0};
	struct transfer_outcome outcome = {0};
	struct bundle_fetch *fetch;
	REQUIRE_OK(bundles_fetch(bundles, id, NULL, 0, transfer_on_bundle, &outcome, &fetch, &err),
		&err);
	CHECK_INT(outcome.count, 0); /* not from within */
	BUS_PAIR_UNTIL(&f->pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, 0);
}

static void test_a_bundle_is_fetched_once_for_all_who_wait(void)
{
	struct transfer_world f;
	struct ramet_err err = {0};
	struct transfer_outcome first = {0}, second = {0}, forgotten = {0};
	struct bundle_fetch *fetch, *fetch2, *fetch3;
	struct buf archive = {0};
	const uint32_t nodes[] = {1};
	REQUIRE(transfer_begin(&f));
	auto_free char *text = transfer_text(5u << 20); /* several chunks */
	struct app_version *version = transfer_bundle(text, &archive);
	check_an_added_bundle_is_there(&f, f.side[0].bundles, version->id, &archive);

	struct bundles *here = f.side[1].bundles;
	REQUIRE_OK(bundles_fetch(
			   here, version->id, nodes, 1, transfer_on_bundle, &first, &fetch, &err),
		&err);
	REQUIRE_OK(bundles_fetch(
			   here, version->id, nodes, 1, transfer_on_bundle, &second, &fetch2, &err),
		&err);
	REQUIRE_OK(bundles_fetch(here, version->id, nodes, 1, transfer_on_bundle, &forgotten,
			   &fetch3, &err),
		&err);
	bundle_fetch_forget(fetch3);
	BUS_PAIR_UNTIL(&f.pair, first.count && second.count);
	CHECK_INT(first.err.code, 0);
	CHECK_INT(forgotten.count, 0);
	CHECK_INT(f.side[0].reads, 6); /* 5 MiB and a little, once */
	check_its_file_holds(here, version->id, text);
	check_what_is_here_is_told_later(&f, here, version->id);
	bundles_remove(here, version->id);
	BUS_PAIR_UNTIL(&f.pair, !bundles_have(here, version->id));
	app_version_put(version);
	transfer_end(&f);
}

static void test_a_bundle_that_nobody_has(void)
{
	struct transfer_world f;
	struct ramet_err err = {0};
	struct transfer_outcome outcome = {0};
	struct bundle_fetch *fetch;
	const uint32_t nodes[] = {1, 9};
	char id[VERSION_HEX + 1] = {0};
	memset(id, 'e', VERSION_HEX);
	REQUIRE(transfer_begin(&f));
	REQUIRE_OK(bundles_fetch(f.side[1].bundles, id, nodes, 2, transfer_on_bundle, &outcome,
			   &fetch, &err),
		&err);
	BUS_PAIR_UNTIL(&f.pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, RAMET_ENOTFOUND);
	CHECK_INT(bundles_fetch(f.side[1].bundles, "../../x", nodes, 2, transfer_on_bundle,
			  &outcome, &fetch, &err),
		RAMET_EINVAL);
	transfer_end(&f);
}

static void test_a_bundle_that_was_changed_on_its_way(void)
{
	struct transfer_world f;
	struct ramet_err err = {0};
	struct transfer_outcome outcome = {0};
	struct bundle_fetch *fetch;
	struct buf archive = {0};
	const uint32_t nodes[] = {1};
	char path[256];
	REQUIRE(transfer_begin(&f));
	struct app_version *version = transfer_bundle("x = 1\n", &archive);
	archive.data[archive.len - 1] ^= 1;
	snprintf(path, sizeof(path), "%s/store/apps/%s.bundle", f.side[0].dir, version->id);
	REQUIRE_OK(file_replace(path, archive.data, archive.len, 0600, &err), &err);
	REQUIRE_OK(bundles_fetch(f.side[1].bundles, version->id, nodes, 1, transfer_on_bundle,
			   &outcome, &fetch, &err),
		&err);
	BUS_PAIR_UNTIL(&f.pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, RAMET_ECHECKSUM);
	CHECK(!bundles_have(f.side[1].bundles, version->id));
	buf_fini(&archive);
	app_version_put(version);
	transfer_end(&f);
}

static void test_a_small_bundle_is_pushed(void)
{
	struct transfer_world f;
	struct buf archive = {0};
	REQUIRE(transfer_begin(&f));
	struct app_version *version = transfer_bundle("x = 2\n", &archive);
	bundles_push(f.side[0].bundles, 2, version->id, &archive);
	BUS_PAIR_UNTIL(&f.pair, bundles_have(f.side[1].bundles, version->id));
	buf_fini(&archive);
	app_version_put(version);
	transfer_end(&f);
}

static void test_what_an_earlier_run_left_is_removed(void)
{
	struct transfer_world f;
	struct ramet_err err = {0};
	struct transfer_outcome added = {0};
	struct buf archive = {0};
	char other[256];
	REQUIRE(transfer_begin(&f));
	struct app_version *version = transfer_bundle("x = 3\n", &archive);
	REQUIRE_OK(bundles_add(f.side[0].bundles, version->id, &archive, transfer_on_bundle, &added,
			   NULL, &err),
		&err);
	BUS_PAIR_UNTIL(&f.pair, added.count == 1);
	snprintf(other, sizeof(other), "%s/store/apps/README", f.side[0].dir);
	REQUIRE_OK(file_replace(other, "mine", 4, 0600, &err), &err);
	bundles_destroy(f.side[0].bundles);
	struct bundles_options options = {
		.dir = f.side[0].dir,
		.loop = f.pair.loop,
		.bus = f.pair.side[0].bus,
		.workers = f.workers,
	};
	REQUIRE_OK(bundles_create(&options, &f.side[0].bundles, &err), &err);
	CHECK(!bundles_have(f.side[0].bundles, version->id));
	CHECK(access(other, F_OK) == 0); /* what is not ours stays */
	app_version_put(version);
	transfer_end(&f);
}

static void test_ending_in_the_middle(void)
{
	struct transfer_world f;
	struct ramet_err err = {0};
	struct transfer_outcome bundle = {0}, file = {0}, added = {0};
	struct bundle_fetch *fetch;
	struct buf archive = {0};
	const uint32_t nodes[] = {1};
	unsigned fds = suite_count_fds();
	REQUIRE(transfer_begin(&f));
	auto_free char *text = transfer_text(3u << 20);
	transfer_share(&f.side[0], text, 3u << 20);
	struct app_version *version = transfer_bundle(text, &archive);
	REQUIRE_OK(bundles_add(f.side[0].bundles, version->id, &archive, transfer_on_bundle, &added,
			   NULL, &err),
		&err);
	REQUIRE_OK(bundles_fetch(f.side[1].bundles, version->id, nodes, 1, transfer_on_bundle,
			   &bundle, &fetch, &err),
		&err);
	transfer_fetch(&f, 1, f.side[0].shared_sha256, 3u << 20, &file);
	loop_turn(f.pair.loop, 0, NULL);
	/* adding is local work, and may have ended in that turn; the transfers cannot have */
	CHECK_INT(bundle.count + file.count, 0);
	unsigned told = added.count;
	transfer_end(&f); /* and tells nobody */
	CHECK_INT(bundle.count + file.count, 0);
	CHECK_INT(added.count, told);
	CHECK_INT(suite_count_fds(), fds);
	app_version_put(version);
}

SUITE_MAIN("transfer", TEST(test_a_bundle_is_fetched_once_for_all_who_wait),
	TEST(test_a_bundle_that_nobody_has), TEST(test_a_bundle_that_was_changed_on_its_way),
	TEST(test_a_small_bundle_is_pushed), TEST(test_what_an_earlier_run_left_is_removed),
	TEST(test_ending_in_the_middle))
