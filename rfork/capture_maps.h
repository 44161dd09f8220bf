/* Reading the shadow's mappings from /proc: what is there, and which pages of it are the process's
 * own. */
#ifndef RFORK_CAPTURE_MAPS_H
#define RFORK_CAPTURE_MAPS_H

#include "ramet/error.h"
#include "rfork/pagemap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct capture_vma {
	uint64_t start, end, offset, inode;
	int prot;
	bool shared, deleted;
	uint64_t own; /* pages that are private copies, in memory or swapped out */
	bool wipe; /* MADV_WIPEONFORK or MAP_DROPPABLE: a child never sees its bytes */
	bool huge; /* MADV_HUGEPAGE */
	/* by capture_libraries_join() */
	bool library; /* data of a loaded library */
	bool joins; /* its first piece may be one with the last of the mapping before it */
	bool whole; /* clean pages become part of the image too */
	char path[512]; /* "" for anonymous memory, "[heap]", "[stack]", "[vdso]", … */
};

/* all mappings, by address; *ret_vmas is malloc'ed. Without details, own, wipe and huge are not
 * set, for a quarter of the price (0.2 ms for 190 mappings). */
int capture_maps_read(pid_t pid, bool details, struct capture_vma **ret_vmas, uint32_t *ret_count,
	struct ramet_err *err);

/* Pages [first, end) of a mapping. */
struct capture_run {
	uint64_t first, end;
};
struct capture_runs { /* zero-initialise; used for one mapping after the other */
	struct capture_run *items;
	size_t count, cap;
};
void capture_runs_fini(struct capture_runs *runs);
int capture_runs_add(
	struct capture_runs *runs, uint64_t first, uint64_t end, struct ramet_err *err);

/* capture_maps_own - the pages that are private copies (written, or anonymous and present), in
 * order and joined; pagemap: of the process */
int capture_maps_own(struct pagemap *pagemap, const struct capture_vma *vma,
	struct capture_runs *runs, struct ramet_err *err);

#endif
