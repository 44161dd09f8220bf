/* Running another program and waiting for it. */
#ifndef CMD_RAMET_PROGRAM_H
#define CMD_RAMET_PROGRAM_H

#include "base/err.h"

#include <stddef.h>

/* program_run - run argv (found in PATH) with input on its stdin (NULL: none) and wait. What it
 * prints to stderr is part of the error when it fails: RAMET_EIO; RAMET_ENOTSUP: there is no such
 * program. */
int program_run(const char *const *argv, const char *input, struct ramet_err *err);

#endif
