/* Reading a whole file of bounded size, also from a pipe. */
#include "libramet/text_file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int read_all(int fd, const char *path, size_t max, char **ret_text, size_t *ret_len,
	struct ramet_err *err)
{
	size_t cap = 0, len = 0;
	auto_free char *text = NULL;
	for (;;) {
		if (len == cap) {
			cap = cap ? cap * 2 : 65536;
			char *bigger = realloc(text, cap + 1);
			if (!bigger)
				return err_nomem(err);
			text = bigger;
		}
		ssize_t n = read(fd, text + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, RAMET_EIO, "read %s", path);
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return err_set(err, RAMET_ELIMIT, "%s is larger than %zu bytes", path, max);
	}
	text[len] = '\0';
	*ret_text = steal_ptr(&text);
	*ret_len = len;
	return 0;
}

int text_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len,
	struct ramet_err *err)
{
	if (strcmp(path, "-") == 0)
		return read_all(STDIN_FILENO, "standard input", max, ret_text, ret_len, err);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(
			err, errno == ENOENT ? RAMET_ENOTFOUND : RAMET_EIO, "open %s", path);
	return read_all(fd, path, max, ret_text, ret_len, err);
}
