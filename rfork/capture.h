/* The daemon's half of a capture: from a shadow to a seed, that is a descriptor and an image memfd.
 * Blocking, on a worker thread; needs the right to read the shadow's memory (root, or its own uid).
 */
#ifndef RFORK_CAPTURE_H
#define RFORK_CAPTURE_H

#include "ramet/error.h"
#include "rfork/image.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct capture_request {
	int pidfd; /* of the shadow */
	pid_t host; /* 0: not known; else it may not be traced: a debugger changes code */
	int ready_fd;
	uint64_t state; /* address of struct safepoint_state in the shadow */
	uint8_t seed_id[SEED_ID_BYTES];
	uint64_t epoch;
	uint64_t class_id;
	char class_text[160];
	unsigned timeout_ms; /* for the shadow to become ready */
	/* What the seed is layered on: pages that are the same at the same address are not stored.
	 * A complete image and the layer of it, or NULL. */
	const struct image *base;
	struct layer *layer;
	bool cloned; /* the host is itself a clone: what is left of its template's stub is let go */
};

struct capture_stats {
	uint64_t pages; /* of the image */
	uint64_t stored_pages; /* those with bytes */
	uint64_t zero_pages; /* of the process's own: held only zeros, and were left out */
	uint64_t pieces, files;
	uint64_t total_ns, pages_ns, files_ns; /* pages: mappings and memory */
};

/* Returns a complete image (every page present). Refusals (RAMET_EREFUSED) name what cannot be
 * carried over: a connected socket with its peer, a file open for writing, a shared mapping, a
 * mapping that fork does not copy. The shadow is left as it is: the caller kills it. */
int capture_seed(const struct capture_request *request, struct image **ret_image,
	struct capture_stats *ret_stats, struct ramet_err *err);

#endif
