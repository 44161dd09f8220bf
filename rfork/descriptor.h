/* The descriptor of a seed: everything a clone needs but the bytes of its pages. Flat,
 * little-endian, versioned, checksummed; sealed when built, so that a peer gets it with one read. A
 * view is made only by descriptor_open(), which checks every length, offset, order and enumeration:
 * users of a view need not check again. The stub reads the same bytes without a library, so this
 * header stays plain C with fixed-width fields. */
#ifndef RFORK_DESCRIPTOR_H
#define RFORK_DESCRIPTOR_H

#include "rfork/arch/context.h"

#include <stdint.h>

#define DESCRIPTOR_MAGIC "RAMETSD"
#define DESCRIPTOR_VERSION 4u
#define DESCRIPTOR_MAX_BYTES (48u << 20)
#define DESCRIPTOR_MAX_PIECES 65536u
#define DESCRIPTOR_MAX_FILES 4096u
#define DESCRIPTOR_MAX_IMAGE_PAGES (1ull << 28) /* 1 TiB */

/* Checksums of up to so many pages (4 GiB of image) are in the descriptor itself. Larger images
 * have them in the image's memfd, in blocks of a page that are read when they are needed; then the
 * descriptor has those blocks' checksums. */
#define DESCRIPTOR_MAX_SUMS (1u << 20)
#define DESCRIPTOR_BLOCK_SUMS 512u /* checksums in a block */

#define SEED_ID_BYTES 16
#define RFORK_PAGE 4096ull

/* The address range in which the stub lives; no host may have a mapping there. */
#define RFORK_GAP_START 0x110000000000ull
#define RFORK_GAP_END 0x110010000000ull
#define RFORK_USER_END 0x7ffffffff000ull

enum piece_kind {
	PIECE_IMAGE = 1, /* pages [image_page, image_page + pages) of the image, at offset `offset`
			    of its memfd */
	PIECE_FILE = 2, /* a clean mapping of file `file` at offset `offset` */
	PIECE_ANON = 3, /* zero until written */
	PIECE_VDSO =
		4, /* vvar and vdso pages of the running kernel; start is that of the whole area */
};

enum piece_flag {
	PIECE_SHARED = 1, /* MAP_SHARED, only for read-only file pieces */
	PIECE_STACK = 2, /* part of the main stack */
	PIECE_HUGEPAGE = 4, /* MADV_HUGEPAGE was set */
	PIECE_WIPE = 8, /* MADV_WIPEONFORK was set: anon pieces only */
	PIECE_BASE = 16, /* image pieces: `offset` is of the base's memfd (rfork/layer.h) */
};

#define PIECE_FLAGS (PIECE_SHARED | PIECE_STACK | PIECE_HUGEPAGE | PIECE_WIPE | PIECE_BASE)

struct seed_piece {
	uint64_t start;
	uint64_t pages;
	uint64_t offset; /* bytes, page-aligned */
	uint64_t image_page; /* image pieces: dense, increasing */
	uint32_t file; /* file pieces: index into files; with PIECE_BASE: the base's image page */
	uint8_t kind; /* enum piece_kind */
	uint8_t prot; /* PROT_* */
	uint16_t flags; /* enum piece_flag */
};

struct seed_file {
	uint32_t path; /* offset into strings */
	uint32_t flags; /* 1: the executable itself */
	uint64_t size;
	uint8_t sha256[32];
};
#define SEED_FILE_EXE 1u

struct seed_sigaction { /* the kernel's layout */
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

struct seed_mm { /* prctl(PR_SET_MM_MAP) */
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk;
	uint64_t start_stack, arg_start, arg_end, env_start, env_end;
};

struct seed_process {
	struct arch_context context;
	uint64_t tid_address;
	uint64_t robust_list, robust_list_len;
	uint64_t rseq, rseq_len, rseq_sig; /* rseq 0: not registered */
	uint64_t sigmask;
	uint64_t altstack_sp, altstack_size;
	uint32_t altstack_flags, umask;
	int32_t tid; /* in its own PID namespace */
	int32_t control_fd;
	uint64_t state_addr; /* its struct safepoint_state */
	char comm[16];
	struct seed_sigaction sigactions[64];
};

struct descriptor_section {
	uint32_t offset; /* from the start of the descriptor, 8-byte aligned */
	uint32_t count; /* of entries */
};

struct descriptor_header {
	char magic[8];
	uint32_t version;
	uint32_t total_len;
	uint64_t checksum; /* xxh3_64 of everything after this field */
	uint8_t seed_id[SEED_ID_BYTES];
	uint64_t epoch;
	uint64_t class_id;
	char class_text[160];
	uint64_t image_pages; /* pages of all image pieces together */
	uint64_t image_file_bytes; /* size of the sparse memfd that `offset`s of image pieces refer
				      to */
	/* the seed that pieces with PIECE_BASE have their pages from; base_pages 0: there is none
	 */
	uint8_t base_id[SEED_ID_BYTES];
	uint64_t base_epoch;
	uint64_t base_pages, base_file_bytes; /* its image_pages, image_file_bytes */
	uint64_t mono_ns, boot_ns; /* the parent's clocks at capture */
	uint64_t page_size;
	struct seed_mm mm;
	struct seed_process process;
	struct descriptor_section
		pieces; /* struct seed_piece, by start, not overlapping, outside the gap */
	struct descriptor_section files; /* struct seed_file */
	struct descriptor_section auxv; /* uint64_t pairs, at most 64 */
	struct descriptor_section
		zeros; /* uint64_t words: bit set = image page is all zeros and never fetched */
	/* uint64_t, XXH3: of each page of the image (0 for pages of zeros); or of each block of
	 * such checksums, if sums_offset says where in the memfd those are, behind every piece */
	struct descriptor_section sums;
	uint64_t sums_offset; /* 0: in `sums` */
	struct descriptor_section strings; /* bytes, each string terminated; cwd is at offset 0 */
};

/* A checked descriptor; pointers into the caller's bytes. */
struct descriptor_view {
	const struct descriptor_header *header;
	const struct seed_piece *pieces;
	const struct seed_file *files;
	const uint64_t *auxv;
	const uint64_t *zeros;
	const uint64_t *sums;
	const char *strings;
	uint32_t npieces, nfiles, nauxv, nstrings;
};

/* descriptor_sum_blocks - blocks of checksums behind the image's pages; 0: they are in `sums` */
static inline uint64_t descriptor_sum_blocks(const struct descriptor_header *header)
{
	return header->sums_offset
		? (header->image_pages + DESCRIPTOR_BLOCK_SUMS - 1) / DESCRIPTOR_BLOCK_SUMS
		: 0;
}

struct ramet_err;
/* RAMET_EPROTO (malformed), RAMET_EVERSION, RAMET_ECHECKSUM; the message names the field. bytes:
 * 8-byte aligned, and must outlive the view. */
int descriptor_open(
	const void *bytes, uint64_t len, struct descriptor_view *ret_view, struct ramet_err *err);
static inline const char *descriptor_string(const struct descriptor_view *view, uint32_t offset)
{
	return view->strings + offset;
}
/* the image piece that holds image page `page`, or NULL; O(log pieces) */
const struct seed_piece *descriptor_piece_of_page(
	const struct descriptor_view *view, uint64_t page);
/* the piece that holds address addr, or NULL */
const struct seed_piece *descriptor_piece_of_addr(
	const struct descriptor_view *view, uint64_t addr);

#endif
