/* Reading the shadow's mappings from /proc: what is there, and which pages of it are the process's own. */
#ifndef RFORK_CAPTURE_MAPS_H
#define RFORK_CAPTURE_MAPS_H

#include "ramet/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct capture_vma {
	uint64_t start, end, offset, inode;
	int prot;
	bool shared, deleted;
	char path[512]; /* "" for anonymous memory, "[heap]", "[stack]", "[vdso]", … */
};

/* all mappings, by address; *ret_vmas is malloc'ed */
int capture_maps_read(pid_t pid, struct capture_vma **ret_vmas, uint32_t *ret_count, struct ramet_err *err);
/* bitmap (malloc'ed) of the pages of [start, end) that are private copies: written, or anonymous and present */
int capture_maps_private(int pagemap_fd, const struct capture_vma *vma, uint64_t **ret_bits, uint64_t *ret_count,
	struct ramet_err *err);

#endif
