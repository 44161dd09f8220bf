/* A call whose output is shown while it runs. */
#ifndef CMD_RAMET_FOLLOW_H
#define CMD_RAMET_FOLLOW_H

#include "ramet/ramet.h"

/* follow_call - as ramet_call(), printing what the instance prints to stderr */
int follow_call(struct ramet *ramet, const char *function, const void *data, size_t len,
	const struct ramet_call_options *options, struct ramet_result **ret_result,
	struct ramet_err *err);

#endif
