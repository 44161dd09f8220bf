/* Numbers in text that people write: whole text or nothing, range-checked, no locale. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdint.h>

/* All: 0, or RAMET_EINVAL with the output untouched. No sign, no spaces. */
int parse_u64(const char *text, uint64_t max, uint64_t *ret); /* decimal digits */
int parse_hex64(const char *text, uint64_t *ret); /* 1 to 16 hex digits, no 0x */
/* parse_bytes - "4096", "512K", "64M", "2G", "1T": powers of 1024, also written KiB, MiB, … or KB,
 * MB, … */
int parse_bytes(const char *text, uint64_t *ret);
/* parse_duration - "250us", "30ms", "1.5s", "2m", "1h" in nanoseconds; the unit is not optional,
 * but for "0" */
int parse_duration(const char *text, uint64_t *ret_ns);

#endif
