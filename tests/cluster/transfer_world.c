/* Two nodes that have bundles and files for each other: see transfer_world.h. */
#include "tests/cluster/transfer_world.h"

#include "base/clock.h"
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

static struct transfer_side *side_of(void *user)
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

int transfer_find_shared(void *user, uint32_t uid, const uint8_t sha256[32], char *path, size_t cap)
{
	struct transfer_side *side = user;
	if (uid != TRANSFER_TENANT || !side->shared[0] ||
		memcmp(sha256, side->shared_sha256, 32) != 0)
		return RAMET_ENOTFOUND;
	snprintf(path, cap, "%s", side->shared);
	return 0;
}

bool transfer_begin(struct transfer_world *f)
{
	struct ramet_err err = {0};
	memset(f, 0, sizeof(*f));
	if (!bus_pair_init(&f->pair, handlers, ARRAY_LEN(handlers)) ||
		workers_create(f->pair.loop, 2, &f->workers, &err) < 0)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		struct transfer_side *side = &f->side[i];
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
			.find = transfer_find_shared,
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

void transfer_end(struct transfer_world *f)
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

void transfer_on_bundle(void *user, const struct ramet_err *error)
{
	struct transfer_outcome *outcome = user;
	outcome->count++;
	if (error)
		outcome->err = *error;
}

void transfer_on_file(void *user, const char *path, const struct ramet_err *error)
{
	struct transfer_outcome *outcome = user;
	transfer_on_bundle(user, error);
	if (path)
		snprintf(outcome->path, sizeof(outcome->path), "%s", path);
}

struct app_version *transfer_bundle(const char *data, struct buf *ret_archive)
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

char *transfer_text(size_t len)
{
	char *text = malloc(len + 1);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + (i * 7 + i / 1000) % 26);
	text[len] = 0;
	return text;
}

void transfer_share(struct transfer_side *side, const char *text, size_t len)
{
	struct ramet_err err = {0};
	struct sha256 digest;
	snprintf(side->shared, sizeof(side->shared), "%s/shared", side->dir);
	REQUIRE_OK(file_replace(side->shared, text, len, 0644, &err), &err);
	REQUIRE_OK(sha256_bytes(text, len, &digest, &err), &err);
	memcpy(side->shared_sha256, digest.bytes, 32);
}

/* by the second side */
void transfer_fetch(struct transfer_world *f, uint32_t node, const uint8_t *sha256, size_t len,
	struct transfer_outcome *outcome)
{
	struct ramet_err err = {0};
	struct file_fetch *fetch;
	const struct file_want want = {
		.sha256 = sha256, .size = len, .uid = TRANSFER_TENANT, .nodes = &node, .nnodes = 1};
	REQUIRE_OK(
		file_fetch_start(f->side[1].files, &want, transfer_on_file, outcome, &fetch, &err),
		&err);
}
