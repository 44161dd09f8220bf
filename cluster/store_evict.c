/* Eviction from the content store: see store_evict.h. */
#include "cluster/store_evict.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cluster/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_ID_MAX 64

struct object {
	char name[96]; /* <whose>/<sha256> */
	uint64_t size;
	int64_t used; /* when, in ns */
};

struct objects {
	struct object *list;
	size_t count, cap;
	uint64_t bytes;
};

struct store_evict {
	struct work work;
	char dir[512];
	uint64_t max_bytes, left;
	void (*done)(void *user, uint64_t bytes); /* NULL: forgotten */
	void *user;
};

static bool add(struct objects *objects, const char *whose, const char *name, const struct stat *st)
{
	if (objects->count == objects->cap) {
		size_t cap = objects->cap ? 2 * objects->cap : 256;
		struct object *list = realloc(objects->list, cap * sizeof(*list));
		if (!list)
			return false;
		objects->list = list;
		objects->cap = cap;
	}
	struct object *object = &objects->list[objects->count];
	if (snprintf(object->name, sizeof(object->name), "%s/%s", whose, name) >=
		(int)sizeof(object->name))
		return true; /* not ours */
	object->size = (uint64_t)st->st_size;
	object->used = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	objects->bytes += object->size;
	objects->count++;
	return true;
}

static bool list_scope(int at, const char *whose, struct objects *objects)
{
	int fd = openat(at, whose, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		close_keep_errno(fd);
		return true;
	}
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		struct stat st;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
			!add(objects, whose, e->d_name, &st))
			return false;
	}
	return true;
}

/* parts: those of downloads are removed, too; only when none is under way */
static int list_all(const char *path, bool parts, struct objects *objects, struct ramet_err *err)
{
	auto_closedir DIR *dir = opendir(path);
	if (!dir)
		return err_errno(err, RAMET_EIO, "open %s", path);
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (strncmp(e->d_name, "part.", 5) == 0) {
			if (parts)
				unlinkat(dirfd(dir), e->d_name, 0);
		} else if (e->d_name[0] != '.' && !list_scope(dirfd(dir), e->d_name, objects)) {
			return err_nomem(err);
		}
	}
	return 0;
}

static void remove_all(const char *dir, struct objects *objects)
{
	auto_close int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < objects->count; i++)
		if (unlinkat(at, objects->list[i].name, 0) == 0 || errno == ENOENT)
			objects->bytes -= objects->list[i].size;
}

/* Files are not forced to the disk before they get their names: after a crash of the machine there
 * may be anything in them. */
static bool same_boot(const char *noted, const char *now, size_t len)
{
	auto_free char *before = NULL;
	size_t before_len;
	return file_read(noted, BOOT_ID_MAX, &before, &before_len, NULL) == 0 &&
		before_len == len && memcmp(before, now, len) == 0;
}

static int keep_from_this_boot(const char *dir, struct objects *objects, struct ramet_err *err)
{
	auto_free char *now = NULL;
	char noted[512];
	size_t len;
	if (snprintf(noted, sizeof(noted), "%s.boot", dir) >= (int)sizeof(noted))
		return err_set(err, RAMET_ECONFIG, "dir: the path is too long");
	int rc = file_read("/proc/sys/kernel/random/boot_id", BOOT_ID_MAX, &now, &len, err);
	if (rc < 0 || same_boot(noted, now, len))
		return rc;
	remove_all(dir, objects);
	return file_replace(noted, now, len, 0600, err);
}

int store_evict_begin(const char *dir, uint64_t *ret_bytes, struct ramet_err *err)
{
	struct objects objects = {0};
	int rc = list_all(dir, true, &objects, err);
	if (rc == 0)
		rc = keep_from_this_boot(dir, &objects, err);
	free(objects.list);
	if (rc == 0)
		*ret_bytes = objects.bytes;
	return rc;
}

static int older(const void *left, const void *right)
{
	const struct object *a = left, *b = right;
	return (a->used > b->used) - (a->used < b->used);
}

/* on a worker */
static void evict_run(struct work *work)
{
	struct store_evict *evict = container_of(work, struct store_evict, work);
	struct objects objects = {0};
	uint64_t goal = evict->max_bytes / 4 * 3;
	auto_close int at = open(evict->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at >= 0 && list_all(evict->dir, false, &objects, NULL) == 0 && objects.count > 0)
		qsort(objects.list, objects.count, sizeof(*objects.list), older);
	for (size_t i = 0; i < objects.count && objects.bytes > goal && !cancel_asked(); i++)
		if (unlinkat(at, objects.list[i].name, 0) == 0 || errno == ENOENT)
			objects.bytes -= objects.list[i].size;
	evict->left = objects.bytes;
	free(objects.list);
}

static void evict_done(struct work *work)
{
	struct store_evict *evict = container_of(work, struct store_evict, work);
	if (evict->done)
		evict->done(evict->user, evict->left);
	free(evict);
}

struct store_evict *store_evict(struct workers *workers, const char *dir, uint64_t max_bytes,
	void (*done)(void *user, uint64_t bytes), void *user)
{
	struct store_evict *evict = calloc(1, sizeof(*evict));
	if (!evict)
		return NULL;
	evict->work.run = evict_run;
	evict->work.done = evict_done;
	evict->max_bytes = max_bytes;
	evict->done = done;
	evict->user = user;
	snprintf(evict->dir, sizeof(evict->dir), "%s", dir);
	workers_submit(workers, &evict->work);
	return evict;
}

void store_evict_forget(struct store_evict *evict)
{
	if (evict)
		evict->done = NULL;
}
