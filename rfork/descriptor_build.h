/* Putting a descriptor together, piece by piece in order of address, then sealing it into flat
 * bytes. */
#ifndef RFORK_DESCRIPTOR_BUILD_H
#define RFORK_DESCRIPTOR_BUILD_H

#include "base/wire.h"
#include "ramet/error.h"
#include "rfork/descriptor.h"

/* Zero-initialise; fill `header` but for sections, lengths and checksum. Memory that runs out is
 * told by build_seal(). */
struct descriptor_build {
	struct descriptor_header header;
	struct buf pieces, files, auxv, zeros, sums, strings;
	uint64_t next_offset; /* where the next image piece goes in the memfd */
};
void descriptor_build_init(struct descriptor_build *b, const char *cwd);
void descriptor_build_fini(struct descriptor_build *b);
uint32_t descriptor_build_string(struct descriptor_build *b, const char *text);
/* adds a piece; for image pieces offset and image_page are chosen here */
void descriptor_build_piece(struct descriptor_build *b, struct seed_piece piece);
/* Image pieces that may be one with the piece before: if that is an image piece too, ends where the
 * new one starts, and has its protection and flags. The offset is where such a piece will go. */
uint64_t descriptor_build_join_offset(
	const struct descriptor_build *b, const struct seed_piece *piece);
void descriptor_build_join_piece(struct descriptor_build *b, struct seed_piece piece);
/* image page `page`, and of those before it only what was said before, is all zeros */
void descriptor_build_zero(struct descriptor_build *b, uint64_t page);
/* the checksum of image page `page`, which comes after those that were said before */
void descriptor_build_sum(struct descriptor_build *b, uint64_t page, uint64_t sum);
/* the index of the file with this path, added if it is new */
uint32_t descriptor_build_file(struct descriptor_build *b, const char *path, uint32_t flags);
/* the flat bytes, into *out (empty before), with lengths and checksum; checked by
 * descriptor_open(). If header.sums_offset is set then, b->sums are the bytes that belong there. */
int descriptor_build_seal(struct descriptor_build *b, struct buf *out, struct ramet_err *err);

#endif
