/* Exit codes of the command line, and how errors map to them. */
#ifndef CMD_RAMET_EXIT_CODE_H
#define CMD_RAMET_EXIT_CODE_H

#include "base/err.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_FUNCTION = 1, /* the function failed: raised, crashed, over a limit */
	EXIT_USAGE = 2, /* the command line, or a configuration */
	EXIT_NO_CLUSTER = 3,
	EXIT_REFUSED = 4, /* not found, not allowed, cannot be done */
	EXIT_DEADLINE = 5,
	EXIT_LOST = 6, /* whether it took effect is unknown */
	EXIT_CANCELLED = 7
};

enum exit_code exit_code_of(int code);
/* exit_tell - print "ramet verb: message" to stderr; returns the error's exit code */
int exit_tell(const char *verb, const struct ramet_err *err);

#endif
