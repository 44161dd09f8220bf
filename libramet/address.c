/* Where a cluster of this machine lives, by environment and user. */
#include "libramet/address.h"

#include "base/cleanup.h"

#include <stdlib.h>

static int fits(int n, size_t cap, const char *what, struct ramet_err *err)
{
	if (n < 0 || (size_t)n >= cap)
		return err_set(err, RAMET_EINVAL, "%s is too long a path", what);
	return 0;
}

static const char *env(const char *name)
{
	const char *value = secure_getenv(name);
	return value && *value ? value : NULL;
}

int address_dir(char *dst, size_t cap, struct ramet_err *err)
{
	const char *dir = env("RAMET_DIR");
	if (dir)
		return fits(snprintf(dst, cap, "%s", dir), cap, "RAMET_DIR", err);
	if (geteuid() == 0)
		return fits(snprintf(dst, cap, "/run/ramet"), cap, "/run/ramet", err);
	dir = env("XDG_RUNTIME_DIR");
	if (dir)
		return fits(snprintf(dst, cap, "%s/ramet", dir), cap, "XDG_RUNTIME_DIR", err);
	return fits(snprintf(dst, cap, "/tmp/ramet-%u", geteuid()), cap, "/tmp/ramet-UID", err);
}

int address_socket(const char *dir, unsigned node, char *dst, size_t cap, struct ramet_err *err)
{
	return fits(snprintf(dst, cap, "%s/node%u/client.sock", dir, node), cap, dir, err);
}

int address_default(char *dst, size_t cap, struct ramet_err *err)
{
	char dir[4096];
	const char *path = env("RAMET_SOCKET");
	if (path)
		return fits(snprintf(dst, cap, "%s", path), cap, "RAMET_SOCKET", err);
	int rc = address_dir(dir, sizeof(dir), err);
	return rc < 0 ? rc : address_socket(dir, 1, dst, cap, err);
}
