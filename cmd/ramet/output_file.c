/* --output FILE: written whole, or told why not. */
#include "cmd/ramet/output_file.h"

#include "base/cleanup.h"

#include <fcntl.h>

int output_file_write(const char *path, const void *data, size_t len, struct ramet_err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, RAMET_EIO, "write %s", path);
		done += (size_t)n;
	}
	if (close(steal_fd(&fd)) < 0)
		return err_errno(err, RAMET_EIO, "write %s", path);
	return 0;
}
