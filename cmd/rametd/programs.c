/* Where rametd finds the other programs of Ramet: see programs.h. */
#include "cmd/rametd/programs.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int program_find(
	const char *variable, const char *name, char dst[PROGRAM_PATH_MAX], struct ramet_err *err)
{
	static const char *const places[] = {"", "../libexec/ramet/", "../bin/"};
	char self[PROGRAM_PATH_MAX];
	const char *given = getenv(variable);
	if (given && *given) {
		snprintf(dst, PROGRAM_PATH_MAX, "%s", given);
		if (access(dst, X_OK) == 0)
			return 0;
		return err_errno(err, RAMET_ENOTFOUND, "%s=%s", variable, given);
	}
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return err_errno(err, RAMET_EIO, "find out where rametd is");
	self[len] = 0;
	*strrchr(self, '/') = 0;
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		int n = snprintf(dst, PROGRAM_PATH_MAX, "%s/%s%s", self, places[i], name);
		if (n < PROGRAM_PATH_MAX && access(dst, X_OK) == 0)
			return 0;
	}
	return err_set(err, RAMET_ENOTFOUND,
		"%s is neither in %s nor in ../libexec/ramet: is Ramet installed completely?", name,
		self);
}
