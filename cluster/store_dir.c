/* The node's store on disk: see store_dir.h. */
#include "cluster/store_dir.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/wire.h"
#include "cluster/bundle_archive.h"
#include "cluster/bus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

int store_reply_chunk(struct bus_request *request, const char *path, uint64_t offset, uint64_t len,
	struct ramet_err *err)
{
	struct stat st;
	/* a seed's file may be its tenant's, who may have put anything in its place */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(
			err, errno == ENOENT ? RAMET_ENOTFOUND : RAMET_EIO, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, RAMET_ENOTFOUND, "%s is not a file any more", path);
	uint64_t total = (uint64_t)st.st_size;
	len = offset < total ? MIN(len, total - offset) : 0;
	auto_free void *data = malloc(len ? len : 1);
	if (!data)
		return err_nomem(err);
	ssize_t n = len ? pread(fd, data, len, (off_t)offset) : 0;
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read %s", path);
	if (n > 0 && fault_hit("store.wrong_byte"))
		*(unsigned char *)data ^= 1;
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kuint(&b, "total", total);
	wire_kbin(&b, "data", data, (size_t)n);
	bus_reply(request, &b);
	return 0;
}
