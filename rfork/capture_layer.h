/* Which pages of a capture are those of its base: the same bytes at the same address. They are
 * found while pages go by, and not stored; when all are known, image pieces are cut where enough of
 * them lie side by side. What an app changes of its base lies all over it: some hundred pages, many
 * for a count of references only. Where every page is here, templates write few own pages between
 * pages of the base over these, instead of mapping all (stub/stub_build.c); elsewhere every piece is
 * a mapping, which costs each clone a microsecond, so there is a bound on how many more there are.
 */
#ifndef RFORK_CAPTURE_LAYER_H
#define RFORK_CAPTURE_LAYER_H

#include "rfork/descriptor_build.h"
#include "rfork/image.h"

#include <stdbool.h>
#include <stdint.h>

struct capture_layer {
	const struct image *base; /* complete; NULL: there is none, and nothing is the same */
	const struct seed_piece *piece; /* of the base: where the last address was */
	struct buf same; /* bitmap by page of the image that is captured: not stored */
};
void capture_layer_fini(struct capture_layer *layer);
/* capture_layer_same - whether the base has these bytes at this address. If so, the image's page
 * need not be stored. */
bool capture_layer_same(
	struct capture_layer *layer, uint64_t addr, uint64_t image_page, const void *bytes);
/* capture_layer_split - cuts the image pieces, names the base in the header, and stores in image_fd
 * what becomes the image's own after all; *stored: that many pages */
int capture_layer_split(struct capture_layer *layer, struct descriptor_build *b, int image_fd,
	uint64_t *ret_stored, struct ramet_err *err);

#endif
