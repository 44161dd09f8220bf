/* Archives: from a deploy message to files on disk, and everything that must not get there. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "cluster/bundle_archive.h"
#include "tests/cluster/deploy_message.h"
#include "tests/lib/suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[64];
	struct buf archive;
	struct app_version *version;
};

static int pack(
	const struct deploy_message *message, uid_t uid, struct fixture *f, struct ramet_err *err)
{
	struct buf b = {0};
	struct wire_msg *msg;
	struct wire_limits limits = {
		.bytes = CLIENT_MAX_FRAME, .depth = CLIENT_WIRE_DEPTH, .items = CLIENT_WIRE_ITEMS};
	deploy_message_pack(message, &b);
	int rc = wire_parse(b.data, b.len, limits, &msg, err);
	if (rc == 0) {
		rc = bundle_pack_deploy(
			wire_root(msg), uid, getgid(), &f->archive, &f->version, err);
		wire_free(msg);
	}
	buf_fini(&b);
	return rc;
}

static struct fixture setup(void)
{
	struct fixture f = {.dir = "/tmp/ramet-bundle-XXXXXX"};
	CHECK(mkdtemp(f.dir) != NULL);
	return f;
}

static unsigned entries(const char *dir)
{
	auto_closedir DIR *d = opendir(dir);
	unsigned count = 0;
	while (d && readdir(d))
		count++;
	return count - 2;
}

static void teardown(struct fixture *f)
{
	if (f->version)
		CHECK_INT(bundle_delete(f->dir, f->version->id, NULL), 0);
	CHECK_INT(entries(f->dir), 0); /* nothing is left behind */
	CHECK_INT(rmdir(f->dir), 0);
	buf_fini(&f->archive);
	app_version_put(f->version);
}

static int install(struct fixture *f, struct ramet_err *err)
{
	return bundle_install(f->dir, f->version->id, f->archive.data, f->archive.len, err);
}

static void check_file(const struct fixture *f, const char *path, mode_t mode, const char *content)
{
	char full[512];
	struct stat st;
	auto_free char *data = NULL;
	snprintf(full, sizeof(full), "%s/%s/%s", f->dir, f->version->id, path);
	REQUIRE(stat(full, &st) == 0);
	CHECK_INT(st.st_mode & 07777, mode);
	CHECK_INT(st.st_uid, f->version->uid);
	if (!content)
		return;
	REQUIRE(file_read(full, 4096, &data, NULL, NULL) == 0);
	CHECK_STR(data, content);
}

static void test_files_arrive_with_owner_and_mode(void)
{
	struct fixture f = setup();
	struct ramet_err err = {0};
	struct deploy_message message = DEPLOY_MESSAGE;
	uid_t tenant = geteuid() == 0 ? 12345 : geteuid();
	message.path2 = "lib/deep/er/mod.py";
	message.executable = true;
	REQUIRE_OK(pack(&message, tenant, &f, &err), &err);
	CHECK_INT(f.version->uid, tenant);
	CHECK_INT(f.version->bundle_bytes, f.archive.len);
	REQUIRE_OK(install(&f, &err), &err);
	check_file(&f, "", 0500, NULL);
	check_file(&f, "app.py", 0500, message.data);
	check_file(&f, "lib", 0500, NULL);
	check_file(&f, "lib/deep/er", 0500, NULL);
	check_file(&f, "lib/deep/er/mod.py", 0400, "second");
	REQUIRE_OK(install(&f, &err), &err); /* again: it is there */
	CHECK_INT(entries(f.dir), 2); /* the directory and the archive */
	teardown(&f);
}

static void test_the_version_is_made_of_everything_and_of_nothing_else(void)
{
	static const struct deploy_message changes[] = {
		{.app = "other"},
		{.function = "other"},
		{.python = "/opt/python3"},
		{.fresh = "fresh"},
		{.env_name = "C"},
		{.path2 = "more.py"},
		{.data = "def handler(event, context): return 2\n"},
		{.executable = true},
	};
	struct fixture base = setup(), other;
	struct ramet_err err = {0};
	struct deploy_message message = DEPLOY_MESSAGE;
	REQUIRE_OK(pack(&message, 1000, &base, &err), &err);

	other = setup();
	REQUIRE_OK(pack(&message, 1000, &other, &err), &err);
	CHECK_STR(other.version->id, base.version->id);
	teardown(&other);
	other = setup();
	REQUIRE_OK(pack(&message, 1001, &other, &err), &err); /* another tenant's is another's */
	CHECK(strcmp(other.version->id, base.version->id) != 0);
	teardown(&other);
	for (unsigned i = 0; i < ARRAY_LEN(changes); i++) {
		other = setup();
		message = deploy_message_with(&changes[i]);
		REQUIRE_OK(pack(&message, 1000, &other, &err), &err);
		CHECK(strcmp(other.version->id, base.version->id) != 0);
		teardown(&other);
	}
	teardown(&base);
}

static void test_paths(void)
{
	static const char *const good[] = {"a", "a/b", "a.b/..c/...", "ä/ö", "x y", ".hidden"};
	static const char *const bad[] = {"", "/etc/passwd", "..", ".", "../x", "a/../b", "a/..",
		"a//b", "a/", "./a", "a/./b", "a\nb", "a\x7f"};
	for (unsigned i = 0; i < ARRAY_LEN(good); i++)
		CHECK_INT(bundle_path_check(good[i], strlen(good[i]), NULL), 0);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(bundle_path_check(bad[i], strlen(bad[i]), NULL), RAMET_EINVAL);
	CHECK_INT(bundle_path_check("a\0b", 3, NULL), RAMET_EINVAL);
	char longest[CLIENT_PATH_MAX + 2];
	memset(longest, 'x', sizeof(longest));
	CHECK_INT(bundle_path_check(longest, CLIENT_PATH_MAX, NULL), 0);
	CHECK_INT(bundle_path_check(longest, CLIENT_PATH_MAX + 1, NULL), RAMET_EINVAL);
	for (unsigned i = 1; i < sizeof(longest); i += 2)
		longest[i] = '/';
	CHECK_INT(bundle_path_check(longest, 2 * BUNDLE_MAX_DEPTH - 1, NULL), 0);
	CHECK_INT(bundle_path_check(longest, 2 * BUNDLE_MAX_DEPTH + 1, NULL), RAMET_EINVAL);
}

static void test_what_cannot_be_deployed(void)
{
	static const struct {
		struct deploy_message change;
		int code;
		const char *says;
	} cases[] = {
		{{.path2 = "../evil.py"}, RAMET_EINVAL, "../evil.py"},
		{{.path2 = "/evil.py"}, RAMET_EINVAL, "/evil.py"},
		{{.path2 = "app.py"}, RAMET_EINVAL, "twice"},
		{{.path2 = "app.py/x"}, RAMET_EINVAL, "both a file and a directory"},
		{{.handler = "other.py:f"}, RAMET_EINVAL, "no file other.py is deployed"},
		{{.no_files = true}, RAMET_ELIMIT, "0 files"},
		{{.many_files = CLIENT_MAX_FILES}, RAMET_ELIMIT, "8193 files"},
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture f = setup();
		struct ramet_err err = {0};
		struct deploy_message message = deploy_message_with(&cases[i].change);
		CHECK_INT(pack(&message, 1000, &f, &err), cases[i].code);
		if (!strstr(err.msg, cases[i].says))
			CHECK_STR(err.msg, cases[i].says);
		teardown(&f);
	}
}

/* An archive from a peer that lies: its name is right, its content is not. */
static int install_forged(const char *path, struct ramet_err *err)
{
	struct fixture f = setup();
	struct deploy_message message = DEPLOY_MESSAGE;
	struct buf forged = {0};
	struct sha256 digest;
	char id[VERSION_HEX + 1];
	CHECK_INT(pack(&message, geteuid(), &f, err), 0);
	wire_map(&forged, 2);
	wire_key(&forged, "meta");
	app_version_pack(f.version, &forged);
	wire_key(&forged, "files");
	wire_array(&forged, 2);
	for (unsigned i = 0; i < 2; i++) {
		wire_map(&forged, 3);
		wire_kstr(&forged, "path", i ? path : "fine");
		wire_kbool(&forged, "executable", false);
		wire_kbin(&forged, "data", "evil", 4);
	}
	CHECK_INT(sha256_bytes(forged.data, forged.len, &digest, err), 0);
	hex_encode(digest.bytes, sizeof(digest.bytes), id);
	int rc = bundle_install(f.dir, id, forged.data, forged.len, err);
	buf_fini(&forged);
	teardown(&f);
	return rc;
}

static void test_a_forged_archive_is_refused_and_leaves_nothing(void)
{
	struct ramet_err err = {0};
	CHECK_INT(install_forged("../../evil", &err), RAMET_EINVAL);
	CHECK_INT(install_forged("/tmp/evil", &err), RAMET_EINVAL);
	CHECK_INT(install_forged("fine/evil", &err), RAMET_EIO); /* "fine" is a file */
	CHECK_INT(install_forged("fine", &err), RAMET_EIO);
	CHECK(access("/tmp/evil", F_OK) != 0);
}

static void test_a_changed_archive_is_refused(void)
{
	struct fixture f = setup();
	struct ramet_err err = {0};
	struct deploy_message message = DEPLOY_MESSAGE;
	REQUIRE_OK(pack(&message, geteuid(), &f, &err), &err);
	f.archive.data[f.archive.len / 2] ^= 1;
	CHECK_INT(install(&f, &err), RAMET_ECHECKSUM);
	CHECK_INT(entries(f.dir), 0);
	f.archive.data[f.archive.len / 2] ^= 1;
	CHECK_INT(bundle_install(f.dir, f.version->id, f.archive.data, f.archive.len - 1, &err),
		RAMET_ECHECKSUM);
	CHECK_INT(bundle_install(f.dir, "../x", f.archive.data, f.archive.len, &err), RAMET_EPROTO);
	CHECK_INT(entries(f.dir), 0);
	teardown(&f);
}

/* --- into an app that has functions --- */

/* deploys f, then what `change` makes of it into the same app */
static int pack_into(struct fixture *f, const struct deploy_message *change,
	struct app_version **ret, struct ramet_err *err)
{
	char path[160];
	struct wire_msg *msg = NULL;
	CLEANUP(buf_fini) struct buf b = {0};
	CLEANUP(buf_fini) struct buf archive = {0};
	struct deploy_message message = deploy_message_with(change);
	snprintf(path, sizeof(path), "%s/%s.bundle", f->dir, f->version->id);
	deploy_message_pack(&message, &b);
	int rc = file_replace(path, f->archive.data, f->archive.len, 0600, err);
	if (rc == 0)
		rc = wire_parse(b.data, b.len, WIRE_LIMITS_CONTROL, &msg, err);
	if (rc == 0)
		rc = bundle_pack_merged(
			wire_root(msg), 1000, 1000, f->version->id, path, &archive, ret, err);
	wire_free(msg);
	if (rc == 0) /* what was packed can be unpacked: every file is in it once */
		rc = bundle_install(f->dir, (*ret)->id, archive.data, archive.len, err);
	return rc;
}

static void test_another_function_comes_to_the_app(void)
{
	struct fixture f = setup();
	struct deploy_message message = DEPLOY_MESSAGE;
	struct app_version *merged = NULL;
	struct ramet_err err = {0};
	char path[200];
	REQUIRE_OK(pack(&message, getuid(), &f, &err), &err);
	const struct deploy_message other = {.function = "g",
		.handler = "other.py:handler",
		.path = "other.py",
		.module = "json"};
	REQUIRE_OK(pack_into(&f, &other, &merged, &err), &err);
	REQUIRE(merged != NULL);
	CHECK_INT(merged->nfunctions, 2);
	CHECK(app_version_function(merged, "f") && app_version_function(merged, "g"));
	CHECK_INT(merged->modules.count, 1);
	CHECK_INT(merged->nenv, 2);
	for (const char *const *name = (const char *const[]){"app.py", "other.py", NULL}; *name;
		name++) {
		snprintf(path, sizeof(path), "%s/%s/%s", f.dir, merged->id, *name);
		CHECK_INT(access(path, F_OK), 0);
	}
	CHECK_INT(bundle_delete(f.dir, merged->id, NULL), 0);
	app_version_put(merged);
	teardown(&f);
}

static void test_what_is_in_conflict_with_the_app(void)
{
	static const struct {
		struct deploy_message change;
		const char *says;
	} cases[] = {
		{{.function = "g", .data = "other"},
			"file app.py differs from that of app app, whose function f"},
		{{.function = "g", .lang = "native", .init = "app.py:set_up"},
			"init: app.py:set_up is native, and the language of app app with this "
			"deployment is python"},
		{{.function = "g", .fresh = "fresh"}, "fresh: app app has \"reuse\""},
		{{.function = "g", .python = "/opt/python"}, "python: app app has \"/usr/python\""},
		{{.function = "g", .init = "app.py:other"}, "init: app app has \"app.py:first\""},
		{{.function = "g", .path = "app.py/x", .handler = "app.py/x:h"},
			"both a file and a directory"},
	};
	struct fixture f = setup();
	struct deploy_message message = DEPLOY_MESSAGE;
	struct ramet_err err = {0};
	message.python = "/usr/python";
	message.init = "app.py:first";
	REQUIRE_OK(pack(&message, getuid(), &f, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct app_version *merged = NULL;
		CHECK(pack_into(&f, &cases[i].change, &merged, &err) < 0);
		if (!strstr(err.msg, cases[i].says))
			CHECK_STR(err.msg, cases[i].says);
		CHECK(merged == NULL);
	}
	/* who replaces all that the app has changes what it likes */
	struct app_version *merged = NULL;
	const struct deploy_message all = {
		.data = "other", .fresh = "fresh", .python = "/opt/python"};
	REQUIRE_OK(pack_into(&f, &all, &merged, &err), &err);
	CHECK_INT(merged->nfunctions, 1);
	CHECK_STR(merged->python, "/opt/python");
	CHECK_STR(merged->init, "");
	CHECK_INT(bundle_delete(f.dir, merged->id, NULL), 0);
	app_version_put(merged);
	teardown(&f);
}

SUITE_MAIN("bundle_archive", TEST(test_files_arrive_with_owner_and_mode),
	TEST(test_the_version_is_made_of_everything_and_of_nothing_else), TEST(test_paths),
	TEST(test_what_cannot_be_deployed),
	TEST(test_a_forged_archive_is_refused_and_leaves_nothing),
	TEST(test_a_changed_archive_is_refused), TEST(test_another_function_comes_to_the_app),
	TEST(test_what_is_in_conflict_with_the_app))
