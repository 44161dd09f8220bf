/* --output FILE. */
#ifndef CMD_RAMET_OUTPUT_FILE_H
#define CMD_RAMET_OUTPUT_FILE_H

#include "base/err.h"

#include <stddef.h>

/* output_file_write - make or replace a file */
int output_file_write(const char *path, const void *data, size_t len, struct ramet_err *err);

#endif
