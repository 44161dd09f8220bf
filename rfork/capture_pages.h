/* The pages of a shadow, read once: what they hold decides the pieces of the descriptor, and the
 * same pass copies them into the image's memfd. Pages of zeros are neither stored nor transferred:
 * anonymous memory leaves them out, and where an image piece must cover one, the descriptor says so
 * and the memfd has a hole. */
#ifndef RFORK_CAPTURE_PAGES_H
#define RFORK_CAPTURE_PAGES_H

#include "rfork/capture_copy.h"
#include "rfork/capture_layer.h"
#include "rfork/capture_maps.h"
#include "rfork/descriptor_build.h"
#include "rfork/pagemap.h"

#include <sys/types.h>

struct capture_pages {
	struct descriptor_build *build;
	uint64_t zero_pages; /* of its own that the process had, and that were left out */
	uint64_t stored_pages;

	int mem;
	struct pagemap pagemap;
	struct capture_copy copy;
	bool copying;
	struct capture_runs runs;
	struct capture_layer layer;
};

/* image_fd: an empty memfd, which grows. base: what the seed is layered on, or NULL. All stay the
 * caller's. */
int capture_pages_init(struct capture_pages *pages, pid_t pid, struct descriptor_build *build,
	int image_fd, const struct image *base, struct ramet_err *err);
void capture_pages_fini(struct capture_pages *pages); /* also what init() left half-built */
/* capture_pages_add - the pieces of a private mapping, alternating: what the process wrote (image),
 * and what it did not (anon, or file `file` of the descriptor) */
int capture_pages_add(struct capture_pages *pages, const struct capture_vma *vma, uint32_t file,
	struct ramet_err *err);
/* capture_pages_end - everything is stored, and the pieces are cut where the base has their pages;
 * before the image is used */
int capture_pages_end(struct capture_pages *pages, struct ramet_err *err);
/* capture_pages_rest - pages [first, first + count) of a mapping as one piece that needs no bytes
 */
void capture_pages_rest(struct descriptor_build *build, const struct capture_vma *vma,
	uint64_t first, uint64_t count, uint32_t file);

#endif
