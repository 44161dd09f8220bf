/* Reading a whole file of bounded size. */
#ifndef LIBRAMET_TEXT_FILE_H
#define LIBRAMET_TEXT_FILE_H

#include "base/err.h"

#include <stddef.h>

/* text_file_read - path, or standard input for "-"; a NUL that is not counted follows. free() it.
 * RAMET_ENOTFOUND, RAMET_ELIMIT: more than max bytes. */
int text_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len,
	struct ramet_err *err);

#endif
