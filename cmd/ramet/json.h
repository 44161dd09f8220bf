/* JSON for the command line: writing it. */
#ifndef CMD_RAMET_JSON_H
#define CMD_RAMET_JSON_H

#include "base/json_check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* json_string - a quoted string; bytes that are not UTF-8 become U+FFFD */
void json_string(FILE *out, const char *text, size_t len);
/* json_verbatim - text that json_check() accepts, on one line */
void json_verbatim(FILE *out, const char *text, size_t len);
void json_base64(FILE *out, const void *data, size_t len); /* a quoted string */

/* One object: json_open, fields in order, json_close. Keys are literals. */
struct json {
	FILE *out;
	bool more; /* a field was written */
};
void json_open(struct json *json, FILE *out);
void json_close(struct json *json);
FILE *json_key(struct json *json, const char *key); /* write the value to what is returned */
void json_str(struct json *json, const char *key, const char *value); /* NULL: null */
void json_uint(struct json *json, const char *key, unsigned long long value);
void json_int(struct json *json, const char *key, long long value);
void json_bool(struct json *json, const char *key, bool value);
void json_us(struct json *json, const char *key, double us); /* three decimals */

#endif
