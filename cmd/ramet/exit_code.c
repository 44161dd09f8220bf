/* Exit codes by error, and the one place where a failure is told. */
#include "cmd/ramet/exit_code.h"

#include <stdio.h>

enum exit_code exit_code_of(int code)
{
	switch (code) {
	case 0:
		return EXIT_OK;
	case RAMET_EUSER:
	case RAMET_ECRASH:
	case RAMET_ELIMIT:
		return EXIT_FUNCTION;
	case RAMET_EINVAL:
	case RAMET_ECONFIG:
		return EXIT_USAGE;
	case RAMET_ENOCLUSTER:
		return EXIT_NO_CLUSTER;
	case RAMET_EDEADLINE:
	case RAMET_ETIMEOUT:
		return EXIT_DEADLINE;
	case RAMET_ELOST:
	case RAMET_EPEER:
	case RAMET_ECLOSED:
		return EXIT_LOST;
	case RAMET_ECANCELED:
		return EXIT_CANCELLED;
	default:
		return EXIT_REFUSED;
	}
}

int exit_tell(const char *verb, const struct ramet_err *err)
{
	fprintf(stderr, "ramet %s: %s\n", verb, err->msg[0] ? err->msg : err_text(err->code));
	return (int)exit_code_of(err->code);
}
