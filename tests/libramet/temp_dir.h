/* A directory of a test's own, and small files in it. */
#ifndef TESTS_LIBRAMET_TEMP_DIR_H
#define TESTS_LIBRAMET_TEMP_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct temp_dir {
	char path[64];
	char joined[320];
};

static inline int temp_dir_make(struct temp_dir *dir)
{
	snprintf(dir->path, sizeof(dir->path), "/tmp/ramet-test-XXXXXX");
	return mkdtemp(dir->path) ? 0 : -1;
}

/* the path of name in dir, until the next call */
static inline const char *temp_dir_join(struct temp_dir *dir, const char *name)
{
	snprintf(dir->joined, sizeof(dir->joined), "%s/%s", dir->path, name);
	return dir->joined;
}

static inline const char *temp_dir_write(struct temp_dir *dir, const char *name, const char *text)
{
	FILE *f = fopen(temp_dir_join(dir, name), "we");
	if (f) {
		fputs(text, f);
		fclose(f);
	}
	return dir->joined;
}

static inline void temp_dir_subdir(struct temp_dir *dir, const char *name)
{
	mkdir(temp_dir_join(dir, name), 0755);
}

static inline void temp_dir_remove(struct temp_dir *dir)
{
	char command[96];
	snprintf(command, sizeof(command), "rm -rf '%s'", dir->path);
	if (strncmp(dir->path, "/tmp/ramet-test-", 16) == 0 && system(command) != 0)
		perror(command);
}

#endif
