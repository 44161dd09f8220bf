/* See work.h. */
#include "cmd/ramet-wasm/work.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PREFIX "work."

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_all(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int lock(const char *path, int how)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && flock(fd, how) == 0 ? steal_fd(&fd) : -1;
}

/* what nobody holds any more */
static void remove_left(const char *root)
{
	auto_closedir DIR *dir = opendir(root);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		char path[WORK_PATH_MAX];
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
			snprintf(path, sizeof(path), "%s/%s", root, entry->d_name) >=
				(int)sizeof(path))
			continue;
		auto_close int left = lock(path, LOCK_EX | LOCK_NB);
		if (left >= 0)
			remove_all(path);
	}
}

int work_open(const char *root, struct work *ret_work, struct ramet_err *err)
{
	struct work work;
	/* nobody sees a new one that is not locked yet */
	auto_close int alone = lock(root, LOCK_EX);
	if (alone < 0)
		return err_errno(err, RAMET_EIO, "lock %s", root);
	remove_left(root);
	if (snprintf(work.path, sizeof(work.path), "%s/" PREFIX "XXXXXX", root) >=
		(int)sizeof(work.path))
		return err_set(err, RAMET_ELIMIT, "%s is too long", root);
	if (!mkdtemp(work.path))
		return err_errno(err, RAMET_EIO, "create %s", work.path);
	work.lock = lock(work.path, LOCK_EX);
	if (work.lock < 0)
		return err_errno(err, RAMET_EIO, "lock %s", work.path);
	*ret_work = work;
	return 0;
}

void work_close(struct work *work)
{
	if (work->lock < 0)
		return;
	remove_all(work->path);
	close_reset(&work->lock);
}
