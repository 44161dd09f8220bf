/* A call that is shown while it runs: what it prints, and what it emits. */
#ifndef CMD_RAMET_FOLLOW_H
#define CMD_RAMET_FOLLOW_H

#include "ramet/ramet.h"

#include <stdbool.h>

/* follow_call - as ramet_call(), printing what the instance prints and how far it is to stderr, and
 * chunks to stdout; json: an object to stdout for each event */
int follow_call(struct ramet *ramet, const char *function, const void *data, size_t len,
	const struct ramet_call_options *options, bool json, struct ramet_result **ret_result,
	struct ramet_err *err);

#endif
