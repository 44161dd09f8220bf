/* A made-up seed for tests: a valid descriptor with the pieces that a test wants, and pages whose
 * bytes tell which page they are. */
#ifndef TESTS_RFORK_SEED_FIXTURE_H
#define TESTS_RFORK_SEED_FIXTURE_H

#include "rfork/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* where tests may map what they like: between the shadow memories of the sanitizers */
#ifdef __SANITIZE_THREAD__
#define FIXTURE_BASE 0x1000000000ull
#else
#define FIXTURE_BASE 0x200000000000ull
#endif
#define FIXTURE_MAX_PIECES 16
#define FIXTURE_GAP_PAGES 64 /* of the memfd between two pieces */

struct fixture_piece {
	uint64_t start, pages;
	uint8_t kind, prot;
	bool base; /* its pages are the base's, from number base_page on */
	uint32_t base_page;
	uint32_t base_shift; /* so many pages behind where the base has them by this fixture */
};

struct fixture {
	struct fixture_piece pieces[FIXTURE_MAX_PIECES];
	unsigned npieces;
	bool apart; /* checksums are in blocks behind the pages */
	uint64_t base_pages; /* of the seed that it is layered on; 0: it is not */
	uint64_t zeros; /* bit n: page n of the image is all zeros; for the first 64 */
};

/* fixture_descriptor - malloc'd bytes; NULL: no memory */
void *fixture_descriptor(const struct fixture *fixture, size_t *ret_len);
/* fixture_image - an image for it, with every page stored if complete; NULL: failed, printed why */
struct image *fixture_image(const struct fixture *fixture, bool complete);
/* what is at 8 * word bytes of a page */
uint64_t fixture_word(uint64_t page, unsigned word);
void fixture_fill(uint64_t page, void *dst);
bool fixture_check(uint64_t page, const void *bytes);

/* one writable image piece of that many pages at FIXTURE_BASE */
struct fixture fixture_simple(uint64_t pages);

#endif
