/* Numbers in text, with and without units. */
#include "base/parse.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "ramet/error.h"

#include <string.h>
#include <strings.h>

/* reads digits at *text and leaves it behind them; RAMET_EINVAL if there are none or they exceed 64
 * bits */
static int digits(const char **text, uint64_t *ret)
{
	const char *s = *text;
	uint64_t value = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return RAMET_EINVAL;
	if (s == *text)
		return RAMET_EINVAL;
	*text = s;
	*ret = value;
	return 0;
}

int parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value;
	if (digits(&text, &value) < 0 || *text || value > max)
		return RAMET_EINVAL;
	*ret = value;
	return 0;
}

int parse_hex64(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	size_t len = strlen(text);
	if (len == 0 || len > 16 || strspn(text, "0123456789abcdefABCDEF") != len)
		return RAMET_EINVAL;
	for (; *text; text++)
		value = value << 4 |
			(uint64_t)(*text <= '9' ? *text - '0' : (*text | 0x20) - 'a' + 10);
	*ret = value;
	return 0;
}

int parse_bytes(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	uint64_t value, factor = 1;
	if (digits(&text, &value) < 0)
		return RAMET_EINVAL;
	if (*text && strcasecmp(text, "B") != 0) {
		const char *unit = strchr(units, *text & ~0x20);
		if (!unit || !*unit)
			return RAMET_EINVAL;
		factor = 1ull << (10 * (unit - units + 1));
		text++;
		if (*text && strcasecmp(text, "B") != 0 && strcasecmp(text, "iB") != 0)
			return RAMET_EINVAL;
	}
	if (__builtin_mul_overflow(value, factor, &value))
		return RAMET_EINVAL;
	*ret = value;
	return 0;
}

int parse_duration(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"ns", 1},
		{"us", NSEC_PER_USEC},
		{"ms", NSEC_PER_MSEC},
		{"s", NSEC_PER_SEC},
		{"m", 60 * NSEC_PER_SEC},
		{"h", 3600 * NSEC_PER_SEC},
	};
	uint64_t whole, fraction = 0, scale = 1, ns;
	if (digits(&text, &whole) < 0)
		return RAMET_EINVAL;
	if (*text == '.') {
		const char *start = ++text;
		if (digits(&text, &fraction) < 0 || text - start > 6)
			return RAMET_EINVAL;
		for (; start < text; start++)
			scale *= 10;
	}
	if (!*text && whole == 0 && fraction == 0) {
		*ret_ns = 0;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(text, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(whole, units[i].ns, &ns) ||
			__builtin_add_overflow(ns, fraction * units[i].ns / scale, &ns))
			return RAMET_EINVAL;
		*ret_ns = ns;
		return 0;
	}
	return RAMET_EINVAL;
}
