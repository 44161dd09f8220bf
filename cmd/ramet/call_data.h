/* --data and --binary: what is sent to the function. */
#ifndef CMD_RAMET_CALL_DATA_H
#define CMD_RAMET_CALL_DATA_H

#include "base/err.h"
#include "cmd/ramet/options.h"

#include <stdbool.h>
#include <stddef.h>

struct call_data {
	char *text;
	size_t len;
	bool binary;
};

#define OPTION_DATA(dst) \
	{ \
		"data", 'd', OPTION_STRING, (dst), 0, "JSON|@FILE", \
			"what the function gets (default null); @- reads stdin" \
	}
#define OPTION_BINARY(dst) \
	{ \
		"binary", 'b', OPTION_STRING, (dst), 0, "@FILE", \
			"raw bytes instead; output is raw too" \
	}

/* call_data_load - from the two options, at most one of which is given. Not JSON where JSON is due:
 * RAMET_EINVAL. */
int call_data_load(
	const char *data, const char *binary, struct call_data *ret_data, struct ramet_err *err);
void call_data_fini(struct call_data *data);

#endif
