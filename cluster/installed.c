/* See installed.h. */
#include "cluster/installed.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int installed_find(const char *const *places, size_t nplaces, const char *name, char *dst,
	size_t cap, struct ramet_err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read /proc/self/exe");
	self[n] = '\0';
	const char *dir = dirname(self);
	for (size_t i = 0; i < nplaces; i++) {
		char path[PATH_MAX];
		char real[PATH_MAX];
		int len = snprintf(path, sizeof(path), "%s/%s", dir, places[i]);
		if (len <= 0 || (size_t)len >= sizeof(path) || !realpath(path, real))
			continue;
		len = snprintf(dst, cap, "%s", real);
		if (len > 0 && (size_t)len < cap)
			return 0;
	}
	return err_set(err, RAMET_ENOTFOUND,
		"%s is not found from %s: is Ramet installed completely?", name, dir);
}
