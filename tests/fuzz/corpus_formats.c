/* corpus_formats [--check] DIR: the part of the corpus that is in formats of our own, made by what
 * makes them in the product: written to DIR (tests/fuzz/make_corpus runs it), or compared with what
 * is there, so that the corpus does not fall behind the formats. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/file.h"
#include "base/wire.h"
#include "cluster/bundle_archive.h"
#include "runtime/files/manifest.h"
#include "runtime/slots/slots_wire.h"
#include "tests/cluster/deploy_message.h"
#include "tests/rfork/seed_fixture.h"
#include "transport/bytes.h"
#include "transport/pipe_wire.h"
#include "transport/verbs_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CORPUS_MAX (1u << 20)

struct output {
	const char *dir;
	bool check, failed;
};

static void put(
	struct output *out, const char *target, const char *name, const void *bytes, size_t len)
{
	struct ramet_err err = {0};
	char path[4096];
	auto_free char *there = NULL;
	size_t there_len = 0;
	snprintf(path, sizeof(path), "%s/%s", out->dir, target);
	int rc = out->check ? 0 : file_mkdirs(path, 0755, &err);
	snprintf(path, sizeof(path), "%s/%s/%s", out->dir, target, name);
	if (rc == 0)
		rc = out->check ? file_read(path, CORPUS_MAX, &there, &there_len, &err)
				: file_replace(path, bytes, len, 0644, &err);
	if (rc == 0 && out->check && (there_len != len || memcmp(there, bytes, len) != 0))
		rc = err_set(&err, RAMET_EVERSION, "out of date: run tests/fuzz/make_corpus");
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", path, err.msg);
		out->failed = true;
	}
}

static void descriptors(struct output *out)
{
	struct fixture apart = fixture_simple(3);
	apart.apart = true;
	const struct fixture mixed = {
		.pieces = {{FIXTURE_BASE, 2, PIECE_IMAGE, PROT_READ | PROT_WRITE},
			{FIXTURE_BASE + 16 * RFORK_PAGE, 4, PIECE_ANON, PROT_READ},
			{FIXTURE_BASE + 64 * RFORK_PAGE, 2, PIECE_VDSO, PROT_READ | PROT_EXEC},
			{FIXTURE_BASE + 128 * RFORK_PAGE, 3, PIECE_IMAGE, PROT_READ}},
		.npieces = 4,
		.zeros = 4,
	};
	const struct fixture layered = {
		.pieces = {{FIXTURE_BASE, 2, PIECE_IMAGE, PROT_READ, true, 1},
			{FIXTURE_BASE + 2 * RFORK_PAGE, 1, PIECE_IMAGE, PROT_READ},
			{FIXTURE_BASE + 3 * RFORK_PAGE, 2, PIECE_IMAGE, PROT_READ, true, 4}},
		.npieces = 3,
		.base_pages = 8,
	};
	const struct {
		const char *name;
		struct fixture fixture;
	} all[] = {{"simple", fixture_simple(3)}, {"apart", apart}, {"mixed", mixed},
		{"layered", layered}};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		size_t len = 0;
		auto_free void *bytes = fixture_descriptor(&all[i].fixture, &len);
		if (bytes)
			put(out, "descriptor", all[i].name, bytes, len);
		else
			out->failed = true;
	}
}

static void manifests(struct output *out)
{
	static const struct manifest_item items[] = {
		{.path = "/", .type = MANIFEST_DIR, .mode = 0755},
		{.path = "/usr", .type = MANIFEST_DIR, .mode = 0755},
		{.path = "/usr/lib", .type = MANIFEST_DIR, .mode = 0755, .flags = MANIFEST_WHOLE},
		{.path = "/usr/lib/a.py", .type = MANIFEST_FILE, .mode = 0644, .size = 7},
		{.path = "/usr/lib/b.so",
			.type = MANIFEST_FILE,
			.mode = 0755,
			.size = 4096,
			.mtime_ns = 1},
		{.path = "/usr/lib/c", .type = MANIFEST_LINK, .mode = 0777, .link = "b.so"},
		{.path = "/home", .type = MANIFEST_DIR, .mode = 0700, .flags = MANIFEST_OWNED},
		{.path = "/home/x", .type = MANIFEST_FILE, .mode = 0600, .size = 1},
	};
	AUTO(manifest_builder_destroy) struct manifest_builder *b = NULL;
	struct ramet_err err = {0};
	auto_free void *bytes = NULL;
	size_t len = 0;
	int rc = manifest_builder_create(&b, &err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(items); i++)
		rc = manifest_add(b, &items[i], &err);
	if (rc == 0)
		rc = manifest_seal(b, false, &bytes, &len, &err);
	if (rc == 0)
		put(out, "manifest", "tree", bytes, len);
	else
		out->failed = true;
}

static void bundles(struct output *out)
{
	struct deploy_message message = DEPLOY_MESSAGE;
	struct ramet_err err = {0};
	CLEANUP(buf_fini) struct buf deploy = {0};
	CLEANUP(buf_fini) struct buf archive = {0};
	struct app_version *version = NULL;
	struct wire_msg *msg = NULL;
	message.path2 = "package/data.txt";
	message.executable = true;
	deploy_message_pack(&message, &deploy);
	int rc = wire_parse(deploy.data, deploy.len, WIRE_LIMITS_CONTROL, &msg, &err);
	if (rc == 0)
		rc = bundle_pack_deploy(wire_root(msg), 1000, 1000, &archive, &version, &err);
	if (rc == 0)
		put(out, "bundle", "two-files", archive.data, archive.len);
	else
		out->failed = true;
	app_version_put(version);
	wire_free(msg);
}

static void verbs_messages(struct output *out)
{
	const struct verbs_lane_end lane = {
		.epoch = 1, .qpn = 17, .psn = 0x123456, .rd_atomic = 16, .mtu = 3, .gid = {1, 2}};
	const struct {
		const char *name;
		struct verbs_message message;
	} all[] = {
		{"ping", {.type = VERBS_PING, .received = 3, .lane_received = 9, .revoked = 1}},
		{"open",
			{.type = VERBS_LANE_OPEN,
				.lane = lane,
				.suspect = {.any = true, .len = 4096, .ref = {5, 6}}}},
		{"ready", {.type = VERBS_LANE_READY, .lane = lane, .verdict = RAMET_EREVOKED}},
		{"revoke", {.type = VERBS_REVOKE, .count = 2, .ids = {7, 8}}},
		{"bye", {.type = VERBS_BYE}},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		unsigned char bytes[VERBS_MESSAGE_SIZE];
		struct verbs_message parsed;
		verbs_message_encode(&all[i].message, bytes);
		if (verbs_message_parse(bytes, sizeof(bytes), &parsed) < 0)
			out->failed = true;
		put(out, "verbs_wire", all[i].name, bytes, sizeof(bytes));
	}
}

/* a byte that says who is asked (fuzz_slots_far.c), a header, and some bytes behind it */
static void slots_frame(
	struct output *out, const char *name, bool to_node, const struct slots_wire *wire)
{
	unsigned char bytes[1 + SLOTS_WIRE_BYTES + 16] = {to_node};
	slots_wire_pack(wire, bytes + 1);
	if (wire->len > 16)
		out->failed = true;
	else
		put(out, "slots_far", name, bytes, 1 + SLOTS_WIRE_BYTES + wire->len);
}

static void slots_frames(struct output *out)
{
	const struct slots_wire call = {.type = SLOTS_WIRE_CALL,
		.slot = 2,
		.number = 5,
		.len = 16,
		.time_ns = 1000000,
		.span_ms = 1,
		.size = 1};
	const struct slots_wire cancel = {.type = SLOTS_WIRE_CANCEL, .slot = 2, .number = 5};
	const struct slots_wire answer = {
		.type = SLOTS_WIRE_ANSWER, .number = 1, .len = 3, .begun = true};
	const struct slots_wire back = {.type = SLOTS_WIRE_ANSWER, .slot = 1, .number = 2};
	const struct slots_wire end = {.type = SLOTS_WIRE_END};
	slots_frame(out, "call", true, &call);
	slots_frame(out, "cancel", true, &cancel);
	slots_frame(out, "answer", false, &answer);
	slots_frame(out, "back", false, &back);
	slots_frame(out, "end", false, &end);
}

/* steps of fuzz_pipe.c */
struct pipe_steps {
	unsigned char bytes[256];
	size_t len;
};

static void pipe_says(struct pipe_steps *steps, const struct pipe_message *message)
{
	steps->bytes[steps->len++] = 0;
	steps->bytes[steps->len++] = PIPE_MESSAGE_BYTES;
	pipe_message_pack(message, steps->bytes + steps->len);
	steps->len += PIPE_MESSAGE_BYTES;
}

static void pipe_writes(struct pipe_steps *steps, uint32_t at, uint32_t len)
{
	struct pipe_positions here = {.posted = at + len};
	unsigned char *to = steps->bytes + steps->len;
	to[0] = 2;
	bytes_put32(to + 1, pipe_imm(&here));
	bytes_put32(to + 5, at); /* of which there are three bytes, as of the length */
	bytes_put32(to + 8, len);
	steps->len += 11;
}

/* a step and two bytes */
static void pipe_does(struct pipe_steps *steps, unsigned char what, uint16_t number)
{
	steps->bytes[steps->len++] = what;
	bytes_put16(steps->bytes + steps->len, number);
	steps->len += 2;
}

static void pipe_peers(struct output *out)
{
	const struct pipe_message hello = {.kind = PIPE_HELLO};
	const struct pipe_message end = {.kind = PIPE_END, .position = 1000};
	struct pipe_steps steps = {0};
	pipe_says(&steps, &hello);
	put(out, "pipe", "hello", steps.bytes, steps.len);
	pipe_writes(&steps, 0, 1000);
	pipe_does(&steps, 3, 5000); /* sends */
	steps.bytes[steps.len++] = 5; /* a turn */
	pipe_does(&steps, 4, 600); /* receives */
	put(out, "pipe", "piece", steps.bytes, steps.len);
	pipe_says(&steps, &end);
	steps.bytes[steps.len++] = 5;
	pipe_does(&steps, 4, 600);
	steps.bytes[steps.len++] = 6; /* shuts */
	put(out, "pipe", "end", steps.bytes, steps.len);
}

int main(int argc, char **argv)
{
	struct output out = {.check = argc == 3 && strcmp(argv[1], "--check") == 0};
	if (argc != 2 + out.check)
		return 2;
	out.dir = argv[argc - 1];
	descriptors(&out);
	manifests(&out);
	bundles(&out);
	verbs_messages(&out);
	slots_frames(&out);
	pipe_peers(&out);
	return out.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
