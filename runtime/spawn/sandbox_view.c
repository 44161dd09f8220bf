/* Laying a view over the machine's files: one overlay for each mount of the machine that the view
 * has something of, since an overlay does not show what is mounted inside its layers. */
#include "base/cleanup.h"
#include "runtime/spawn/sandbox_proto.h"
#include "runtime/spawn/sandbox_root.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* the option's separators are escaped in paths */
static bool append_layer(char *options, size_t cap, const char *separator, const char *path)
{
	size_t len = strlen(options);
	if (separator[0])
		options[len++] = separator[0];
	for (; *path && len + 3 < cap; path++) {
		if (strchr(":,\\", *path))
			options[len++] = '\\';
		options[len++] = *path;
	}
	options[len] = '\0';
	return !*path;
}

static int overlay(
	const char *view, const char *source, const char *target, struct sandbox_reply *reply)
{
	char options[2 * PATH_MAX + 64] = "lowerdir=";
	char layer[PATH_MAX];
	if (snprintf(layer, sizeof(layer), "%s%s", view, source) >= (int)sizeof(layer) ||
		!append_layer(options, sizeof(options) - 32, "", layer) ||
		!append_layer(options, sizeof(options) - 32, ":", source)) {
		errno = ENAMETOOLONG;
		return sandbox_fail(reply, "overlay", target);
	}
	/* whiteouts and the like are marked by attributes that a user namespace may set */
	size_t len = strlen(options);
	if (geteuid() != 0)
		snprintf(options + len, sizeof(options) - len, ",userxattr");
	if (mount("ramet", target, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, options) < 0)
		return sandbox_fail(reply, "overlay", target);
	return 0;
}

/* One mount of the machine below what was shown. A name that the view gives to something else, or
 * that is gone, is passed over. */
static int show_mount(const char *view, const char *source, const char *point, const char *target,
	struct sandbox_reply *reply)
{
	char at[PATH_MAX], layer[PATH_MAX];
	struct stat in_view, here, shown;
	if (snprintf(at, sizeof(at), "%s%s", target, point + strlen(source)) >= (int)sizeof(at) ||
		snprintf(layer, sizeof(layer), "%s%s", view, point) >= (int)sizeof(layer) ||
		lstat(point, &here) < 0 || lstat(at, &shown) < 0)
		return 0;
	bool both = lstat(layer, &in_view) == 0;
	if (both && S_ISDIR(in_view.st_mode) && S_ISDIR(here.st_mode))
		return overlay(view, point, at, reply);
	if (both || S_ISDIR(here.st_mode) != S_ISDIR(shown.st_mode) || S_ISLNK(shown.st_mode))
		return 0;
	if (mount(point, at, NULL, MS_BIND, NULL) < 0)
		return sandbox_fail(reply, "bind", point);
	return 0;
}

int sandbox_view_show(
	const char *view, const char *source, const char *target, struct sandbox_reply *reply)
{
	auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return sandbox_fail(reply, "open", "/proc/self/mountinfo");
	if (overlay(view, source, target, reply) < 0)
		return -1;
	auto_free char *line = NULL;
	size_t cap = 0;
	size_t len = strlen(source);
	for (const char *point; (point = sandbox_next_mount(f, source, &line, &cap));)
		if (point[len] == '/' && show_mount(view, source, point, target, reply) < 0)
			return -1;
	return 0;
}
