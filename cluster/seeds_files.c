/* The files that a seed maps, on this node: the same content under the same name, or a copy in the
 * node's store, fetched from the node the seed came from. Checked each time a template is built,
 * since packages are upgraded in between; what was hashed before is only looked at (base/hash.h).
 */
#include "cluster/seeds_internal.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "cluster/file_transfer.h"
#include "cluster/node.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_CAP 4096

struct checked_file {
	char *path; /* under its own name on this node, then where it was found */
	uint64_t size;
	struct sha256 sha256;
	bool found;
	struct file_fetch *fetch;
	struct files_check *check;
};

struct files_check {
	struct work work;
	bool forgotten, working; /* working: a worker has it */
	struct seeds *seeds;
	const struct seed *seed; /* NULL: it was made here */
	struct checked_file *files;
	const char **paths;
	uint32_t count, missing;
	bool fetched;
	files_done_fn *fn;
	void *user;
	struct ramet_err err;
};

static void check_free(struct files_check *check)
{
	for (uint32_t i = 0; i < check->count; i++) {
		file_fetch_forget(check->files[i].fetch);
		free(check->files[i].path);
	}
	free(check->files);
	free(check->paths);
	free(check);
}

static bool same_file(const struct checked_file *file)
{
	struct sha256 sha;
	struct stat st;
	auto_close int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		(uint64_t)st.st_size != file->size)
		return false;
	return sha256_fd(fd, &sha, NULL) == 0 && memcmp(&sha, &file->sha256, sizeof(sha)) == 0;
}

/* on a worker */
static void compare(struct work *work)
{
	struct files_check *check = container_of(work, struct files_check, work);
	for (uint32_t i = 0; i < check->count && !cancel_asked(); i++)
		check->files[i].found = same_file(&check->files[i]);
}

static void finish(struct files_check *check)
{
	files_done_fn *fn = check->fn;
	void *user = check->user;
	for (uint32_t i = 0; i < check->count; i++)
		check->paths[i] = check->files[i].path;
	if (check->err.code < 0)
		fn(user, NULL, 0, false, &check->err);
	else
		fn(user, check->paths, check->count, check->fetched, NULL);
	check_free(check);
}

static void on_fetched(void *user, const char *path, const struct ramet_err *error)
{
	struct checked_file *file = user;
	struct files_check *check = file->check;
	file->fetch = NULL;
	if (error) {
		err_set(&check->err, RAMET_EREFUSED,
			"file %s of the seed is another one on this node and cannot be had: %s",
			file->path, error->msg);
	} else {
		free(file->path);
		file->path = strdup(path);
		if (!file->path)
			err_nomem(&check->err);
	}
	if (--check->missing == 0)
		finish(check);
}

static void fetch_missing(struct files_check *check)
{
	struct file_transfer *transfer = check->seeds->node->files;
	uint32_t nodes[FILE_MAX_SOURCES];
	struct file_want want = {.nodes = nodes};
	if (check->seed) {
		want.uid = check->seed->app->uid;
		want.nnodes = seed_sources(check->seed, nodes, FILE_MAX_SOURCES);
	}
	check->missing = 1; /* ours, so that none of them finishes it meanwhile */
	for (uint32_t i = 0; i < check->count && check->err.code == 0; i++) {
		struct checked_file *file = &check->files[i];
		if (file->found)
			continue;
		want.sha256 = file->sha256.bytes;
		want.size = file->size;
		check->fetched = true;
		if (!check->seed || check->seed->source_node == 0)
			err_set(&check->err, RAMET_EREFUSED,
				"file %s has changed since the seed was made: deploy again",
				file->path);
		else if (file_fetch_start(
				 transfer, &want, on_fetched, file, &file->fetch, &check->err) == 0)
			check->missing++;
	}
	if (--check->missing == 0)
		finish(check);
}

static void compared(struct work *work)
{
	struct files_check *check = container_of(work, struct files_check, work);
	check->working = false;
	if (check->forgotten)
		check_free(check);
	else
		fetch_missing(check);
}

static int fill(
	struct files_check *check, const struct descriptor_view *desc, struct ramet_err *err)
{
	for (uint32_t i = 0; i < desc->nfiles; i++) {
		struct checked_file *file = &check->files[i];
		char path[PATH_CAP];
		int rc = spawn_path_outside(check->seeds->node->spawn,
			descriptor_string(desc, desc->files[i].path), path, sizeof(path), err);
		if (rc < 0)
			return rc;
		file->path = strdup(path);
		if (!file->path)
			return err_nomem(err);
		file->size = desc->files[i].size;
		file->check = check;
		memcpy(file->sha256.bytes, desc->files[i].sha256, SHA256_LEN);
	}
	return 0;
}

int files_check_begin(struct seed *seed, files_done_fn *fn, void *user,
	struct files_check **ret_check, struct ramet_err *err)
{
	struct files_check *check = NULL;
	int rc = files_check_here(seed->seeds, seed->image, fn, user, &check, err);
	if (rc < 0)
		return rc;
	check->seed = seed; /* it is the worker's by now, who does not look at that */
	*ret_check = check;
	return 0;
}

int files_check_here(struct seeds *seeds, const struct image *image, files_done_fn *fn, void *user,
	struct files_check **ret_check, struct ramet_err *err)
{
	const struct descriptor_view *desc = &image->desc;
	struct files_check *check = calloc(1, sizeof(*check));
	if (!check)
		return err_nomem(err);
	check->seeds = seeds;
	check->count = desc->nfiles;
	check->fn = fn;
	check->user = user;
	check->files = calloc(MAX(desc->nfiles, 1u), sizeof(*check->files));
	check->paths = calloc(MAX(desc->nfiles, 1u), sizeof(*check->paths));
	int rc = check->files && check->paths ? fill(check, desc, err) : err_nomem(err);
	if (rc < 0) {
		check->count = check->files ? check->count : 0;
		check_free(check);
		return rc;
	}
	check->work.run = compare;
	check->work.done = compared;
	check->working = true;
	workers_submit(seeds->node->workers, &check->work);
	*ret_check = check;
	return 0;
}

void files_check_forget(struct files_check *check)
{
	if (!check)
		return;
	check->forgotten = true;
	if (!check->working)
		check_free(check);
}
