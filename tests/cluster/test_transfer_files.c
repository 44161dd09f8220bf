/* Files between two nodes, by their content: fetched once, checked, kept for a tenant, dropped. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "cluster/bus.h"
#include "cluster/file_transfer.h"
#include "cluster/workers.h"
#include "tests/cluster/transfer_world.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* of the file that the first shared last */
static void check_a_fetch_ends_with(struct transfer_world *f, uint32_t node, size_t len, int code)
{
	struct transfer_outcome outcome = {0};
	transfer_fetch(f, node, f->side[0].shared_sha256, len, &outcome);
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
	struct transfer_world f;
	struct transfer_outcome first = {0}, second = {0};
	const size_t len = (3u << 20) + 17;
	REQUIRE(transfer_begin(&f));
	auto_free char *text = transfer_text(len);
	transfer_share(&f.side[0], text, len);
	const uint8_t *hash = f.side[0].shared_sha256;
	transfer_fetch(&f, 1, hash, len, &first);
	transfer_fetch(&f, 1, hash, len, &second);
	BUS_PAIR_UNTIL(&f.pair, first.count && second.count);
	CHECK_INT(first.err.code, 0);
	CHECK_INT(f.side[0].reads, 4);
	check_stored_file_holds(first.path, text);
	check_a_fetch_ends_with(&f, 9, len, 0); /* it is here: node 9 is not asked */
	transfer_share(&f.side[0], "", 0);
	check_a_fetch_ends_with(&f, 1, 0, 0);
	transfer_end(&f);
}

static void test_files_that_cannot_be_had(void)
{
	struct transfer_world f;
	struct ramet_err err = {0};
	struct transfer_outcome unknown = {0}, size = {0};
	uint8_t hash[32] = {7};
	char store[256];
	REQUIRE(transfer_begin(&f));
	transfer_share(&f.side[0], "twelve bytes", 12);
	transfer_fetch(&f, 1, hash, 12, &unknown);
	memcpy(hash, f.side[0].shared_sha256, 32);
	transfer_fetch(&f, 1, hash, 13, &size);
	BUS_PAIR_UNTIL(&f.pair, unknown.count && size.count);
	CHECK_INT(unknown.err.code, RAMET_ENOTFOUND); /* only what a seed names is served */
	CHECK_INT(size.err.code, RAMET_EPROTO);
	REQUIRE_OK(file_replace(f.side[0].shared, "TWELVE BYTES", 12, 0644, &err), &err);
	check_a_fetch_ends_with(&f, 1, 12, RAMET_ECHECKSUM);
	REQUIRE(unlink(f.side[0].shared) == 0 && mkfifo(f.side[0].shared, 0644) == 0);
	check_a_fetch_ends_with(&f, 1, 12, RAMET_ENOTFOUND); /* nobody waits for its writer */
	const struct file_want want = {.sha256 = hash, .size = 12, .uid = TRANSFER_TENANT};
	file_store_path(f.side[1].files, &want, store, sizeof(store));
	CHECK(access(store, F_OK) != 0);
	snprintf(store, sizeof(store), "%s/store/files/%u", f.side[1].dir, TRANSFER_TENANT);
	CHECK_INT(rmdir(store), 0);
	snprintf(store, sizeof(store), "%s/store/files", f.side[1].dir);
	CHECK_INT(rmdir(store), 0); /* nothing half is left */
	transfer_end(&f);
}

/* by the second side */
static void check_a_fetch(struct transfer_world *f, const struct file_want *want, int code)
{
	struct ramet_err err = {0};
	struct transfer_outcome outcome = {0};
	struct file_fetch *fetch;
	REQUIRE_OK(
		file_fetch_start(f->side[1].files, want, transfer_on_file, &outcome, &fetch, &err),
		&err);
	BUS_PAIR_UNTIL(&f->pair, outcome.count == 1);
	CHECK_INT(outcome.err.code, code);
}

static void test_a_tenant_has_what_was_fetched_for_it(void)
{
	struct transfer_world f;
	const uint32_t nodes[] = {1};
	REQUIRE(transfer_begin(&f));
	transfer_share(&f.side[0], "a secret", 8);
	struct file_want want = {.sha256 = f.side[0].shared_sha256,
		.size = 8,
		.uid = TRANSFER_TENANT,
		.nodes = nodes,
		.nnodes = 1};
	check_a_fetch(&f, &want, 0);
	want.uid = TRANSFER_TENANT + 1; /* it is on this node, but not for that one */
	check_a_fetch(&f, &want, RAMET_ENOTFOUND);
	auto_close int other = file_store_open(f.side[1].files, &want);
	CHECK_INT(other, -1);
	want.uid = TRANSFER_TENANT;
	auto_close int own = file_store_open(f.side[1].files, &want);
	CHECK(own >= 0);
	want.everybodys = true;
	check_a_fetch(&f, &want, 0);
	want.uid = TRANSFER_TENANT + 1; /* what everybody may read is there for all */
	check_a_fetch(&f, &want, 0);
	transfer_end(&f);
}

static void test_another_source_is_asked(void)
{
	struct transfer_world f;
	const uint32_t nodes[] = {9, 1, 1};
	REQUIRE(transfer_begin(&f));
	transfer_share(&f.side[0], "twelve bytes", 12);
	struct file_want want = {.sha256 = f.side[0].shared_sha256,
		.size = 12,
		.uid = TRANSFER_TENANT,
		.nodes = nodes,
		.nnodes = 2};
	check_a_fetch(&f, &want, 0); /* there is no node 9 */
	transfer_share(&f.side[0], "other bytes!", 12);
	want.nnodes = 3;
	fault_set("store.wrong_byte", 0, 1);
	check_a_fetch(&f, &want, 0); /* the first answer of node 1 was a lie */
	fault_set("store.wrong_byte", 0, 0);
	transfer_share(&f.side[0], "third bytes!", 12);
	fault_set("store.wrong_byte", 0, 2);
	check_a_fetch(&f, &want, RAMET_ECHECKSUM);
	fault_set("store.wrong_byte", 0, 0);
	auto_close int fd = file_store_open(f.side[1].files, &want);
	CHECK_INT(fd, -1);
	transfer_end(&f);
}

static bool is_stored(const struct transfer_world *f, const struct file_want *want)
{
	auto_close int fd = file_store_open(f->side[1].files, want);
	return fd >= 0;
}

static void test_what_was_not_used_for_longest_goes(void)
{
	struct transfer_world f;
	struct ramet_err err = {0};
	const uint32_t nodes[] = {1};
	struct sha256 sums[3];
	REQUIRE(transfer_begin(&f));
	file_transfer_destroy(f.side[1].files);
	struct file_transfer_options options = {
		.dir = f.side[1].dir,
		.loop = f.pair.loop,
		.bus = f.pair.side[1].bus,
		.workers = f.workers,
		.find = transfer_find_shared,
		.user = &f.side[1],
		.max_bytes = 2500,
	};
	REQUIRE_OK(file_transfer_create(&options, &f.side[1].files, &err), &err);
	struct file_want want = {.size = 1000, .uid = TRANSFER_TENANT, .nodes = nodes, .nnodes = 1};
	for (unsigned i = 0; i < 3; i++) {
		char text[1001];
		memset(text, 'a' + (int)i, sizeof(text));
		transfer_share(&f.side[0], text, 1000);
		memcpy(&sums[i], f.side[0].shared_sha256, sizeof(sums[i]));
		want.sha256 = sums[i].bytes;
		check_a_fetch(&f, &want, 0);
	}
	want.sha256 = sums[0].bytes;
	BUS_PAIR_UNTIL(&f.pair, !is_stored(&f, &want));
	CHECK(!is_stored(&f, &want));
	want.sha256 = sums[2].bytes;
	CHECK(is_stored(&f, &want));
	transfer_end(&f);
}

SUITE_MAIN("transfer of files", TEST(test_a_file_is_fetched_by_content),
	TEST(test_files_that_cannot_be_had), TEST(test_a_tenant_has_what_was_fetched_for_it),
	TEST(test_another_source_is_asked), TEST(test_what_was_not_used_for_longest_goes))
