/* Checking JSON by its grammar (RFC 8259), with bounded depth and no recursion; nothing is built.
 */
#include "base/json_check.h"

#include <ctype.h>
#include <string.h>

struct scan {
	const char *text;
	size_t len, at;
};

static int peek(const struct scan *s)
{
	return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void skip_space(struct scan *s)
{
	while (s->at < s->len && strchr(" \t\r\n", s->text[s->at]) && s->text[s->at])
		s->at++;
}

static bool eat(struct scan *s, int c)
{
	if (peek(s) != c)
		return false;
	s->at++;
	return true;
}

static bool scan_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);
	if (s->len - s->at < n || memcmp(s->text + s->at, word, n) != 0)
		return false;
	s->at += n;
	return true;
}

static bool scan_digits(struct scan *s)
{
	size_t from = s->at;
	while (peek(s) >= 0 && isdigit(peek(s)))
		s->at++;
	return s->at > from;
}

static bool scan_number(struct scan *s)
{
	eat(s, '-');
	if (!eat(s, '0') && !scan_digits(s))
		return false;
	if (eat(s, '.') && !scan_digits(s))
		return false;
	if (eat(s, 'e') || eat(s, 'E')) {
		if (!eat(s, '+'))
			eat(s, '-');
		return scan_digits(s);
	}
	return true;
}

static bool scan_escape(struct scan *s)
{
	int c = peek(s);
	s->at++;
	if (c == 'u') {
		for (int i = 0; i < 4; i++, s->at++)
			if (peek(s) < 0 || !isxdigit(peek(s)))
				return false;
		return true;
	}
	return c > 0 && strchr("\"\\/bfnrt", c);
}

/* one multi-byte UTF-8 sequence: shortest form, no surrogates */
static bool scan_utf8(struct scan *s)
{
	unsigned char lead = (unsigned char)s->text[s->at];
	size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
	if (lead < 0xc2 || lead > 0xf4 || s->len - s->at <= more)
		return false;
	const unsigned char *p = (const unsigned char *)s->text + s->at + 1;
	for (size_t i = 0; i < more; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	if ((lead == 0xe0 && p[0] < 0xa0) || (lead == 0xed && p[0] > 0x9f) ||
		(lead == 0xf0 && p[0] < 0x90) || (lead == 0xf4 && p[0] > 0x8f))
		return false;
	s->at += more + 1;
	return true;
}

static bool scan_string(struct scan *s)
{
	if (!eat(s, '"'))
		return false;
	for (int c = peek(s); c != '"'; c = peek(s)) {
		if (c < 0x20)
			return false;
		if (c >= 0x80) {
			if (!scan_utf8(s))
				return false;
			continue;
		}
		s->at++;
		if (c == '\\' && !scan_escape(s))
			return false;
	}
	s->at++;
	return true;
}

static bool scan_scalar(struct scan *s)
{
	switch (peek(s)) {
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return scan_number(s);
	}
}

static bool scan_member_key(struct scan *s)
{
	skip_space(s);
	if (!scan_string(s))
		return false;
	skip_space(s);
	return eat(s, ':');
}

/* after a value: a comma, or closing brackets. false: malformed. *depth 0: the whole value is done.
 */
static bool scan_after_value(struct scan *s, const char *stack, unsigned *depth)
{
	while (*depth) {
		char close = stack[*depth - 1];
		skip_space(s);
		if (eat(s, ','))
			return close == ']' || scan_member_key(s);
		if (!eat(s, close))
			return false;
		(*depth)--;
	}
	return true;
}

static bool scan_value(struct scan *s)
{
	char stack[JSON_MAX_DEPTH]; /* the closing bracket of each open one */
	unsigned depth = 0;
	do {
		skip_space(s);
		int c = peek(s);
		if (c == '[' || c == '{') {
			char close = c == '[' ? ']' : '}';
			if (depth == JSON_MAX_DEPTH)
				return false;
			s->at++;
			skip_space(s);
			if (peek(s) != close) {
				stack[depth++] = close;
				if (close == '}' && !scan_member_key(s))
					return false;
				continue;
			}
			s->at++;
		} else if (!scan_scalar(s)) {
			return false;
		}
		if (!scan_after_value(s, stack, &depth))
			return false;
	} while (depth);
	return true;
}

bool json_check(const char *text, size_t len, size_t *ret_at)
{
	struct scan s = {text, len, 0};
	bool ok = scan_value(&s);
	if (ok) {
		skip_space(&s);
		ok = s.at == s.len;
	}
	if (!ok && ret_at)
		*ret_at = s.at < len ? s.at : len;
	return ok;
}
