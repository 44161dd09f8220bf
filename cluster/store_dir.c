/* The node's store on disk: see store_dir.h. */
#include "cluster/store_dir.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/wire.h"
#include "cluster/bundle_archive.h"
#include "cluster/bus.h"
#include "cluster/workers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_one(const char *path, mode_t mode, struct ramet_err *err)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_errno(err, RAMET_EIO, "make directory %s", path);
	return 0;
}

/* like mkdir -p */
static int make_parents(char *path, struct ramet_err *err)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		int rc = make_one(path, 0755, err);
		*slash = '/';
		if (rc < 0)
			return rc;
	}
	return 0;
}

int store_dir_make(const char *dir, const char *name, char *dst, size_t cap, struct ramet_err *err)
{
	char store[512];
	int len = snprintf(store, sizeof(store), "%s/store", dir);
	int full = snprintf(dst, cap, "%s/store/%s", dir, name);
	if (len < 0 || (size_t)len >= sizeof(store) || full < 0 || (size_t)full >= cap)
		return err_set(err, RAMET_ECONFIG, "dir: the path is too long");
	int rc = make_parents(store, err);
	if (rc == 0)
		rc = make_one(store, 0711, err);
	if (rc == 0)
		rc = make_one(dst, 0711, err);
	return rc;
}

int store_dir_clean_apps(const char *apps_dir, struct ramet_err *err)
{
	auto_closedir DIR *dir = opendir(apps_dir);
	if (!dir)
		return err_errno(err, RAMET_EIO, "open %s", apps_dir);
	const struct dirent *entry;
	while ((entry = readdir(dir))) {
		char version[VERSION_HEX + 1];
		snprintf(version, sizeof(version), "%.*s", VERSION_HEX, entry->d_name);
		if (!version_valid(version))
			continue;
		int rc = bundle_delete(apps_dir, entry->d_name, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

struct chunk_job {
	struct work work;
	struct bus_request *request;
	uint64_t offset, len, total;
	void *data;
	struct ramet_err err;
	char path[]; /* of a file */
};

static int read_chunk(struct chunk_job *job, struct ramet_err *err)
{
	struct stat st;
	/* a seed's file may be its tenant's, who may have put anything in its place */
	auto_close int fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(
			err, errno == ENOENT ? RAMET_ENOTFOUND : RAMET_EIO, "open %s", job->path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, RAMET_ENOTFOUND, "%s is not a file any more", job->path);
	job->total = (uint64_t)st.st_size;
	job->len = job->offset < job->total ? MIN(job->len, job->total - job->offset) : 0;
	job->data = malloc(job->len ? job->len : 1);
	if (!job->data)
		return err_nomem(err);
	ssize_t n = job->len ? pread(fd, job->data, job->len, (off_t)job->offset) : 0;
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read %s", job->path);
	job->len = (uint64_t)n;
	if (n > 0 && fault_hit("store.wrong_byte"))
		*(unsigned char *)job->data ^= 1;
	return 0;
}

/* on a worker */
static void chunk_run(struct work *work)
{
	struct chunk_job *job = container_of(work, struct chunk_job, work);
	(void)read_chunk(job, &job->err);
}

static void chunk_done(struct work *work)
{
	struct chunk_job *job = container_of(work, struct chunk_job, work);
	struct buf b = {0};
	if (job->err.code < 0) {
		bus_reply_err(job->request, &job->err);
	} else {
		wire_map(&b, 2);
		wire_kuint(&b, "total", job->total);
		wire_kbin(&b, "data", job->data, job->len);
		bus_reply(job->request, &b);
	}
	free(job->data);
	free(job);
}

int store_reply_chunk(struct workers *workers, struct bus_request *request, const char *path,
	uint64_t offset, uint64_t len, struct ramet_err *err)
{
	size_t path_len = strlen(path) + 1;
	struct chunk_job *job = calloc(1, sizeof(*job) + path_len);
	if (!job)
		return err_nomem(err);
	memcpy(job->path, path, path_len);
	job->request = request;
	job->offset = offset;
	job->len = len;
	job->work.run = chunk_run;
	job->work.done = chunk_done;
	workers_submit(workers, &job->work);
	return 0;
}
