/* Whether bytes are JSON text (RFC 8259, in UTF-8): what a program prints is its answer as it is,
 * if so. Nothing is made of it. */
#include "runtime/wasm/wasm_internal.h"

#include <string.h>

#define DEPTH_MAX 512

struct text {
	const unsigned char *at, *end;
};

static int peek(const struct text *t)
{
	return t->at < t->end ? *t->at : -1;
}

static void skip_space(struct text *t)
{
	while (t->at < t->end && strchr(" \t\r\n", *t->at) && *t->at != 0)
		t->at++;
}

static bool take(struct text *t, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len) != 0)
		return false;
	t->at += len;
	return true;
}

static bool digits(struct text *t)
{
	const unsigned char *from = t->at;
	while (peek(t) >= '0' && peek(t) <= '9')
		t->at++;
	return t->at > from;
}

static bool number(struct text *t)
{
	(void)take(t, "-");
	if (!take(t, "0") && !digits(t))
		return false;
	if (take(t, ".") && !digits(t))
		return false;
	if (!take(t, "e") && !take(t, "E"))
		return true;
	if (!take(t, "+"))
		(void)take(t, "-");
	return digits(t);
}

static bool hex(struct text *t)
{
	for (int i = 0; i < 4; i++, t->at++)
		if (peek(t) <= 0 || !strchr("0123456789abcdefABCDEF", peek(t)))
			return false;
	return true;
}

/* one character of more than one byte: no more than 4, none longer than it need be, no surrogate */
static bool wide(struct text *t)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	unsigned char first = *t->at++;
	unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
	uint32_t value = first & (0x3fu >> more);
	if (first < 0xc2 || first > 0xf4)
		return false;
	for (unsigned i = 0; i < more; i++) {
		if (peek(t) < 0 || (*t->at & 0xc0) != 0x80)
			return false;
		value = value << 6 | (*t->at++ & 0x3f);
	}
	return value >= least[more] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
}

static bool string(struct text *t)
{
	if (!take(t, "\""))
		return false;
	while (!take(t, "\"")) {
		int c = peek(t);
		if (c < 0x20)
			return false;
		if (c >= 0x80) {
			if (!wide(t))
				return false;
			continue;
		}
		t->at++;
		if (c != '\\')
			continue;
		c = peek(t);
		t->at++;
		if (c <= 0 || (c == 'u' ? !hex(t) : !strchr("\"\\/bfnrt", c)))
			return false;
	}
	return true;
}

static bool scalar(struct text *t)
{
	switch (peek(t)) {
	case '"':
		return string(t);
	case 't':
		return take(t, "true");
	case 'f':
		return take(t, "false");
	case 'n':
		return take(t, "null");
	default:
		return number(t);
	}
}

static bool key(struct text *t)
{
	skip_space(t);
	if (!string(t))
		return false;
	skip_space(t);
	return take(t, ":");
}

/* What is open, innermost last: '}' or ']'. */
struct nesting {
	char closes[DEPTH_MAX];
	int depth;
};

/* a value up to where another one must begin (true in *ret_more), or to its end */
static bool begin_value(struct text *t, struct nesting *open, bool *ret_more)
{
	*ret_more = false;
	skip_space(t);
	bool object = peek(t) == '{';
	if (!object && peek(t) != '[')
		return scalar(t);
	if (open->depth == DEPTH_MAX)
		return false;
	t->at++;
	skip_space(t);
	if (take(t, object ? "}" : "]"))
		return true;
	open->closes[open->depth++] = object ? '}' : ']';
	*ret_more = true;
	return !object || key(t);
}

/* behind a value: closes what ends there; whether another one must begin is *ret_more */
static bool end_value(struct text *t, struct nesting *open, bool *ret_more)
{
	*ret_more = false;
	while (open->depth > 0) {
		char closes = open->closes[open->depth - 1];
		skip_space(t);
		if (take(t, ",")) {
			*ret_more = true;
			return closes != '}' || key(t);
		}
		if (peek(t) != closes)
			return false;
		t->at++;
		open->depth--;
	}
	return true;
}

bool wasm_is_json(const void *data, size_t len)
{
	struct text t = {data, (const unsigned char *)data + len};
	struct nesting open = {.depth = 0};
	bool more = true;
	while (more) {
		if (!begin_value(&t, &open, &more))
			return false;
		if (!more && !end_value(&t, &open, &more))
			return false;
	}
	skip_space(&t);
	return t.at == t.end;
}
