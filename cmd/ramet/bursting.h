/* What `burst` and `run` share: a burst, its instances printed as they are done, its summary. */
#ifndef CMD_RAMET_BURSTING_H
#define CMD_RAMET_BURSTING_H

#include "cmd/ramet/call_data.h"
#include "ramet/ramet.h"

#include <stdbool.h>
#include <stdint.h>

struct bursting {
	const char *verb; /* for messages */
	uint32_t n, node, deadline_ms;
	bool json;
};

/* bursting_run - all of it; returns the exit code, failures have been told */
int bursting_run(struct ramet *ramet, const char *function, const struct call_data *data,
	const struct bursting *burst);

#endif
