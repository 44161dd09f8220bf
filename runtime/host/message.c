/* The reader and writer of runtime/host/message.h: the part of msgpack that the host protocol uses,
 * with next to nothing of the C library: a signal handler may write with it, and a clone does so
 * without touching that library's pages (the build keeps the compiler from calling it instead). */
#include "runtime/host/message.h"

#include "ramet/error.h"

#include <string.h>

static bool message_take(struct message_reader *r, size_t len, const unsigned char **ret)
{
	if ((size_t)(r->end - r->at) < len)
		return false;
	*ret = r->at;
	r->at += len;
	return true;
}

/* a big-endian integer of 1, 2, 4 or 8 bytes */
static bool message_take_int(struct message_reader *r, size_t width, uint64_t *ret)
{
	const unsigned char *p;
	if (!message_take(r, width, &p))
		return false;
	uint64_t value = 0;
	for (size_t i = 0; i < width; i++)
		value = value << 8 | p[i];
	*ret = value;
	return true;
}

/* What a value's first byte says: its type, and its length, count or (integers) value. */
enum message_type {
	MESSAGE_UINT,
	MESSAGE_INT, /* negative: value holds its two's complement */
	MESSAGE_NIL,
	MESSAGE_BOOL,
	MESSAGE_STR,
	MESSAGE_BIN,
	MESSAGE_ARRAY,
	MESSAGE_MAP,
	MESSAGE_OTHER, /* floats and extensions: value is the number of bytes that follow */
};

struct message_head {
	enum message_type type;
	uint64_t value;
};

static bool message_head_sized(
	struct message_reader *r, unsigned width, enum message_type type, struct message_head *ret)
{
	ret->type = type;
	return message_take_int(r, width, &ret->value);
}

static bool message_head_ext(struct message_reader *r, unsigned width, struct message_head *ret)
{
	if (!message_head_sized(r, width, MESSAGE_OTHER, ret))
		return false;
	ret->value++; /* the extension's own type byte */
	return true;
}

static bool message_head_long(
	struct message_reader *r, unsigned char first, struct message_head *ret)
{
	switch (first) {
	case 0xc0:
		*ret = (struct message_head){MESSAGE_NIL, 0};
		return true;
	case 0xc2:
	case 0xc3:
		*ret = (struct message_head){MESSAGE_BOOL, first & 1u};
		return true;
	case 0xc4:
	case 0xc5:
	case 0xc6:
		return message_head_sized(r, 1u << (first - 0xc4), MESSAGE_BIN, ret);
	case 0xc7:
	case 0xc8:
	case 0xc9:
		return message_head_ext(r, 1u << (first - 0xc7), ret);
	case 0xca:
	case 0xcb:
		*ret = (struct message_head){MESSAGE_OTHER, 4u << (first - 0xca)};
		return true;
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		return message_head_sized(r, 1u << (first - 0xcc), MESSAGE_UINT, ret);
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3: {
		unsigned width = 1u << (first - 0xd0);
		if (!message_head_sized(r, width, MESSAGE_INT, ret))
			return false;
		if (!(ret->value >> (width * 8 - 1)))
			ret->type = MESSAGE_UINT;
		return true;
	}
	case 0xd4:
	case 0xd5:
	case 0xd6:
	case 0xd7:
	case 0xd8:
		*ret = (struct message_head){MESSAGE_OTHER, 1 + (1u << (first - 0xd4))};
		return true;
	case 0xd9:
	case 0xda:
	case 0xdb:
		return message_head_sized(r, 1u << (first - 0xd9), MESSAGE_STR, ret);
	case 0xdc:
	case 0xdd:
		return message_head_sized(r, 2u << (first - 0xdc), MESSAGE_ARRAY, ret);
	case 0xde:
	case 0xdf:
		return message_head_sized(r, 2u << (first - 0xde), MESSAGE_MAP, ret);
	default:
		return false; /* 0xc1 is never used */
	}
}

static bool message_head(struct message_reader *r, struct message_head *ret)
{
	const unsigned char *p;
	if (!message_take(r, 1, &p))
		return false;
	unsigned char first = *p;
	if (first < 0x80)
		*ret = (struct message_head){MESSAGE_UINT, first};
	else if (first < 0x90)
		*ret = (struct message_head){MESSAGE_MAP, first & 0x0fu};
	else if (first < 0xa0)
		*ret = (struct message_head){MESSAGE_ARRAY, first & 0x0fu};
	else if (first < 0xc0)
		*ret = (struct message_head){MESSAGE_STR, first & 0x1fu};
	else if (first >= 0xe0)
		*ret = (struct message_head){MESSAGE_INT, (uint64_t)(int64_t)(signed char)first};
	else
		return message_head_long(r, first, ret);
	return true;
}

static int message_read_head(struct message_reader *r, enum message_type type, uint64_t *ret)
{
	struct message_head head;
	if (!message_head(r, &head) || head.type != type)
		return RAMET_EPROTO;
	*ret = head.value;
	return 0;
}

static int message_read_count(struct message_reader *r, enum message_type type, uint32_t *ret)
{
	uint64_t count;
	if (message_read_head(r, type, &count) < 0)
		return RAMET_EPROTO;
	*ret = (uint32_t)count; /* never wider in msgpack */
	return 0;
}

static int message_read_bytes(
	struct message_reader *r, enum message_type type, struct message_span *ret)
{
	uint64_t len;
	const unsigned char *p;
	if (message_read_head(r, type, &len) < 0 || !message_take(r, len, &p))
		return RAMET_EPROTO;
	*ret = (struct message_span){(const char *)p, len};
	return 0;
}

int message_read_map(struct message_reader *r, uint32_t *ret_pairs)
{
	return message_read_count(r, MESSAGE_MAP, ret_pairs);
}

int message_read_array(struct message_reader *r, uint32_t *ret_items)
{
	return message_read_count(r, MESSAGE_ARRAY, ret_items);
}

int message_read_str(struct message_reader *r, struct message_span *ret)
{
	return message_read_bytes(r, MESSAGE_STR, ret);
}

int message_read_bin(struct message_reader *r, struct message_span *ret)
{
	return message_read_bytes(r, MESSAGE_BIN, ret);
}

int message_read_uint(struct message_reader *r, uint64_t *ret)
{
	return message_read_head(r, MESSAGE_UINT, ret);
}

int message_read_bool(struct message_reader *r, bool *ret)
{
	uint64_t value;
	if (message_read_head(r, MESSAGE_BOOL, &value) < 0)
		return RAMET_EPROTO;
	*ret = value != 0;
	return 0;
}

/* A counter instead of recursion: nesting costs nothing, and each value takes at least one byte of
 * the message, so that a count nobody could have sent ends at the message's end. */
int message_skip(struct message_reader *r)
{
	uint64_t left = 1;
	while (left > 0) {
		struct message_head head;
		const unsigned char *p;
		if (!message_head(r, &head))
			return RAMET_EPROTO;
		left--;
		if (head.type == MESSAGE_MAP)
			left += 2 * head.value;
		else if (head.type == MESSAGE_ARRAY)
			left += head.value;
		else if ((head.type == MESSAGE_STR || head.type == MESSAGE_BIN ||
				 head.type == MESSAGE_OTHER) &&
			!message_take(r, head.value, &p))
			return RAMET_EPROTO;
	}
	return 0;
}

bool message_is(struct message_span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.data, text, span.len) == 0;
}

int message_copy(struct message_span span, char *dst, size_t cap)
{
	if (span.len >= cap || memchr(span.data, 0, span.len))
		return RAMET_EPROTO;
	memcpy(dst, span.data, span.len);
	dst[span.len] = 0;
	return 0;
}

static void message_put(struct message_writer *w, const void *data, size_t len)
{
	if ((size_t)(w->end - w->at) < len) {
		w->full = true;
		return;
	}
	const unsigned char *from = data;
	for (size_t i = 0; i < len; i++)
		w->at[i] = from[i];
	w->at += len;
}

static void message_put_int(
	struct message_writer *w, unsigned char first, unsigned width, uint64_t value)
{
	unsigned char bytes[9] = {first};
	for (unsigned i = 0; i < width; i++)
		bytes[1 + i] = (unsigned char)(value >> (8 * (width - 1 - i)));
	message_put(w, bytes, 1 + width);
}

void message_map(struct message_writer *w, uint32_t pairs)
{
	if (pairs < 16)
		message_put_int(w, (unsigned char)(0x80 | pairs), 0, 0);
	else
		message_put_int(w, 0xdf, 4, pairs);
}

void message_array(struct message_writer *w, uint32_t items)
{
	if (items < 16)
		message_put_int(w, (unsigned char)(0x90 | items), 0, 0);
	else
		message_put_int(w, 0xdd, 4, items);
}

static void message_str_header(struct message_writer *w, size_t len)
{
	if (len < 32)
		message_put_int(w, (unsigned char)(0xa0 | len), 0, 0);
	else
		message_put_int(w, 0xdb, 4, len);
}

void message_str(struct message_writer *w, const char *text)
{
	size_t len = 0;
	while (text[len])
		len++;
	message_str_header(w, len);
	message_put(w, text, len);
}

/* length of the UTF-8 sequence at p (1…4), or 0 where there is no valid one */
static size_t message_utf8(const unsigned char *p, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (p[0] < 0x80)
		return p[0] ? 1 : 0;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
	if (len == 0 || len > left || p[0] >= 0xf8)
		return 0;
	uint32_t code = p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	bool valid = code >= least[len] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
	return valid ? len : 0;
}

void message_text(struct message_writer *w, const char *text, size_t len, size_t max)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t cut = 0;
	while (cut < len) {
		size_t step = message_utf8(p + cut, len - cut);
		step = step ? step : 1; /* what is no character becomes one '?' */
		if (cut + step > max)
			break;
		cut += step;
	}
	message_str_header(w, cut);
	if ((size_t)(w->end - w->at) < cut) {
		w->full = true;
		return;
	}
	for (size_t i = 0; i < cut;) {
		size_t step = message_utf8(p + i, cut - i);
		if (step == 0)
			*w->at++ = '?';
		else
			message_put(w, p + i, step);
		i += step ? step : 1;
	}
}

void message_uint(struct message_writer *w, uint64_t value)
{
	if (value < 0x80)
		message_put_int(w, (unsigned char)value, 0, 0);
	else if (value <= UINT32_MAX)
		message_put_int(w, 0xce, 4, value);
	else
		message_put_int(w, 0xcf, 8, value);
}

void message_bool(struct message_writer *w, bool value)
{
	message_put_int(w, value ? 0xc3 : 0xc2, 0, 0);
}

void message_bin_header(struct message_writer *w, uint32_t len)
{
	message_put_int(w, 0xc6, 4, len);
}

void message_kuint(struct message_writer *w, const char *key, uint64_t value)
{
	message_str(w, key);
	message_uint(w, value);
}

void message_kstr(struct message_writer *w, const char *key, const char *text)
{
	message_str(w, key);
	message_str(w, text);
}
