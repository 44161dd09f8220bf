/* Archives of deployed files: from a deploy message to bytes whose SHA-256 is the version's name.
 */
#include "cluster/bundle_archive.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "cluster/bundle_merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
	const char *path;
	size_t path_len;
	const void *data;
	size_t len;
	bool executable;
};

int bundle_path_check(const char *path, size_t len, struct ramet_err *err)
{
	unsigned depth = 0;
	if (len == 0 || len > CLIENT_PATH_MAX)
		return err_set(err, RAMET_EINVAL,
			"a path in the bundle has %zu bytes: 1 to %u are allowed", len,
			CLIENT_PATH_MAX);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
			return err_set(err, RAMET_EINVAL,
				"a path in the bundle holds a control character");
	for (size_t begin = 0; begin <= len;) {
		const char *slash = memchr(path + begin, '/', len - begin);
		size_t part = slash ? (size_t)(slash - path) - begin : len - begin;
		const char *name = path + begin;
		if (part == 0 || (part == 1 && name[0] == '.') ||
			(part == 2 && name[0] == '.' && name[1] == '.'))
			return err_set(err, RAMET_EINVAL,
				"path \"%.*s\" in the bundle: it must be relative, without empty "
				"parts, \".\" and \"..\"",
				(int)len, path);
		if (++depth > BUNDLE_MAX_DEPTH)
			return err_set(err, RAMET_EINVAL,
				"path \"%.*s\" in the bundle is more than %u levels deep", (int)len,
				path, BUNDLE_MAX_DEPTH);
		begin += part + 1;
	}
	return 0;
}

static int path_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, MIN(a_len, b_len));
	if (order)
		return order;
	return a_len < b_len ? -1 : a_len > b_len;
}

static int file_compare(const void *a, const void *b)
{
	const struct file *fa = a, *fb = b;
	return path_compare(fa->path, fa->path_len, fb->path, fb->path_len);
}

static int parse_file(const struct wire_value *map, struct file *ret, struct ramet_err *err)
{
	uint64_t mode = 0;
	bool executable = false;
	if (!map || !wire_is_map(map))
		return err_set(err, RAMET_EPROTO, "files: a map was expected");
	int rc = wire_get_span(map, "path", &ret->path, &ret->path_len, err);
	if (rc == 0)
		rc = bundle_path_check(ret->path, ret->path_len, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "mode", UINT32_MAX, 0, &mode, err);
	if (rc == 0)
		rc = wire_get_bin(map, "data", &ret->data, &ret->len, err);
	if (rc == 0)
		rc = wire_get_bool_or(
			map, "executable", false, &executable, err); /* an archive's */
	if (rc == 0)
		ret->executable = executable || (mode & 0111);
	return rc;
}

/* sorted files: each path once, and none that is also a directory of another */
static int check_files(const struct file *files, uint32_t count, struct ramet_err *err)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct file *file = &files[i];
		if (i > 0 && file_compare(file - 1, file) == 0)
			return err_set(err, RAMET_EINVAL, "file %.*s is in the bundle twice",
				(int)file->path_len, file->path);
		for (size_t at = 1; at < file->path_len; at++) {
			struct file dir = {.path = file->path, .path_len = at};
			if (file->path[at] == '/' &&
				bsearch(&dir, files, count, sizeof(*files), file_compare))
				return err_set(err, RAMET_EINVAL,
					"%.*s is both a file and a directory in the bundle",
					(int)at, file->path);
		}
	}
	return 0;
}

static int parse_files(const struct wire_value *deploy, struct file **ret_files,
	uint32_t *ret_count, struct ramet_err *err)
{
	const struct wire_value *list;
	uint32_t count;
	size_t total = 0;
	int rc = wire_get_array(deploy, "files", &list, &count, err);
	if (rc < 0)
		return rc;
	if (count == 0 || count > CLIENT_MAX_FILES)
		return err_set(err, RAMET_ELIMIT, "%u files: 1 to %u can be deployed", count,
			CLIENT_MAX_FILES);
	auto_free struct file *files = calloc(count, sizeof(*files));
	if (!files)
		return err_nomem(err);
	for (uint32_t i = 0; i < count; i++) {
		rc = parse_file(wire_at(list, i), &files[i], err);
		if (rc < 0)
			return rc;
		total += files[i].len;
	}
	if (total > CLIENT_MAX_BUNDLE)
		return err_set(err, RAMET_ELIMIT,
			"the files have %zu bytes together: at most %u can be deployed", total,
			CLIENT_MAX_BUNDLE);
	qsort(files, count, sizeof(*files), file_compare);
	rc = check_files(files, count, err);
	if (rc < 0)
		return rc;
	*ret_files = steal_ptr(&files);
	*ret_count = count;
	return 0;
}

/* "app.py:handler" names a file that is deployed */
static int check_handler(const char *what, const char *handler, const struct file *files,
	uint32_t count, struct ramet_err *err)
{
	struct file file = {.path = handler, .path_len = (size_t)(strrchr(handler, ':') - handler)};
	if (bsearch(&file, files, count, sizeof(*files), file_compare))
		return 0;
	return err_set(err, RAMET_EINVAL, "%s %s: no file %.*s is deployed", what, handler,
		(int)file.path_len, file.path);
}

static int check_handlers(const struct app_version *version, const struct file *files,
	uint32_t count, struct ramet_err *err)
{
	int rc = version->init[0] ? check_handler("init", version->init, files, count, err) : 0;
	for (uint32_t i = 0; rc == 0 && i < version->nfunctions; i++)
		rc = check_handler("handler", version->functions[i].handler, files, count, err);
	return rc;
}

static int check_requirements(const struct app_version *version, const struct file *files,
	uint32_t count, struct ramet_err *err)
{
	struct file file = {
		.path = version->requirements_file, .path_len = strlen(version->requirements_file)};
	if (file.path_len == 0 || bsearch(&file, files, count, sizeof(*files), file_compare))
		return 0;
	return err_set(err, RAMET_EINVAL, "requirements: no file %s is deployed", file.path);
}

static void pack_files(const struct file *files, uint32_t count, struct buf *b)
{
	wire_key(b, "files");
	wire_array(b, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_map(b, 3);
		wire_key(b, "path");
		wire_strn(b, files[i].path, files[i].path_len);
		wire_kbool(b, "executable", files[i].executable);
		wire_kbin(b, "data", files[i].data, files[i].len);
	}
}

static int archive_name(
	const void *archive, size_t len, char hex[VERSION_HEX + 1], struct ramet_err *err)
{
	struct sha256 digest;
	int rc = sha256_bytes(archive, len, &digest, err);
	if (rc == 0)
		hex_encode(digest.bytes, sizeof(digest.bytes), hex);
	return rc;
}

/* --- with what the app has --- */

/* What is in an archive on disk; the files point into its bytes. */
struct base {
	char *bytes;
	struct wire_msg *msg;
	struct app_version *version;
	struct file *files;
	uint32_t count;
};

static void base_fini(struct base *base)
{
	free(base->files);
	app_version_put(base->version);
	wire_free(base->msg);
	free(base->bytes);
}

static int base_open(const char *id, const char *path, struct base *base, struct ramet_err *err)
{
	const struct wire_limits limits = {.bytes = BUNDLE_ARCHIVE_MAX,
		.depth = CLIENT_WIRE_DEPTH,
		.items = CLIENT_WIRE_ITEMS};
	const struct wire_value *meta;
	size_t len;
	int rc = file_read(path, BUNDLE_ARCHIVE_MAX, &base->bytes, &len, err);
	if (rc == 0)
		rc = bundle_check_name(id, base->bytes, len, err);
	if (rc == 0)
		rc = wire_parse(base->bytes, len, limits, &base->msg, err);
	if (rc == 0)
		rc = wire_get_map(wire_root(base->msg), "meta", &meta, err);
	if (rc == 0)
		rc = app_version_parse(meta, id, &base->version, err);
	if (rc == 0)
		rc = parse_files(wire_root(base->msg), &base->files, &base->count, err);
	return rc;
}

static bool some_stay(const struct app_version *old, const struct app_version *deployed)
{
	for (uint32_t i = 0; i < old->nfunctions; i++)
		if (!app_version_function(deployed, old->functions[i].name))
			return true;
	return false;
}

/* whether a function of the app that is not deployed anew has its handler in that file */
static const char *still_used(
	const struct app_version *old, const struct app_version *deployed, const struct file *file)
{
	for (uint32_t i = 0; i < old->nfunctions; i++) {
		const struct app_function *f = &old->functions[i];
		if ((size_t)(strrchr(f->handler, ':') - f->handler) == file->path_len &&
			memcmp(f->handler, file->path, file->path_len) == 0 &&
			!app_version_function(deployed, f->name))
			return f->name;
	}
	return NULL;
}

/* the app's files, with those that are deployed in their places */
static int merge_files(const struct base *base, const struct app_version *deployed,
	struct file **io_files, uint32_t *io_count, struct ramet_err *err)
{
	auto_free struct file *all = calloc(base->count + *io_count, sizeof(*all));
	uint32_t count = *io_count;
	size_t total = 0;
	if (!all)
		return err_nomem(err);
	memcpy(all, *io_files, *io_count * sizeof(*all));
	for (uint32_t i = 0; i < base->count; i++) {
		const struct file *old = &base->files[i];
		const struct file *new =
			bsearch(old, *io_files, *io_count, sizeof(*old), file_compare);
		bool same =
			new &&new->len == old->len &&memcmp(new->data, old->data, old->len) == 0;
		const char *user = same ? NULL : still_used(base->version, deployed, old);
		if (new &&user)
			return err_set(err, RAMET_EEXIST,
				"file %.*s differs from that of app %s, whose function %s uses it: "
				"deploy both, or under another name",
				(int)old->path_len, old->path, deployed->app, user);
		if (!new)
			all[count++] = *old;
	}
	for (uint32_t i = 0; i < count; i++)
		total += all[i].len;
	if (count > CLIENT_MAX_FILES || total > CLIENT_MAX_BUNDLE)
		return err_set(err, RAMET_ELIMIT,
			"app %s would have %u files of %zu bytes: at most %u of %u are allowed",
			deployed->app, count, total, CLIENT_MAX_FILES, CLIENT_MAX_BUNDLE);
	qsort(all, count, sizeof(*all), file_compare);
	int rc = check_files(all, count, err);
	if (rc < 0)
		return rc;
	free(*io_files);
	*io_files = steal_ptr(&all);
	*io_count = count;
	return 0;
}

/* --- archives --- */

static int seal(struct app_version *version, uid_t uid, gid_t gid, const struct file *files,
	uint32_t count, struct buf *ret_archive, struct ramet_err *err)
{
	struct buf archive = {0};
	version->uid = uid; /* who it is is not for the message to say */
	version->gid = gid;
	version->bundle_bytes = 0;
	wire_map(&archive, 2);
	wire_key(&archive, "meta");
	app_version_pack(version, &archive);
	pack_files(files, count, &archive);
	int rc = wire_end(&archive, err);
	if (rc == 0 && archive.len > BUNDLE_ARCHIVE_MAX)
		rc = err_set(err, RAMET_ELIMIT, "what is deployed has %zu bytes, more than %u",
			archive.len, BUNDLE_ARCHIVE_MAX);
	if (rc == 0)
		rc = archive_name(archive.data, archive.len, version->id, err);
	if (rc < 0) {
		buf_fini(&archive);
		return rc;
	}
	version->bundle_bytes = archive.len;
	*ret_archive = archive;
	return 0;
}

int bundle_pack_merged(const struct wire_value *deploy, uid_t uid, gid_t gid, const char *base,
	const char *base_path, struct buf *ret_archive, struct app_version **ret_version,
	struct ramet_err *err)
{
	static const char unnamed[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	CLEANUP(base_fini) struct base has = {0};
	auto_app_version struct app_version *version = NULL;
	auto_free struct file *files = NULL;
	uint32_t count = 0;
	int rc = app_version_parse(deploy, unnamed, &version, err);
	if (rc == 0)
		rc = parse_files(deploy, &files, &count, err);
	if (rc == 0)
		rc = check_handlers(version, files, count, err);
	if (rc == 0 && base)
		rc = base_open(base, base_path, &has, err);
	bool merge = rc == 0 && base && some_stay(has.version, version);
	if (merge)
		rc = merge_files(&has, version, &files, &count, err);
	if (merge && rc == 0)
		rc = bundle_merge_version(version, has.version, err);
	if (rc == 0)
		rc = check_requirements(version, files, count, err);
	if (rc == 0)
		rc = seal(version, uid, gid, files, count, ret_archive, err);
	if (rc < 0)
		return rc;
	*ret_version = steal_ptr(&version);
	return 0;
}

int bundle_pack_deploy(const struct wire_value *deploy, uid_t uid, gid_t gid,
	struct buf *ret_archive, struct app_version **ret_version, struct ramet_err *err)
{
	return bundle_pack_merged(deploy, uid, gid, NULL, NULL, ret_archive, ret_version, err);
}

int bundle_check_name(const char *version, const void *archive, size_t len, struct ramet_err *err)
{
	char hex[VERSION_HEX + 1];
	int rc = archive_name(archive, len, hex, err);
	if (rc < 0)
		return rc;
	if (strcmp(hex, version) != 0)
		return err_set(err, RAMET_ECHECKSUM, "bundle %.12s: its bytes have another SHA-256",
			version);
	return 0;
}
