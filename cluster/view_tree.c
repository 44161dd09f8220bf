/* Plain trees of a seed's files: see view_tree.h. */
#include "cluster/view_tree.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cluster/file_transfer.h"
#include "cluster/node.h"
#include "cluster/seeds_files.h"
#include "cluster/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREES "store/trees"
#define OPEN_DIRS 16

struct view_tree {
	struct work work;
	struct seed_manifest *manifest; /* counted */
	struct workers *workers;
	char root[NODE_PATH_MAX + 64];
	char store[NODE_PATH_MAX + 64]; /* of the content store */
	void (*done)(void *user, int dir_fd, const struct ramet_err *error);
	void *user;
	bool working, dropped;
	struct ramet_err err;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS);
}

void view_tree_clean(const char *node_dir)
{
	char path[NODE_PATH_MAX + 32];
	snprintf(path, sizeof(path), "%s/" TREES, node_dir);
	remove_tree(path);
}

/* --- on a worker --- */

static int copy_content(int from, int to, uint64_t size, const char *path, struct ramet_err *err)
{
	while (size > 0) {
		ssize_t n = sendfile(to, from, NULL, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_errno(err, RAMET_EIO, "copy to %s", path);
		size -= (uint64_t)n;
	}
	return 0;
}

static int copy_file(
	const struct view_tree *tree, uint32_t i, const char *path, struct ramet_err *err)
{
	const struct seed_manifest *m = tree->manifest;
	const struct manifest_entry *e = &m->manifest.entries[i];
	char hex[SHA256_HEX_LEN + 1], whose[16] = "public", stored[NODE_PATH_MAX + 160];
	if (!(e->flags & MANIFEST_PUBLIC))
		snprintf(whose, sizeof(whose), "%u", (unsigned)m->uid);
	hex_encode(&m->hashes[i], SHA256_LEN, hex);
	snprintf(stored, sizeof(stored), "%s/%s/%s", tree->store, whose, hex);
	auto_close int from = open(stored, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (from < 0)
		return err_errno(err, RAMET_EIO, "open %s", stored);
	auto_close int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return err_errno(err, RAMET_EIO, "create %s", path);
	return copy_content(from, to, e->size, path, err);
}

/* mode, owner and times; of a directory once nothing is put into it any more */
static int finish(const struct view_tree *tree, uint32_t i, const char *path, struct ramet_err *err)
{
	const struct seed_manifest *m = tree->manifest;
	const struct manifest_entry *e = &m->manifest.entries[i];
	uid_t uid = e->flags & MANIFEST_OWNED ? m->uid : 0;
	gid_t gid = e->flags & MANIFEST_GROUP ? m->gid : 0;
	struct timespec at = {e->mtime_ns / 1000000000, e->mtime_ns % 1000000000};
	if (at.tv_nsec < 0)
		at = (struct timespec){at.tv_sec - 1, at.tv_nsec + 1000000000};
	const struct timespec times[] = {at, at};
	if (geteuid() == 0 && lchown(path, uid, gid) < 0)
		return err_errno(err, RAMET_EIO, "chown %s", path);
	if (e->type != MANIFEST_LINK && chmod(path, e->mode) < 0)
		return err_errno(err, RAMET_EIO, "chmod %s", path);
	if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, RAMET_EIO, "set the time of %s", path);
	return 0;
}

static int make(const struct view_tree *tree, uint32_t i, const char *path, struct ramet_err *err)
{
	const struct manifest *m = &tree->manifest->manifest;
	const struct manifest_entry *e = &m->entries[i];
	int rc = 0;
	if (e->type == MANIFEST_DIR)
		rc = mkdir(path, 0700) < 0 ? err_errno(err, RAMET_EIO, "make %s", path) : 0;
	else if (e->type == MANIFEST_LINK)
		rc = symlink(m->strings + e->link, path) < 0
			? err_errno(err, RAMET_EIO, "make the link %s", path)
			: 0;
	else if (tree->manifest->hashed[i])
		rc = copy_file(tree, i, path, err);
	else
		return 0; /* it was changed, or is gone, where it came from */
	return rc < 0 || e->type == MANIFEST_DIR ? rc : finish(tree, i, path, err);
}

static int path_of(const struct view_tree *tree, uint32_t i, char *dst, size_t cap)
{
	size_t len = (size_t)snprintf(dst, cap, "%s", tree->root);
	return manifest_path(&tree->manifest->manifest, i, dst + len, cap - len);
}

/* what is lacking, and the way to it */
static uint8_t *needed(const struct seed_manifest *m)
{
	const struct manifest_entry *entries = m->manifest.entries;
	uint8_t *need = calloc(m->manifest.header->nentries, 1);
	for (uint32_t i = m->manifest.header->nentries - 1; need && i > 0; i--) {
		need[i] |= m->lacking.lacking[i];
		need[entries[i].parent] |= need[i]; /* parents come first */
	}
	return need;
}

static void build(struct work *work)
{
	struct view_tree *tree = container_of(work, struct view_tree, work);
	uint32_t n = tree->manifest->manifest.header->nentries;
	char path[NODE_PATH_MAX + 64 + MANIFEST_MAX_PATH];
	auto_free uint8_t *need = needed(tree->manifest);
	int rc = need ? file_mkdirs(tree->root, 0711, &tree->err) : err_nomem(&tree->err);
	for (uint32_t i = 1; rc == 0 && i < n && !cancel_asked(); i++)
		if (need[i] && path_of(tree, i, path, sizeof(path)) == 0)
			rc = make(tree, i, path, &tree->err);
	if (rc == 0 && cancel_asked())
		rc = err_set(&tree->err, RAMET_ECANCELED, "given up: this node ends");
	for (uint32_t i = n - 1; rc == 0 && i > 0; i--)
		if (need[i] && tree->manifest->manifest.entries[i].type == MANIFEST_DIR &&
			path_of(tree, i, path, sizeof(path)) == 0)
			rc = finish(tree, i, path, &tree->err);
}

static void remove_run(struct work *work)
{
	remove_tree(container_of(work, struct view_tree, work)->root);
}

static void removed(struct work *work)
{
	struct view_tree *tree = container_of(work, struct view_tree, work);
	seed_manifest_put(tree->manifest);
	free(tree);
}

static void submit(struct view_tree *tree, void (*fn)(struct work *), void (*done)(struct work *))
{
	tree->work.run = fn;
	tree->work.done = done;
	workers_submit(tree->workers, &tree->work);
}

/* --- on the loop --- */

static void built(struct work *work)
{
	struct view_tree *tree = container_of(work, struct view_tree, work);
	tree->working = false;
	if (tree->dropped) {
		submit(tree, remove_run, removed);
		return;
	}
	auto_close int fd =
		tree->err.code == 0 ? open(tree->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0 && tree->err.code == 0)
		err_errno(&tree->err, RAMET_EIO, "open %s", tree->root);
	tree->done(tree->user, fd, fd < 0 ? &tree->err : NULL);
}

int view_tree_begin(struct seed *seed, uint64_t id,
	void (*done)(void *user, int dir_fd, const struct ramet_err *error), void *user,
	struct view_tree **ret_tree, struct ramet_err *err)
{
	const struct node *node = seed->seeds->node;
	struct view_tree *tree = calloc(1, sizeof(*tree));
	if (!tree)
		return err_nomem(err);
	tree->manifest = seed_manifest_get(seed->manifest);
	tree->workers = node->workers;
	tree->done = done;
	tree->user = user;
	tree->working = true;
	snprintf(tree->root, sizeof(tree->root), "%s/" TREES "/%llu", node->config.dir,
		(unsigned long long)id);
	snprintf(tree->store, sizeof(tree->store), "%s/store/files", node->config.dir);
	*ret_tree = tree;
	submit(tree, build, built);
	return 0;
}

void view_tree_drop(struct view_tree *tree)
{
	if (!tree)
		return;
	tree->dropped = true;
	if (!tree->working)
		submit(tree, remove_run, removed);
}
