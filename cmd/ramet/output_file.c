/* --output FILE: written whole, or told why not. */
#include "cmd/ramet/output_file.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <fcntl.h>

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
