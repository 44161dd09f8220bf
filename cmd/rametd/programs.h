/* Where rametd finds the other programs of Ramet. */
#ifndef CMD_RAMETD_PROGRAMS_H
#define CMD_RAMETD_PROGRAMS_H

#include "base/err.h"

#include <limits.h>

#define PROGRAM_PATH_MAX PATH_MAX

/* program_find - the environment variable's value, else `name` beside this program, else in
 * ../libexec/ramet or ../bin */
int program_find(
	const char *variable, const char *name, char dst[PROGRAM_PATH_MAX], struct ramet_err *err);

#endif
