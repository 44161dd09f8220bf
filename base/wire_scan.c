/* Walks a msgpack message without building anything: lengths, depth, number of items, text of map
 * keys. */
#include "base/wire_scan.h"

#include <stdint.h>

struct level {
	uint64_t left; /* values still to come in this container; a pair counts as two */
	bool map;
};

struct scan {
	const unsigned char *data;
	size_t len, pos;
	uint64_t items_left;
	struct level stack[WIRE_DEPTH_MAX];
	unsigned depth, max_depth;
	struct ramet_err *err;
};

/* what the first byte of a value says about the rest */
struct header {
	enum { PLAIN, TEXT, ARRAY, MAP, BAD } kind;
	unsigned count_bytes; /* big-endian length or count that follows */
	uint64_t count; /* when count_bytes is 0: bytes of a PLAIN or TEXT, items of a container */
};

static struct header header_of(unsigned char c)
{
	if (c <= 0x7f || c >= 0xe0)
		return (struct header){PLAIN, 0, 0};
	if (c <= 0x8f)
		return (struct header){MAP, 0, c & 0x0f};
	if (c <= 0x9f)
		return (struct header){ARRAY, 0, c & 0x0f};
	if (c <= 0xbf)
		return (struct header){TEXT, 0, c & 0x1f};
	static const struct header table[0x20] = {
		[0x00] = {PLAIN, 0, 0}, /* nil */
		[0x01] = {BAD, 0, 0},
		[0x02] = {PLAIN, 0, 0}, /* false, true */
		[0x03] = {PLAIN, 0, 0},
		[0x04] = {PLAIN, 1, 0}, /* bin */
		[0x05] = {PLAIN, 2, 0},
		[0x06] = {PLAIN, 4, 0},
		[0x07] = {BAD, 0, 0}, /* ext: no message has any */
		[0x08] = {BAD, 0, 0},
		[0x09] = {BAD, 0, 0},
		[0x0a] = {PLAIN, 0, 4}, /* float, double */
		[0x0b] = {PLAIN, 0, 8},
		[0x0c] = {PLAIN, 0, 1}, /* uint */
		[0x0d] = {PLAIN, 0, 2},
		[0x0e] = {PLAIN, 0, 4},
		[0x0f] = {PLAIN, 0, 8},
		[0x10] = {PLAIN, 0, 1}, /* int */
		[0x11] = {PLAIN, 0, 2},
		[0x12] = {PLAIN, 0, 4},
		[0x13] = {PLAIN, 0, 8},
		[0x14] = {BAD, 0, 0}, /* fixext */
		[0x15] = {BAD, 0, 0},
		[0x16] = {BAD, 0, 0},
		[0x17] = {BAD, 0, 0},
		[0x18] = {BAD, 0, 0},
		[0x19] = {TEXT, 1, 0},
		[0x1a] = {TEXT, 2, 0},
		[0x1b] = {TEXT, 4, 0},
		[0x1c] = {ARRAY, 2, 0},
		[0x1d] = {ARRAY, 4, 0},
		[0x1e] = {MAP, 2, 0},
		[0x1f] = {MAP, 4, 0},
	};
	return table[c - 0xc0];
}

static unsigned sequence_len(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

bool wire_is_text(const unsigned char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned n = sequence_len(s[i]);
		if (n == 0 || n > len - i || s[i] == 0)
			return false;
		for (unsigned k = 1; k < n; k++)
			if ((s[i + k] & 0xc0) != 0x80)
				return false;
		unsigned char second = n > 1 ? s[i + 1] : 0;
		if ((s[i] == 0xe0 && second < 0xa0) ||
			(s[i] == 0xed && second > 0x9f) || /* surrogates */
			(s[i] == 0xf0 && second < 0x90) || (s[i] == 0xf4 && second > 0x8f))
			return false;
		i += n;
	}
	return true;
}

static int truncated(const struct scan *s)
{
	return err_set(s->err, RAMET_EPROTO, "message is cut off after %zu bytes", s->len);
}

static int read_header(struct scan *s, struct header *ret)
{
	if (s->pos == s->len)
		return truncated(s);
	unsigned char c = s->data[s->pos++];
	struct header h = header_of(c);
	if (h.kind == BAD)
		return err_set(s->err, RAMET_EPROTO, "message has type byte 0x%02x at offset %zu",
			c, s->pos - 1);
	if (h.count_bytes > s->len - s->pos)
		return truncated(s);
	for (unsigned i = 0; i < h.count_bytes; i++)
		h.count = h.count << 8 | s->data[s->pos++];
	*ret = h;
	return 0;
}

static int enter(struct scan *s, const struct header *h)
{
	if (h->count > s->items_left)
		return err_set(s->err, RAMET_ELIMIT, "message has too many items");
	s->items_left -= h->count;
	if (s->depth == s->max_depth)
		return err_set(
			s->err, RAMET_ELIMIT, "message is nested deeper than %u", s->max_depth);
	s->stack[s->depth++] =
		(struct level){h->kind == MAP ? h->count * 2 : h->count, h->kind == MAP};
	return 0;
}

/* one value's header, and the bytes of one that is no container */
static int scan_value(struct scan *s)
{
	const struct level *in = s->depth ? &s->stack[s->depth - 1] : NULL;
	bool is_key = in && in->map && in->left % 2 == 1; /* counted down before it is scanned */
	struct header h;
	int rc = read_header(s, &h);
	if (rc < 0)
		return rc;
	if (is_key && h.kind != TEXT)
		return err_set(s->err, RAMET_EPROTO, "message has a map key that is no string");
	if (h.kind == ARRAY || h.kind == MAP)
		return enter(s, &h);
	if (h.count > s->len - s->pos)
		return truncated(s);
	if (is_key && !wire_is_text(s->data + s->pos, h.count))
		return err_set(s->err, RAMET_EPROTO, "message has a map key that is not UTF-8");
	s->pos += h.count;
	return 0;
}

int wire_scan(const unsigned char *data, size_t len, const struct wire_limits *limits,
	struct ramet_err *err)
{
	if (len > limits->bytes)
		return err_set(err, RAMET_ELIMIT, "message of %zu bytes exceeds the limit of %zu",
			len, limits->bytes);
	struct scan s = {.data = data, .len = len, .items_left = limits->items, .err = err};
	s.max_depth = limits->depth < WIRE_DEPTH_MAX ? limits->depth : WIRE_DEPTH_MAX;
	int rc = scan_value(&s);
	while (rc == 0 && s.depth) {
		struct level *top = &s.stack[s.depth - 1];
		if (top->left == 0) {
			s.depth--;
			continue;
		}
		top->left--;
		rc = scan_value(&s);
	}
	if (rc == 0 && s.pos != len)
		return err_set(
			err, RAMET_EPROTO, "message is followed by %zu stray bytes", len - s.pos);
	return rc;
}
