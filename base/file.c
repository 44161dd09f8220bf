/* Whole files: reading, writing, replacing, and directories to put them in. */
#include "base/file.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_FIRST 4096

static int read_retry(int fd, void *data, size_t len, ssize_t *ret_got)
{
	ssize_t n;
	do
		n = read(fd, data, len);
	while (n < 0 && errno == EINTR);
	*ret_got = n;
	return n < 0 ? -1 : 0;
}

int file_read_fd(int fd, const char *what, size_t max, char **ret_data, size_t *ret_len,
	struct ramet_err *err)
{
	auto_free char *data = NULL;
	size_t len = 0, cap = 0;
	for (;;) {
		/* one byte beyond max shows that there is more; one is for the NUL */
		if (cap - len < 2) {
			cap = cap ? cap * 2 : READ_FIRST;
			cap = max < SIZE_MAX - 2 ? MIN(cap, max + 2) : cap;
			char *more = realloc(data, cap);
			if (!more)
				return err_nomem(err);
			data = more;
		}
		ssize_t n;
		if (read_retry(fd, data + len, cap - len - 1, &n) < 0)
			return err_errno(err, RAMET_EIO, "read %s", what);
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return err_set(err, RAMET_ELIMIT, "%s is longer than %zu bytes", what, max);
	}
	data[len] = '\0';
	*ret_data = steal_ptr(&data);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int file_read_at(int dir, const char *path, size_t max, char **ret_data, size_t *ret_len,
	struct ramet_err *err)
{
	auto_close int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	return file_read_fd(fd, path, max, ret_data, ret_len, err);
}

int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len, struct ramet_err *err)
{
	return file_read_at(AT_FDCWD, path, max, ret_data, ret_len, err);
}

int file_write_fd(int fd, const void *data, size_t len, struct ramet_err *err)
{
	const char *at = data;
	while (len) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, RAMET_EIO, "write");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* makes a rename in path's directory durable */
static int sync_directory(const char *path, struct ramet_err *err)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (!slash)
		snprintf(dir, sizeof(dir), ".");
	else
		snprintf(dir, sizeof(dir), "%.*s", (int)MAX(slash - path, 1), path);
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_errno(err, RAMET_EIO, "sync directory %s", dir);
	return 0;
}

static int write_temporary(int fd, const void *data, size_t len, mode_t mode, struct ramet_err *err)
{
	if (fchmod(fd, mode) < 0)
		return err_errno(err, RAMET_EIO, "set mode");
	int rc = file_write_fd(fd, data, len, err);
	if (rc < 0)
		return rc;
	return fsync(fd) < 0 ? err_errno(err, RAMET_EIO, "fsync") : 0;
}

int file_replace(const char *path, const void *data, size_t len, mode_t mode, struct ramet_err *err)
{
	char temporary[PATH_MAX];
	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return err_set(err, RAMET_EINVAL, "path is too long: %s", path);
	auto_close int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "create %s", temporary);
	int rc = write_temporary(fd, data, len, mode, err);
	if (rc == 0 && rename(temporary, path) < 0)
		rc = err_errno(err, RAMET_EIO, "rename to");
	if (rc < 0) {
		unlink(temporary);
		err_prefix(err, "replace %s", path);
		return rc;
	}
	return sync_directory(path, err);
}

static bool is_directory(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int file_mkdirs(const char *path, mode_t mode, struct ramet_err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(part))
		return err_set(err, RAMET_EINVAL, "not a directory's path: \"%s\"", path);
	memcpy(part, path, len + 1);
	for (char *at = part + 1;; at++) {
		if (*at && *at != '/')
			continue;
		char end = *at;
		*at = '\0';
		if (mkdir(part, mode) < 0 && (errno != EEXIST || !is_directory(part)))
			return err_errno(err, RAMET_EIO, "make directory %s", part);
		*at = end;
		if (!end)
			return 0;
	}
}
