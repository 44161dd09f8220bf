/* Fills in struct ramet_err: bounded formatting that never cuts a UTF-8 sequence in two, and the
 * table of codes. */
#include "base/err.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct err_entry {
	int code;
	const char *name;
	const char *text;
};

static const struct err_entry err_table[] = {{0, "OK", "no error"},
#define ERR_ENTRY(name, number, text) {-(number), #name, text},
	RAMET_ERRORS(ERR_ENTRY)
#undef ERR_ENTRY
};

static const struct err_entry *err_entry(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(err_table); i++)
		if (err_table[i].code == code)
			return &err_table[i];
	return err_entry(RAMET_EINTERNAL);
}

/* drops a multi-byte sequence that truncation has left incomplete at the end of s */
static void trim_utf8(char *s)
{
	size_t len = strlen(s);
	size_t tail = 0;
	while (tail < len && tail < 3 && ((unsigned char)s[len - 1 - tail] & 0xc0) == 0x80)
		tail++;
	if (tail == len)
		return;
	unsigned char lead = (unsigned char)s[len - 1 - tail];
	size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	if (want > tail)
		s[len - 1 - tail] = '\0';
}

int err_vset(struct ramet_err *err, int code, const char *fmt, va_list ap)
{
	if (!err)
		return code;
	int saved = errno;
	err->code = code;
	err->sys = 0;
	int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	if (n < 0)
		err->msg[0] = '\0';
	else if ((size_t)n >= sizeof(err->msg))
		trim_utf8(err->msg);
	errno = saved;
	return code;
}

void err_fill(struct ramet_err *err, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
}

void err_fill_errno(struct ramet_err *err, int code, const char *fmt, ...)
{
	if (!err)
		return;
	int sys = errno;
	va_list ap;
	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
	err->sys = sys;
	const char *text = strerrordesc_np(sys);
	size_t len = strlen(err->msg);
	int n = text ? snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", text)
		     : snprintf(err->msg + len, sizeof(err->msg) - len, ": errno %d", sys);
	if (n >= 0 && (size_t)n >= sizeof(err->msg) - len)
		trim_utf8(err->msg);
	errno = sys;
}

int err_prefix(struct ramet_err *err, const char *fmt, ...)
{
	if (!err)
		return RAMET_EINTERNAL;
	char old[sizeof(err->msg)];
	memcpy(old, err->msg, sizeof(old));
	int code = err->code;
	int sys = err->sys;
	va_list ap;
	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
	err->sys = sys;
	size_t len = strlen(err->msg);
	int n = snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", old);
	if (n >= 0 && (size_t)n >= sizeof(err->msg) - len)
		trim_utf8(err->msg);
	return code;
}

void err_clear(struct ramet_err *err)
{
	if (!err)
		return;
	err->code = 0;
	err->sys = 0;
	err->msg[0] = '\0';
}

void err_copy(struct ramet_err *dst, const struct ramet_err *src)
{
	if (dst && src && dst != src)
		*dst = *src;
}

const char *err_name(int code)
{
	return err_entry(code)->name;
}

const char *err_text(int code)
{
	return err_entry(code)->text;
}

int err_from_name(const char *name)
{
	if (name)
		for (size_t i = 0; i < ARRAY_LEN(err_table); i++)
			if (strcmp(err_table[i].name, name) == 0)
				return err_table[i].code;
	return RAMET_EINTERNAL;
}
