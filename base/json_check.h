/* Checking that bytes are one JSON value: by the grammar, with bounded depth; nothing is built. */
#ifndef BASE_JSON_CHECK_H
#define BASE_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_MAX_DEPTH 512

/* json_check - whether text is exactly one JSON value, in UTF-8. If not, *ret_at (may be NULL) is
 * where it ends being one. */
bool json_check(const char *text, size_t len, size_t *ret_at);

#endif
