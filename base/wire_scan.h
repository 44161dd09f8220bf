/* The check that every received message passes before msgpack-c may allocate for it. */
#ifndef BASE_WIRE_SCAN_H
#define BASE_WIRE_SCAN_H

#include "base/wire.h"

#define WIRE_DEPTH_MAX 32 /* of any limit; also what msgpack-c's own stack holds */

/* 0 when data is exactly one well-formed value within limits whose map keys are all text;
 * RAMET_ELIMIT, RAMET_EPROTO */
int wire_scan(const unsigned char *data, size_t len, const struct wire_limits *limits,
	struct ramet_err *err);
bool wire_is_text(const unsigned char *s, size_t len); /* UTF-8 without NUL */

#endif
