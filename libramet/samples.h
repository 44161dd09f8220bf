/* Sample inputs of a deployment: a file of JSON values, one a line. */
#ifndef LIBRAMET_SAMPLES_H
#define LIBRAMET_SAMPLES_H

#include "base/err.h"
#include "base/wire.h"

#include <stddef.h>

#define SAMPLES_MAX_BYTES (1u << 20) /* of the file */

struct samples {
	char *text;
	size_t len;
	size_t count; /* lines that are not blank */
};

int samples_load(struct samples *samples, const char *path, struct ramet_err *err);
void samples_pack(const struct samples *samples, struct buf *b); /* an array of binaries */
void samples_fini(struct samples *samples);

#endif
