/* See compile.h. Under its root: objects/KEY.so, one for each module that was ever compiled; KEY,
 * the directory of an app's modules, of links to objects; work.*, what is being made. */
#include "cmd/ramet-wasm/compile.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/file.h"
#include "cmd/ramet-wasm/binary.h"
#include "cmd/ramet-wasm/object.h"
#include "cmd/ramet-wasm/tools.h"
#include "cmd/ramet-wasm/work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

DEFINE_CLEANUP(struct sha256_stream, sha256_stream_destroy)

#define PATH_CAP WORK_PATH_MAX

/* --- names --- */

static int add_text(struct sha256_stream *hash, const char *text, struct ramet_err *err)
{
	return sha256_stream_add(hash, text, strlen(text) + 1, err);
}

static int end_key(struct sha256_stream *hash, char key[SHA256_HEX_LEN + 1], struct ramet_err *err)
{
	struct sha256 sum;
	int rc = sha256_stream_end(hash, &sum, err);
	if (rc == 0)
		hex_encode(sum.bytes, sizeof(sum.bytes), key);
	return rc;
}

static int module_key(
	const struct compile *compile, struct compile_module *module, struct ramet_err *err)
{
	AUTO(sha256_stream_destroy) struct sha256_stream *hash = NULL;
	int rc = sha256_stream_create(&hash, err);
	if (rc == 0)
		rc = object_recipe(hash, err);
	if (rc == 0)
		rc = add_text(hash, compile->versions, err);
	if (rc == 0)
		rc = sha256_stream_add(hash, module->data, module->len, err);
	return rc < 0 ? rc : end_key(hash, module->key, err);
}

static int app_key(
	const struct compile *compile, char key[SHA256_HEX_LEN + 1], struct ramet_err *err)
{
	AUTO(sha256_stream_destroy) struct sha256_stream *hash = NULL;
	int rc = sha256_stream_create(&hash, err);
	for (unsigned i = 0; i < compile->nmodules && rc == 0; i++) {
		rc = add_text(hash, compile->modules[i].file, err);
		if (rc == 0)
			rc = add_text(hash, compile->modules[i].key, err);
	}
	return rc < 0 ? rc : end_key(hash, key, err);
}

static bool is_there(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

/* relative, and nowhere but below */
static bool is_below(const char *file)
{
	size_t len;
	for (const char *part = file;; part += len + 1) {
		len = strcspn(part, "/");
		if (len == 0 || (len == 1 && part[0] == '.') ||
			(len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (part[len] == '\0')
			return true;
	}
}

/* --- objects --- */

static int make_object(const struct compile *compile, struct compile_module *module,
	const char *object, struct ramet_err *err)
{
	CLEANUP(work_close) struct work work = WORK_NONE;
	char made[WORK_PATH_MAX + 16];
	int rc = work_open(compile->root, &work, err);
	if (rc == 0)
		rc = object_make(module->data, module->len, work.path, err);
	if (rc < 0)
		return rc;
	snprintf(made, sizeof(made), "%s/module.so", work.path);
	if (chmod(made, 0555) < 0 || rename(made, object) < 0)
		return err_errno(err, RAMET_EIO, "put %s into its place", object);
	return 0;
}

static int object_path(
	const struct compile *compile, const char *key, char path[PATH_CAP], struct ramet_err *err)
{
	if (snprintf(path, PATH_CAP, "%s/objects/%s.so", compile->root, key) >= PATH_CAP)
		return err_set(err, RAMET_ELIMIT, "%s is too long", compile->root);
	return 0;
}

static int read_module(
	const struct compile *compile, struct compile_module *module, struct ramet_err *err)
{
	char path[PATH_CAP];
	int n = snprintf(path, sizeof(path), "%s/%s", compile->app, module->file);
	if (n >= (int)sizeof(path) || !is_below(module->file))
		return err_set(err, RAMET_EUSER, "its name is none of a file of the app");
	int rc = file_read(path, BINARY_MAX, (char **)&module->data, &module->len, err);
	if (rc == RAMET_ELIMIT)
		return err_set(err, RAMET_EUSER, "it has more than %u bytes", BINARY_MAX);
	if (rc < 0 && err->sys == ENOENT)
		return err_set(err, RAMET_EUSER, "no such file is deployed");
	return rc;
}

static int compile_one(
	const struct compile *compile, struct compile_module *module, struct ramet_err *err)
{
	char path[PATH_CAP];
	int rc = read_module(compile, module, err);
	if (rc == 0)
		rc = module_key(compile, module, err);
	if (rc == 0)
		rc = object_path(compile, module->key, path, err);
	if (rc < 0)
		return err_prefix(err, "%s", module->file);
	module->was_there = is_there(path);
	if (!module->was_there)
		rc = make_object(compile, module, path, err);
	return rc == RAMET_EUSER ? err_prefix(err, "%s", module->file) : rc;
}

/* --- the app's directory --- */

static int link_one(const struct compile *compile, const struct compile_module *module,
	const char *work, struct ramet_err *err)
{
	char object[PATH_CAP];
	char path[2 * PATH_CAP];
	int rc = object_path(compile, module->key, object, err);
	if (rc < 0)
		return rc;
	if (snprintf(path, sizeof(path), "%s/%s.so", work, module->file) >= PATH_CAP)
		return err_set(err, RAMET_ELIMIT, "%s is too long", module->file);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	rc = file_mkdirs(path, 0755, err);
	*slash = '/';
	if (rc == 0 && link(object, path) < 0 && errno != EEXIST)
		rc = err_errno(err, RAMET_EIO, "link %s", path);
	return rc;
}

/* whoever comes first makes it: what others make is the same */
static int make_dir(const struct compile *compile, struct ramet_err *err)
{
	CLEANUP(work_close) struct work work = WORK_NONE;
	int rc = work_open(compile->root, &work, err);
	for (unsigned i = 0; i < compile->nmodules && rc == 0; i++)
		rc = link_one(compile, &compile->modules[i], work.path, err);
	if (rc < 0)
		return rc;
	if (chmod(work.path, 0755) < 0 ||
		(rename(work.path, compile->dir) < 0 && !is_there(compile->dir)))
		return err_errno(err, RAMET_EIO, "put %s into its place", compile->dir);
	return 0;
}

int compile_all(struct compile *compile, struct ramet_err *err)
{
	struct tools tools;
	char path[PATH_CAP];
	char key[SHA256_HEX_LEN + 1];
	int rc = tools_find(&tools, err);
	if (rc < 0)
		return rc;
	memcpy(compile->versions, tools.versions, sizeof(compile->versions));
	if (snprintf(path, sizeof(path), "%s/objects", compile->root) >= (int)sizeof(path) - 128)
		return err_set(err, RAMET_ELIMIT, "%s is too long", compile->root);
	rc = file_mkdirs(path, 0755, err);
	for (unsigned i = 0; i < compile->nmodules && rc == 0; i++)
		rc = compile_one(compile, &compile->modules[i], err);
	if (rc == 0)
		rc = app_key(compile, key, err);
	if (rc < 0)
		return rc;
	snprintf(compile->dir, sizeof(compile->dir), "%.3900s/%s", compile->root, key);
	return is_there(compile->dir) ? 0 : make_dir(compile, err);
}

void compile_fini(struct compile *compile)
{
	for (unsigned i = 0; i < compile->nmodules; i++)
		free(compile->modules[i].data);
	free(compile->modules);
}
