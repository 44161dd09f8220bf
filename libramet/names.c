/* Words for the numbers of the public interface. */
#include "base/cleanup.h"
#include "base/err.h"
#include "ramet/ramet.h"

const char *ramet_start_name(enum ramet_start start)
{
	static const char *const names[] = {"", "warm", "local-fork", "remote-fork", "cold"};
	return (size_t)start < ARRAY_LEN(names) ? names[start] : "";
}

const char *ramet_kind_name(enum ramet_kind kind)
{
	static const char *const names[] = {"", "user", "limit", "system", "refused"};
	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "";
}

const char *ramet_error_name(int code)
{
	return err_name(code);
}

const char *ramet_error_text(int code)
{
	return err_text(code);
}

const char *ramet_version(void)
{
	return RAMET_VERSION;
}
