/* --output FILE: written whole, or told why not. */
#include "cmd/ramet/output_file.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int output_file_check(const char *path, struct ramet_err *err)
{
	char copy[PATH_MAX];
	struct stat st;
	if (!path)
		return 0;
	snprintf(copy, sizeof(copy), "%s", path);
	bool is_there = stat(path, &st) == 0;
	if (is_there && S_ISDIR(st.st_mode))
		errno = EISDIR;
	else if (access(is_there ? path : dirname(copy), is_there ? W_OK : W_OK | X_OK) == 0)
		return 0;
	return err_errno(err, RAMET_EIO, "cannot write %s", path);
}

int output_file_write(const char *path, const void *data, size_t len, struct ramet_err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	int rc = file_write_fd(fd, data, len, err);
	if (rc < 0)
		return err_prefix(err, "%s", path);
	if (close(steal_fd(&fd)) < 0)
		return err_errno(err, RAMET_EIO, "write %s", path);
	return 0;
}
