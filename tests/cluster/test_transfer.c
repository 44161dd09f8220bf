/* Bundles and files between two nodes: fetched, shared, checked; sources that lie or have nothing.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "cluster/bundle.h"
#include "cluster/bus.h"
#include "cluster/file_transfer.h"
#include "cluster/workers.h"
#include "tests/cluster/bus_pair.h"
#include "tests/cluster/deploy_message.h"
#include "tests/lib/suite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct side {
	char dir[64];
	struct bundles *bundles;
	struct file_transfer *files;
	char shared[128]; /* the one file that peers may have */
	uint8_t shared_sha256[32];
	unsigned reads;
};

static struct side *side_of(void *user)
{
	return ((struct bus_side *)user)->user;
}

static void on_bundle_read(void *user, struct bus_request *request, const struct wire_value *body)
{
	side_of(user)->reads++;
	bundles_on_read(side_of(user)->bundles, request, body);
}

static void on_bundle_push(void *user, struct bus_request *request, const struct wire_value *body)
{
	bundles_on_push(side_of(user)->bundles, request, body);
}

static void on_file_read(void *user, struct bus_request *request, const struct wire_value *body)
{
	side_of(user)->reads++;
	file_transfer_on_read(side_of(user)->files, request, body);
}

static const struct bus_handler handlers[] = {
	{"bundle.read", on_bundle_read},
	{"bundle.push", on_bundle_push},
	{"file.read", on_file_read},
};

#define TENANT 1234

static int find_shared(void *user, uint32_t uid, const uint8_t sha256[32], char *path, size_t cap)
{
	struct side *side = user;
	if (uid != TENANT || !side->shared[0] || memcmp(sha256, side->shared_sha256, 32) != 0)
		return RAMET_ENOTFOUND;
	snprintf(path, cap, "%s", side->shared);
	return 0;
}

struct fixture {
	struct bus_pair pair;
	struct workers *workers;
	struct side side[2];
};

static bool setup(struct fixture *f)
{
	struct ramet_err err = {0};
	memset(f, 0, sizeof(*f));
	if (!bus_pair_init(&f->pair, handlers, ARRAY_LEN(handlers)) ||
		workers_create(f->pair.loop, 2, &f->workers, &err) < 0)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		struct side *side = &f->side[i];
		snprintf(side->dir, sizeof(side->dir), "/tmp/ramet-transfer-XXXXXX");
		if (!mkdtemp(side->dir))
			return false;
		f->pair.side[i].user = side;
		struct bundles_options bundles = {
			.dir = side->dir,
			.loop = f->pair.loop,
			.bus = f->pair.side[i].bus,
			.workers = f->workers,
		};
		struct file_transfer_options files = {
			.dir = side->dir,
			.loop = f->pair.loop,
			.bus = f->pair.side[i].bus,
			.workers = f->workers,
			.find = find_shared,
			.user = side,
		};
		if (bundles_create(&bundles, &side->bundles, &err) < 0 ||
			file_transfer_create(&files, &side->files, &err) < 0)
			return false;
	}
	bus_pair_link(&f->pair, 0, 1);
	bus_pair_link(&f->pair, 1, 0);
	uint64_t until = now_ns() + 5 * NSEC_PER_SEC;
	while ((!f->pair.side[0].ups || !f->pair.side[1].ups) && now_ns() < until)
		loop_turn(f->pair.loop, 100 * NSEC_PER_MSEC, NULL);
	return f->pair.side[0].ups && f->pair.side[1].ups;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int allow_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_D)
		chmod(path, 0700);
	return 0;
}

static void teardown(struct fixture *f)
{
	for (unsigned i = 0; i < 2; i++) {
		bundles_destroy(f->side[i].bundles);
		file_transfer_destroy(f->side[i].files);
	}
	for (unsigned i = 0; i < 2; i++) {
		bus_destroy(f->pair.side[i].bus);
		f->pair.side[i].bus = NULL;
	}
	workers_destroy(f->workers);
	bus_pair_fini(&f->pair);
	for (unsigned i = 0; i < 2; i++) {
		nftw(f->side[i].dir, allow_one, 8, FTW_PHYS);
		nftw(f->side[i].dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	}
}

struct outcome {
	unsigned count;
	struct ramet_err err;
	char path[512];
};

static void on_bundle(void *user, const struct ramet_err *error)
{
	struct outcome *outcome = user;
	outcome->count++;
	if (error)
		outcome->err = *error;
}

static void on_file(void *user, const char *path, const struct ramet_err *error)
{
	struct outcome *outcome = user;
	on_bundle(user, error);
	if (path)
		snprintf(outcome->path, sizeof(outcome->path), "%s", path);
}

static struct app_version *make_bundle(const char *data, struct buf *ret_archive)
{
	struct deploy_message message = DEPLOY_MESSAGE;
	struct wire_limits limits = {.bytes = CLIENT_MAX_FRAME, .depth = 8, .items = 1000};
	struct app_version *version = NULL;
	struct ramet_err err = {0};
	struct wire_msg *msg;
	struct buf b = {0};
	message.data = data;
	deploy_message_pack(&message, &b);
	CHECK_INT(wire_parse(b.data, b.len, limits, &msg, &err), 0);
	suite_check_ok(bundle_pack_deploy(
			       wire_root(msg), geteuid(), getegid(), ret_archive, &version, &err),
		&err, "pack", __FILE__, __LINE__);
	wire_free(msg);
	buf_fini(&b);
	return version;
}

static char *large_text(size_t len)
{
	char *text = malloc(len + 1);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + (i * 7 + i / 1000) % 26);
	text[len] = 0;
	return text;
}

static void check_an_added_bundle_is_there(
	struct fixture *f, struct bundles *bundles, const char *id, struct buf *archive)
{
	struct ramet_err err = {0};
	struct outcome added = {0};
	CHECK(!bundles_have(bundles, id));
	REQUIRE_OK(bundles_add(bundles, id, archive, on_bundle, &added, NULL, &err), &err);
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
	struct fixture *f, struct bundles *bundles, const char *id)
{
	struct ramet_err err = {0};
	struct outcome outcome = {0};
	struct bundle_fetch *fetch;
	REQUIRE_OK(bundles_fetch(bundles, id, NULL, 0, on_bundle, &outcome, &fetch, &err), &err);
	CHECK_INT(outcome.count, 0); /* not from within */
	BUS_PAIR_UNTIL(&f->pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, 0);
}

static void test_a_bundle_is_fetched_once_for_all_who_wait(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	struct outcome first = {0}, second = {0}, forgotten = {0};
	struct bundle_fetch *fetch, *fetch2, *fetch3;
	struct buf archive = {0};
	const uint32_t nodes[] = {1};
	REQUIRE(setup(&f));
	auto_free char *text = large_text(5u << 20); /* several chunks */
	struct app_version *version = make_bundle(text, &archive);
	check_an_added_bundle_is_there(&f, f.side[0].bundles, version->id, &archive);

	struct bundles *here = f.side[1].bundles;
	REQUIRE_OK(
		bundles_fetch(here, version->id, nodes, 1, on_bundle, &first, &fetch, &err), &err);
	REQUIRE_OK(bundles_fetch(here, version->id, nodes, 1, on_bundle, &second, &fetch2, &err),
		&err);
	REQUIRE_OK(bundles_fetch(here, version->id, nodes, 1, on_bundle, &forgotten, &fetch3, &err),
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
	teardown(&f);
}

static void test_a_bundle_that_nobody_has(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	struct outcome outcome = {0};
	struct bundle_fetch *fetch;
	const uint32_t nodes[] = {1, 9};
	char id[VERSION_HEX + 1] = {0};
	memset(id, 'e', VERSION_HEX);
	REQUIRE(setup(&f));
	REQUIRE_OK(
		bundles_fetch(f.side[1].bundles, id, nodes, 2, on_bundle, &outcome, &fetch, &err),
		&err);
	BUS_PAIR_UNTIL(&f.pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, RAMET_ENOTFOUND);
	CHECK_INT(bundles_fetch(f.side[1].bundles, "../../x", nodes, 2, on_bundle, &outcome, &fetch,
			  &err),
		RAMET_EINVAL);
	teardown(&f);
}

static void test_a_bundle_that_was_changed_on_its_way(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	struct outcome outcome = {0};
	struct bundle_fetch *fetch;
	struct buf archive = {0};
	const uint32_t nodes[] = {1};
	char path[256];
	REQUIRE(setup(&f));
	struct app_version *version = make_bundle("x = 1\n", &archive);
	archive.data[archive.len - 1] ^= 1;
	snprintf(path, sizeof(path), "%s/store/apps/%s.bundle", f.side[0].dir, version->id);
	REQUIRE_OK(file_replace(path, archive.data, archive.len, 0600, &err), &err);
	REQUIRE_OK(bundles_fetch(f.side[1].bundles, version->id, nodes, 1, on_bundle, &outcome,
			   &fetch, &err),
		&err);
	BUS_PAIR_UNTIL(&f.pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, RAMET_ECHECKSUM);
	CHECK(!bundles_have(f.side[1].bundles, version->id));
	buf_fini(&archive);
	app_version_put(version);
	teardown(&f);
}

static void test_a_small_bundle_is_pushed(void)
{
	struct fixture f;
	struct buf archive = {0};
	REQUIRE(setup(&f));
	struct app_version *version = make_bundle("x = 2\n", &archive);
	bundles_push(f.side[0].bundles, 2, version->id, &archive);
	BUS_PAIR_UNTIL(&f.pair, bundles_have(f.side[1].bundles, version->id));
	buf_fini(&archive);
	app_version_put(version);
	teardown(&f);
}

static void test_what_an_earlier_run_left_is_removed(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	struct outcome added = {0};
	struct buf archive = {0};
	char other[256];
	REQUIRE(setup(&f));
	struct app_version *version = make_bundle("x = 3\n", &archive);
	REQUIRE_OK(bundles_add(
			   f.side[0].bundles, version->id, &archive, on_bundle, &added, NULL, &err),
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
	teardown(&f);
}

static void share(struct side *side, const char *text, size_t len)
{
	struct ramet_err err = {0};
	struct sha256 digest;
	snprintf(side->shared, sizeof(side->shared), "%s/shared", side->dir);
	REQUIRE_OK(file_replace(side->shared, text, len, 0644, &err), &err);
	REQUIRE_OK(sha256_bytes(text, len, &digest, &err), &err);
	memcpy(side->shared_sha256, digest.bytes, 32);
}

/* by the second side */
static void fetch_file(struct fixture *f, uint32_t node, const uint8_t *sha256, size_t len,
	struct outcome *outcome)
{
	struct ramet_err err = {0};
	struct file_fetch *fetch;
	const struct file_want want = {
		.sha256 = sha256, .size = len, .uid = TENANT, .nodes = &node, .nnodes = 1};
	REQUIRE_OK(file_fetch_start(f->side[1].files, &want, on_file, outcome, &fetch, &err), &err);
}

/* of the file that the first shared last */
static void check_a_fetch_ends_with(struct fixture *f, uint32_t node, size_t len, int code)
{
	struct outcome outcome = {0};
	fetch_file(f, node, f->side[0].shared_sha256, len, &outcome);
	BUS_PAIR_UNTIL(&f->pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, code);
}

static void check_stored_file_holds(const char *path, const char *text)
{
	struct ramet_err err = {0};
	struct stat st;
	auto_free char *got = NULL;
	REQUIRE_OK(file_read(path, 8u << 20, &got, NULL, &err), &err);
	CHECK(strcmp(got, text) == 0);
	REQUIRE(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0500);
}

static void test_a_file_is_fetched_by_content(void)
{
	struct fixture f;
	struct outcome first = {0}, second = {0};
	const size_t len = (3u << 20) + 17;
	REQUIRE(setup(&f));
	auto_free char *text = large_text(len);
	share(&f.side[0], text, len);
	const uint8_t *hash = f.side[0].shared_sha256;
	fetch_file(&f, 1, hash, len, &first);
	fetch_file(&f, 1, hash, len, &second);
	BUS_PAIR_UNTIL(&f.pair, first.count && second.count);
	CHECK_INT(first.err.code, 0);
	CHECK_INT(f.side[0].reads, 4);
	check_stored_file_holds(first.path, text);
	check_a_fetch_ends_with(&f, 9, len, 0); /* it is here: node 9 is not asked */
	share(&f.side[0], "", 0);
	check_a_fetch_ends_with(&f, 1, 0, 0);
	teardown(&f);
}

static void test_files_that_cannot_be_had(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	struct outcome unknown = {0}, size = {0};
	uint8_t hash[32] = {7};
	char store[256];
	REQUIRE(setup(&f));
	share(&f.side[0], "twelve bytes", 12);
	fetch_file(&f, 1, hash, 12, &unknown);
	memcpy(hash, f.side[0].shared_sha256, 32);
	fetch_file(&f, 1, hash, 13, &size);
	BUS_PAIR_UNTIL(&f.pair, unknown.count && size.count);
	CHECK_INT(unknown.err.code, RAMET_ENOTFOUND); /* only what a seed names is served */
	CHECK_INT(size.err.code, RAMET_EPROTO);
	REQUIRE_OK(file_replace(f.side[0].shared, "TWELVE BYTES", 12, 0644, &err), &err);
	check_a_fetch_ends_with(&f, 1, 12, RAMET_ECHECKSUM);
	REQUIRE(unlink(f.side[0].shared) == 0 && mkfifo(f.side[0].shared, 0644) == 0);
	check_a_fetch_ends_with(&f, 1, 12, RAMET_ENOTFOUND); /* nobody waits for its writer */
	const struct file_want want = {.sha256 = hash, .size = 12, .uid = TENANT};
	file_store_path(f.side[1].files, &want, store, sizeof(store));
	CHECK(access(store, F_OK) != 0);
	snprintf(store, sizeof(store), "%s/store/files/%u", f.side[1].dir, TENANT);
	CHECK_INT(rmdir(store), 0);
	snprintf(store, sizeof(store), "%s/store/files", f.side[1].dir);
	CHECK_INT(rmdir(store), 0); /* nothing half is left */
	teardown(&f);
}

/* by the second side */
static void check_a_fetch(struct fixture *f, const struct file_want *want, int code)
{
	struct ramet_err err = {0};
	struct outcome outcome = {0};
	struct file_fetch *fetch;
	REQUIRE_OK(file_fetch_start(f->side[1].files, want, on_file, &outcome, &fetch, &err), &err);
	BUS_PAIR_UNTIL(&f->pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, code);
}

static void test_a_tenant_has_what_was_fetched_for_it(void)
{
	struct fixture f;
	const uint32_t nodes[] = {1};
	REQUIRE(setup(&f));
	share(&f.side[0], "a secret", 8);
	struct file_want want = {.sha256 = f.side[0].shared_sha256,
		.size = 8,
		.uid = TENANT,
		.nodes = nodes,
		.nnodes = 1};
	check_a_fetch(&f, &want, 0);
	want.uid = TENANT + 1; /* it is on this node, but not for that one */
	check_a_fetch(&f, &want, RAMET_ENOTFOUND);
	auto_close int other = file_store_open(f.side[1].files, &want);
	CHECK_INT(other, -1);
	want.uid = TENANT;
	auto_close int own = file_store_open(f.side[1].files, &want);
	CHECK(own >= 0);
	want.everybodys = true;
	check_a_fetch(&f, &want, 0);
	want.uid = TENANT + 1; /* what everybody may read is there for all */
	check_a_fetch(&f, &want, 0);
	teardown(&f);
}

static void test_another_source_is_asked(void)
{
	struct fixture f;
	const uint32_t nodes[] = {9, 1, 1};
	REQUIRE(setup(&f));
	share(&f.side[0], "twelve bytes", 12);
	struct file_want want = {.sha256 = f.side[0].shared_sha256,
		.size = 12,
		.uid = TENANT,
		.nodes = nodes,
		.nnodes = 2};
	check_a_fetch(&f, &want, 0); /* there is no node 9 */
	share(&f.side[0], "other bytes!", 12);
	want.nnodes = 3;
	fault_set("store.wrong_byte", 0, 1);
	check_a_fetch(&f, &want, 0); /* the first answer of node 1 was a lie */
	fault_set("store.wrong_byte", 0, 0);
	share(&f.side[0], "third bytes!", 12);
	fault_set("store.wrong_byte", 0, 2);
	check_a_fetch(&f, &want, RAMET_ECHECKSUM);
	fault_set("store.wrong_byte", 0, 0);
	auto_close int fd = file_store_open(f.side[1].files, &want);
	CHECK_INT(fd, -1);
	teardown(&f);
}

static bool is_stored(const struct fixture *f, const struct file_want *want)
{
	auto_close int fd = file_store_open(f->side[1].files, want);
	return fd >= 0;
}

static void test_what_was_not_used_for_longest_goes(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	const uint32_t nodes[] = {1};
	struct sha256 sums[3];
	REQUIRE(setup(&f));
	file_transfer_destroy(f.side[1].files);
	struct file_transfer_options options = {
		.dir = f.side[1].dir,
		.loop = f.pair.loop,
		.bus = f.pair.side[1].bus,
		.workers = f.workers,
		.find = find_shared,
		.user = &f.side[1],
		.max_bytes = 2500,
	};
	REQUIRE_OK(file_transfer_create(&options, &f.side[1].files, &err), &err);
	struct file_want want = {.size = 1000, .uid = TENANT, .nodes = nodes, .nnodes = 1};
	for (unsigned i = 0; i < 3; i++) {
		char text[1001];
		memset(text, 'a' + (int)i, sizeof(text));
		share(&f.side[0], text, 1000);
		memcpy(&sums[i], f.side[0].shared_sha256, sizeof(sums[i]));
		want.sha256 = sums[i].bytes;
		check_a_fetch(&f, &want, 0);
	}
	want.sha256 = sums[0].bytes;
	BUS_PAIR_UNTIL(&f.pair, !is_stored(&f, &want));
	CHECK(!is_stored(&f, &want));
	want.sha256 = sums[2].bytes;
	CHECK(is_stored(&f, &want));
	teardown(&f);
}

static void test_ending_in_the_middle(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	struct outcome bundle = {0}, file = {0}, added = {0};
	struct bundle_fetch *fetch;
	struct buf archive = {0};
	const uint32_t nodes[] = {1};
	unsigned fds = suite_count_fds();
	REQUIRE(setup(&f));
	auto_free char *text = large_text(3u << 20);
	share(&f.side[0], text, 3u << 20);
	struct app_version *version = make_bundle(text, &archive);
	REQUIRE_OK(bundles_add(
			   f.side[0].bundles, version->id, &archive, on_bundle, &added, NULL, &err),
		&err);
	REQUIRE_OK(bundles_fetch(f.side[1].bundles, version->id, nodes, 1, on_bundle, &bundle,
			   &fetch, &err),
		&err);
	fetch_file(&f, 1, f.side[0].shared_sha256, 3u << 20, &file);
	loop_turn(f.pair.loop, 0, NULL);
	/* adding is local work, and may have ended in that turn; the transfers cannot have */
	CHECK_INT(bundle.count + file.count, 0);
	unsigned told = added.count;
	teardown(&f); /* and tells nobody */
	CHECK_INT(bundle.count + file.count, 0);
	CHECK_INT(added.count, told);
	CHECK_INT(suite_count_fds(), fds);
	app_version_put(version);
}

SUITE_MAIN("transfer", TEST(test_a_bundle_is_fetched_once_for_all_who_wait),
	TEST(test_a_bundle_that_nobody_has), TEST(test_a_bundle_that_was_changed_on_its_way),
	TEST(test_a_small_bundle_is_pushed), TEST(test_what_an_earlier_run_left_is_removed),
	TEST(test_a_file_is_fetched_by_content), TEST(test_files_that_cannot_be_had),
	TEST(test_a_tenant_has_what_was_fetched_for_it), TEST(test_another_source_is_asked),
	TEST(test_what_was_not_used_for_longest_goes), TEST(test_ending_in_the_middle))
