/* --output FILE. */
#ifndef CMD_RAMET_OUTPUT_FILE_H
#define CMD_RAMET_OUTPUT_FILE_H

#include "base/err.h"

#include <stddef.h>

/* output_file_check - whether it looks as if the file could be written, to be asked before a call
 * whose result would have no place to go; nothing is made. path may be NULL: then all is well. */
int output_file_check(const char *path, struct ramet_err *err);
/* output_file_write - make or replace a file */
int output_file_write(const char *path, const void *data, size_t len, struct ramet_err *err);

#endif
