/* The files of a deployment, read into memory: paths below one directory, sorted, each once. */
#ifndef LIBRAMET_FILES_H
#define LIBRAMET_FILES_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file {
	char *path; /* relative to the directory */
	uint32_t mode; /* 0644 or 0755 */
	unsigned char *data;
	size_t len;
};

struct files {
	struct file *v;
	size_t count, cap;
	size_t bytes; /* of all data */
};

/* files_add - a file or, with all below it, a directory: path relative to dir. Within directories
 * names that begin with a dot, __pycache__ and ramet.yaml are left out. Symbolic links are
 * followed. RAMET_ELIMIT: more than CLIENT_MAX_BUNDLE bytes or CLIENT_MAX_FILES files;
 * RAMET_ENOTFOUND; RAMET_EINVAL: a path that leaves dir, or is no regular file. */
int files_add(struct files *files, const char *dir, const char *path, struct ramet_err *err);
/* files_add_all - everything below dir, as above */
int files_add_all(struct files *files, const char *dir, struct ramet_err *err);
void files_sort(struct files *files); /* by path, doubles dropped */
const struct file *files_find(const struct files *files, const char *path); /* or NULL */
void files_pack(
	const struct files *files, struct buf *b); /* an array of maps, see client_proto.h */
void files_fini(struct files *files);

#endif
