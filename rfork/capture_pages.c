/* Cutting mappings into pieces while their pages go by. A page costs 2.3 µs: 0.9 to read it, the
 * rest for a fresh one of the memfd, for which pwrite() is cheaper than a mapping (which would
 * clear it first). /proc/<pid>/mem copies twice, process_vm_readv() only once; but that pins pages,
 * and the kernel then copies each that the shadow shares with its host: 5 µs. */
#include "rfork/capture_pages.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"
#include "rfork/descriptor.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define JOIN_GAP 16 /* pages: what lies closer together is one piece */
#define LIBRARY_GAP 64 /* the same between what a loaded library wrote to */
#define ENORMOUS_PAGES (1u << 18) /* for a fault point: what nobody fills */
#define CALM_PIECES 4096 /* for every so many pieces the gap doubles: there is a limit to them */

int capture_pages_init(struct capture_pages *pages, pid_t pid, struct descriptor_build *build,
	int image_fd, const struct image *base, struct ramet_err *err)
{
	char path[64];
	*pages = (struct capture_pages){
		.build = build, .mem = -1, .pagemap.fd = -1, .layer.base = base};
	int rc = pagemap_open(&pages->pagemap, pid, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	pages->mem = open(path, O_RDONLY | O_CLOEXEC);
	if (pages->mem < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	rc = capture_copy_init(&pages->copy, image_fd, err);
	pages->copying = rc == 0;
	return rc;
}

void capture_pages_fini(struct capture_pages *pages)
{
	if (pages->copying)
		capture_copy_fini(&pages->copy);
	close_reset(&pages->mem);
	pagemap_close(&pages->pagemap);
	capture_runs_fini(&pages->runs);
	capture_layer_fini(&pages->layer);
}

int capture_pages_end(struct capture_pages *pages, struct ramet_err *err)
{
	uint64_t more = 0;
	int rc = capture_copy_wait(&pages->copy, err);
	if (rc == 0)
		rc = capture_layer_split(&pages->layer, pages->build, pages->copy.fd, &more, err);
	pages->stored_pages += more;
	return rc;
}

void capture_pages_rest(struct descriptor_build *build, const struct capture_vma *vma,
	uint64_t first, uint64_t count, uint32_t file)
{
	struct seed_piece piece = {.start = vma->start + first * RFORK_PAGE,
		.pages = count,
		.prot = (uint8_t)vma->prot};
	if (vma->inode && !vma->deleted) {
		piece.kind = PIECE_FILE;
		piece.file = file;
		piece.offset = vma->offset + first * RFORK_PAGE;
		piece.flags = vma->shared ? PIECE_SHARED : 0;
	} else {
		piece.kind = PIECE_ANON;
		piece.flags = (vma->wipe ? PIECE_WIPE : 0) | (vma->huge ? PIECE_HUGEPAGE : 0);
	}
	if (count > ENORMOUS_PAGES && fault_hit("capture.enormous"))
		return;
	if (count)
		descriptor_build_piece(build, piece);
}

/* --- cutting --- */

/* The piece that is being made; pages are counted from the start of the mapping. */
struct cut {
	struct descriptor_build *build;
	const struct capture_vma *vma;
	uint32_t file;
	bool keep; /* below the pages lies a file: zeros count, and what was skipped does not */
	uint64_t done; /* what lies before is in pieces */
	uint64_t first, end; /* of the image piece; equal: there is none */
	uint64_t image_page, offset; /* where its first page goes */
};

static struct seed_piece cut_piece(const struct cut *c)
{
	return (struct seed_piece){.start = c->vma->start + c->first * RFORK_PAGE,
		.pages = c->end - c->first,
		.kind = PIECE_IMAGE,
		.prot = (uint8_t)c->vma->prot};
}

static void cut_close(struct cut *c)
{
	if (c->first == c->end)
		return;
	if (c->vma->joins && c->first == 0)
		descriptor_build_join_piece(c->build, cut_piece(c));
	else
		descriptor_build_piece(c->build, cut_piece(c));
	c->done = c->first = c->end;
}

static uint64_t join_gap(const struct descriptor_build *build)
{
	return (uint64_t)JOIN_GAP << (build->pieces.len / sizeof(struct seed_piece) / CALM_PIECES);
}

/* page becomes part of an image piece, as zeros if it is not there */
static void cut_take(struct cut *c, uint64_t page, bool zero)
{
	const uint64_t gap = c->keep ? 0 : join_gap(c->build);
	if (page - c->end > gap)
		cut_close(c);
	if (c->first == c->end && page > 0 && page <= gap) { /* near the start: from there on */
		cut_take(c, 0, true);
	} else if (c->first == c->end) {
		capture_pages_rest(c->build, c->vma, c->done, page - c->done, c->file);
		c->first = c->end = page;
		c->image_page = c->build->header.image_pages;
		c->offset = c->build->next_offset;
		if (c->vma->joins && page == 0) {
			struct seed_piece piece = cut_piece(c);
			c->offset = descriptor_build_join_offset(c->build, &piece);
		}
	}
	for (uint64_t skipped = c->end; skipped < page; skipped++)
		descriptor_build_zero(c->build, c->image_page + skipped - c->first);
	if (zero)
		descriptor_build_zero(c->build, c->image_page + page - c->first);
	c->end = page + 1;
}

/* --- copying --- */

/* almost always decided by the first word */
static bool is_zero(const unsigned char *page)
{
	uint64_t word;
	memcpy(&word, page, sizeof(word));
	return word == 0 && memcmp(page, page + sizeof(word), RFORK_PAGE - sizeof(word)) == 0;
}

static int read_pages(const struct capture_pages *pages, uint64_t from, uint64_t n,
	unsigned char *dst, struct ramet_err *err)
{
	size_t len = n * RFORK_PAGE;
	if (fault_hit("capture.read"))
		return err_set(err, RAMET_EIO, "capture: injected");
	if (pread(pages->mem, dst, len, (off_t)from) != (ssize_t)len)
		return err_errno(
			err, RAMET_EIO, "capture: read %" PRIu64 " pages at %#" PRIx64, n, from);
	return 0;
}

/* a page of the batch goes to the image, behind the one before it if it can */
static void batch_add(struct copy_batch *batch, uint32_t page, uint64_t offset)
{
	struct copy_run *last = batch->nruns ? &batch->runs[batch->nruns - 1] : NULL;
	if (last && last->first + last->count == page &&
		last->offset + last->count * RFORK_PAGE == offset)
		last->count++;
	else
		batch->runs[batch->nruns++] = (struct copy_run){page, 1, offset};
}

/* pages [first, first + n) of the mapping are in the batch, behind those it had */
static void take_pages(struct capture_pages *pages, struct cut *c, struct copy_batch *batch,
	uint64_t first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t page = first + i;
		uint32_t at = batch->used + i;
		bool zero = is_zero(batch->bytes + at * RFORK_PAGE);
		pages->zero_pages += zero;
		if (!zero || c->keep)
			cut_take(c, page, zero);
		if (zero)
			continue;
		const unsigned char *bytes = batch->bytes + at * RFORK_PAGE;
		const uint64_t image_page = c->image_page + page - c->first;
		descriptor_build_sum(c->build, image_page, hash64(bytes, RFORK_PAGE));
		if (capture_layer_same(
			    &pages->layer, c->vma->start + page * RFORK_PAGE, image_page, bytes))
			continue;
		batch_add(batch, at, c->offset + (page - c->first) * RFORK_PAGE);
		pages->stored_pages++;
	}
}

/* what lies in a small gap of a file mapping is the file's bytes, and travels along */
static void close_gaps(struct capture_runs *runs, uint64_t gap)
{
	size_t kept = 0;
	for (size_t i = 1; i < runs->count; i++) {
		if (runs->items[i].first - runs->items[kept].end <= gap)
			runs->items[kept].end = runs->items[i].end;
		else
			runs->items[++kept] = runs->items[i];
	}
	runs->count = MIN(runs->count, kept + 1);
}

static int find_runs(
	struct capture_pages *pages, const struct capture_vma *vma, struct ramet_err *err)
{
	pages->runs.count = 0;
	if (vma->wipe)
		return 0;
	/* where nobody else has the file, its clean pages travel too */
	if (vma->deleted || vma->whole)
		return capture_runs_add(&pages->runs, 0, (vma->end - vma->start) / RFORK_PAGE, err);
	int rc = capture_maps_own(&pages->pagemap, vma, &pages->runs, err);
	if (rc == 0 && vma->inode)
		close_gaps(&pages->runs, vma->library ? LIBRARY_GAP : join_gap(pages->build));
	return rc;
}

static int take_run(
	struct capture_pages *pages, struct cut *cut, struct capture_run run, struct ramet_err *err)
{
	while (run.first < run.end) {
		struct copy_batch *batch = capture_copy_batch(&pages->copy);
		unsigned n = (unsigned)MIN(run.end - run.first, COPY_PAGES - (uint64_t)batch->used);
		int rc = read_pages(pages, cut->vma->start + run.first * RFORK_PAGE, n,
			batch->bytes + batch->used * RFORK_PAGE, err);
		if (rc < 0)
			return rc;
		take_pages(pages, cut, batch, run.first, n);
		capture_copy_used(&pages->copy, n);
		run.first += n;
	}
	return 0;
}

int capture_pages_add(struct capture_pages *pages, const struct capture_vma *vma, uint32_t file,
	struct ramet_err *err)
{
	struct cut cut = {.build = pages->build,
		.vma = vma,
		.file = file,
		.keep = vma->inode && !vma->deleted};
	int rc = find_runs(pages, vma, err);
	for (size_t i = 0; rc == 0 && i < pages->runs.count; i++)
		rc = take_run(pages, &cut, pages->runs.items[i], err);
	uint64_t total = (vma->end - vma->start) / RFORK_PAGE;
	if (rc == 0 && !cut.keep && cut.end > cut.first && total > cut.end &&
		total - cut.end <= join_gap(cut.build))
		cut_take(&cut, total - 1, true); /* and to the end */
	cut_close(&cut);
	capture_pages_rest(pages->build, vma, cut.done, total - cut.done, file);
	return rc;
}
