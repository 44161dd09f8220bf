/* Filling in struct ramet_err. Every function here returns the code it stored, so that it can be returned at once.
 * All accept err == NULL (the code still comes back). None allocates. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "ramet/error.h"

#include <stdarg.h>

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/*
 * int err_set(struct ramet_err *err, int code, const char *fmt, …) and err_errno(): the second as the first, with errno
 * kept in err->sys and its text appended: "open x: No such file or directory". Macros, so that the compiler sees which
 * code comes back, and which variables are therefore set afterwards.
 */
#define err_set(err, code, ...) \
	__extension__({ \
		const int code_ = (code); \
		err_fill((err), code_, __VA_ARGS__); \
		code_; \
	})
#define err_errno(err, code, ...) \
	__extension__({ \
		const int code_ = (code); \
		err_fill_errno((err), code_, __VA_ARGS__); \
		code_; \
	})
void err_fill(struct ramet_err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void err_fill_errno(struct ramet_err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
int err_vset(struct ramet_err *err, int code, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
static inline int err_nomem(struct ramet_err *err)
{
	return err_set(err, RAMET_ENOMEM, "out of memory");
}
/* err_prefix - put "context: " before the message that is there; returns err->code */
int err_prefix(struct ramet_err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
void err_clear(struct ramet_err *err);
void err_copy(struct ramet_err *dst, const struct ramet_err *src);

const char *err_name(int code); /* "ENOTFOUND"; "EINTERNAL" for a number that is none */
const char *err_text(int code); /* "no such function, seed, node or object" */
int err_from_name(const char *name); /* the code, or RAMET_EINTERNAL */

#endif
