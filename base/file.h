/* Small files, whole: read within a bound, written completely, replaced atomically. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>

/*
 * file_read - the content of a file, of /proc and /sys too, with a NUL after its end; free() it.
 * ret_len may be NULL. file_read_at takes a path relative to a directory (or AT_FDCWD);
 * file_read_fd reads from where the offset is to the end, and what names the descriptor in
 * messages. RAMET_ELIMIT: longer than max bytes; RAMET_EIO (err->sys says why).
 */
int file_read(
	const char *path, size_t max, char **ret_data, size_t *ret_len, struct ramet_err *err);
int file_read_at(int dir, const char *path, size_t max, char **ret_data, size_t *ret_len,
	struct ramet_err *err);
int file_read_fd(int fd, const char *what, size_t max, char **ret_data, size_t *ret_len,
	struct ramet_err *err);

/* file_write_fd - all of it, to a blocking descriptor. RAMET_EIO. A pipe without reader raises
 * SIGPIPE as usual. */
int file_write_fd(int fd, const void *data, size_t len, struct ramet_err *err);
/* file_replace - the file at path holds either its old content or exactly this, also after a crash
 * of the machine */
int file_replace(
	const char *path, const void *data, size_t len, mode_t mode, struct ramet_err *err);

/* file_mkdirs - the directory at path and those above it that are missing; 0 too if it is there */
int file_mkdirs(const char *path, mode_t mode, struct ramet_err *err);

#endif
