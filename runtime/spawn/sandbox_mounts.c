/* Which mounts there are below a directory, from /proc/self/mountinfo. */
#include "runtime/spawn/sandbox_root.h"

#include <stdlib.h>
#include <string.h>

#define POINT_FIELD 5 /* of a line: the mount point */

/* in place: some characters are written as three octal digits */
static void unescape(char *path)
{
	char *to = path;
	for (const char *from = path; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

const char *sandbox_next_mount(FILE *mountinfo, const char *dir, char **io_line, size_t *io_cap)
{
	const size_t len = strlen(dir);
	while (getline(io_line, io_cap, mountinfo) > 0) {
		char *rest = *io_line;
		char *point = NULL;
		for (int field = 0; field < POINT_FIELD && (point = strsep(&rest, " ")); field++)
			;
		if (!point)
			continue;
		unescape(point);
		if (strncmp(point, dir, len) == 0 && (point[len] == '\0' || point[len] == '/'))
			return point;
	}
	return NULL;
}
