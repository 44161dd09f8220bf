/* Writing JSON to a stream. */
#include "cmd/ramet/json.h"

#include <stdint.h>
#include <string.h>

/* length of the UTF-8 sequence at s, or 0 when there is none */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t min;
	} forms[] = {
		{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	for (size_t n = 0; n < 4; n++) {
		if ((s[0] & forms[n].mask) != forms[n].lead)
			continue;
		if (n + 1 > left)
			return 0;
		uint32_t c = s[0] & (unsigned char)~forms[n].mask;
		for (size_t i = 1; i <= n; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3f);
		}
		bool ok = c >= forms[n].min && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
		return ok ? n + 1 : 0;
	}
	return 0;
}

static void put_char(FILE *out, unsigned char c)
{
	static const char escaped[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *at = c ? strchr(escaped, c) : NULL;
	if (at)
		fprintf(out, "\\%c", names[at - escaped]);
	else if (c < 0x20 || c == 0x7f)
		fprintf(out, "\\u%04x", c);
	else
		fputc(c, out);
}

void json_string(FILE *out, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	fputc('"', out);
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(s + i, len - i);
		if (n == 1)
			put_char(out, s[i]);
		else if (n)
			fwrite(s + i, 1, n, out);
		else
			fputs("\\ufffd", out);
		i += n ? n : 1;
	}
	fputc('"', out);
}

void json_verbatim(FILE *out, const char *text, size_t len)
{
	/* a line break in valid JSON is white space */
	for (size_t i = 0; i < len; i++)
		fputc(text[i] == '\n' || text[i] == '\r' ? ' ' : text[i], out);
}

void json_base64(FILE *out, const void *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = data;
	fputc('"', out);
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)s[i] << 16;
		if (n > 1)
			bits |= (uint32_t)s[i + 1] << 8;
		if (n > 2)
			bits |= s[i + 2];
		fputc(digits[bits >> 18], out);
		fputc(digits[bits >> 12 & 63], out);
		fputc(n > 1 ? digits[bits >> 6 & 63] : '=', out);
		fputc(n > 2 ? digits[bits & 63] : '=', out);
	}
	fputc('"', out);
}

void json_open(struct json *json, FILE *out)
{
	json->out = out;
	json->more = false;
	fputc('{', out);
}

void json_close(struct json *json)
{
	fputc('}', json->out);
}

FILE *json_key(struct json *json, const char *key)
{
	fprintf(json->out, "%s\"%s\":", json->more ? "," : "", key);
	json->more = true;
	return json->out;
}

void json_str(struct json *json, const char *key, const char *value)
{
	FILE *out = json_key(json, key);
	if (value)
		json_string(out, value, strlen(value));
	else
		fputs("null", out);
}

void json_uint(struct json *json, const char *key, unsigned long long value)
{
	fprintf(json_key(json, key), "%llu", value);
}

void json_int(struct json *json, const char *key, long long value)
{
	fprintf(json_key(json, key), "%lld", value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	fputs(value ? "true" : "false", json_key(json, key));
}

void json_us(struct json *json, const char *key, double us)
{
	fprintf(json_key(json, key), "%.3f", us);
}
