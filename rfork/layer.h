/* The pages of a base on one node: those that images made from it have in common. An image of a
 * layered seed maps them from the layer's memfd and all others from its own. At the node where the
 * base was captured that is the memfd of its image; elsewhere the first image makes one, which the
 * pager fills and later images of the same base share. A layer lives as long as an image of it. */
#ifndef RFORK_LAYER_H
#define RFORK_LAYER_H

#include "base/cleanup.h"
#include "ramet/error.h"
#include "rfork/descriptor.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct layer_page {
	uint64_t sum; /* its checksum */
	uint64_t place; /* 1 + the number of its page in the memfd; 0: no descriptor named it */
	bool zero; /* it is all zeros, and never stored */
};

struct layer {
	atomic_uint refs;
	int fd;
	uint8_t id[SEED_ID_BYTES];
	uint64_t epoch;
	uint64_t npages, file_bytes;
	struct layer_page *pages; /* what is known of each; by the thread that makes images */
	_Atomic uint64_t *present; /* bitmap by page of the base */
};

/* layer_of - of a base that is complete here: fd is its image's memfd, and stays the caller's */
int layer_of(const struct descriptor_view *base, int fd, struct layer **ret_layer,
	struct ramet_err *err);
/* layer_create - empty, for the base of a layered seed that comes from a peer */
int layer_create(
	const struct descriptor_view *seed, struct layer **ret_layer, struct ramet_err *err);
/* whether it is of the seed's base */
bool layer_matches(const struct layer *layer, const struct descriptor_view *seed);
/* layer_join - notes which pages the seed has of it. RAMET_EPROTO: it says other things of a page
 * than earlier ones did, or is of another base */
int layer_join(struct layer *layer, const struct descriptor_view *seed, struct ramet_err *err);
struct layer *layer_get(struct layer *layer);
void layer_put(struct layer *layer); /* NULL is fine; the last put closes its memfd */
DEFINE_CLEANUP(struct layer, layer_put)
#define auto_layer AUTO(layer_put)

static inline bool layer_has(const struct layer *layer, uint64_t page)
{
	return atomic_load_explicit(&layer->present[page / 64], memory_order_acquire) >>
		(page % 64) &
		1;
}
static inline void layer_mark(struct layer *layer, uint64_t page)
{
	atomic_fetch_or_explicit(
		&layer->present[page / 64], 1ull << (page % 64), memory_order_acq_rel);
}

#endif
