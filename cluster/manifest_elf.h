/* Which shared libraries an ELF file needs, and where this machine's dynamic linker would find
 * them: extension modules that are imported later must find theirs. */
#ifndef CLUSTER_MANIFEST_ELF_H
#define CLUSTER_MANIFEST_ELF_H

#include "base/cleanup.h"
#include "base/err.h"

#include <stddef.h>

struct elf_search;

/* elf_search_create - reads /etc/ld.so.cache, if it can be; any thread */
int elf_search_create(struct elf_search **ret_search, struct ramet_err *err);
void elf_search_destroy(struct elf_search *search); /* NULL is fine */
DEFINE_CLEANUP(struct elf_search, elf_search_destroy)

/* elf_needed - calls found for the path of each library that the file open as fd needs (and its
 * interpreter, if it has one) and that is found. A file that is no 64-bit ELF of this byte order,
 * or a malformed one, needs nothing. path: where it is, for $ORIGIN. */
void elf_needed(const struct elf_search *search, int fd, const char *path,
	void (*found)(void *user, const char *library), void *user);

#endif
