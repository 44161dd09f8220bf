/* ES modules of an application: files below its directory, and nothing else. */
#include "runtime/qjs/qjs_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (16ll << 20)

/* one part of a path behind those that are there; false: it leads out, or is too long */
static bool add_part(char *dst, size_t cap, const char *part, size_t len)
{
	size_t used = strlen(dst);
	if (len == 0 || (len == 1 && part[0] == '.'))
		return true;
	if (len == 2 && memcmp(part, "..", 2) == 0) {
		char *slash = strrchr(dst, '/');
		if (used == 0)
			return false;
		*(slash ? slash : dst) = '\0';
		return true;
	}
	int n = snprintf(dst + used, cap - used, "%s%.*s", used > 0 ? "/" : "", (int)len, part);
	return n > 0 && (size_t)n < cap - used;
}

static bool add_parts(char *dst, size_t cap, const char *path, size_t len)
{
	for (size_t at = 0; at <= len;) {
		const char *slash = memchr(path + at, '/', len - at);
		size_t end = slash ? (size_t)(slash - path) : len;
		if (!add_part(dst, cap, path + at, end - at))
			return false;
		at = end + 1;
	}
	return true;
}

bool qjs_resolve(const char *from, const char *specifier, char *dst, size_t cap)
{
	const char *slash = strrchr(from, '/');
	bool relative = strncmp(specifier, "./", 2) == 0 || strncmp(specifier, "../", 3) == 0;
	dst[0] = '\0';
	if (relative && slash && !add_parts(dst, cap, from, (size_t)(slash - from)))
		return false;
	return add_parts(dst, cap, specifier, strlen(specifier)) && dst[0] != '\0';
}

/* links are followed, as long as they stay below the directory */
static bool is_inside(const char *dir, const char *path)
{
	char top[PATH_MAX];
	char real[PATH_MAX];
	if (!realpath(dir, top) || !realpath(path, real))
		return false;
	size_t len = strlen(top);
	return strncmp(real, top, len) == 0 && real[len] == '/';
}

static char *read_all(FILE *file, size_t *ret_len)
{
	struct stat stat;
	if (fstat(fileno(file), &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_size > FILE_MAX)
		return NULL;
	char *text = malloc((size_t)stat.st_size + 1);
	if (!text)
		return NULL;
	*ret_len = fread(text, 1, (size_t)stat.st_size, file);
	text[*ret_len] = '\0';
	return text;
}

char *qjs_read(const char *dir, const char *path, size_t *ret_len)
{
	char whole[PATH_MAX];
	int n = snprintf(whole, sizeof(whole), "%s/%s", dir, path);
	if (n < 0 || n >= (int)sizeof(whole) || !is_inside(dir, whole))
		return NULL;
	FILE *file = fopen(whole, "re");
	char *text = file ? read_all(file, ret_len) : NULL;
	if (file)
		fclose(file);
	return text;
}
