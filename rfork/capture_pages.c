/* Cutting mappings into pieces while their pages go by. A page costs 2 µs: two thirds of it for a
 * fresh page of the memfd, for which pwrite() is cheaper than a mapping (which would clear it
 * first); the rest for reading it, which process_vm_readv() does with one copy where
 * /proc/<pid>/mem takes two. The buffer in between stays in the CPU's cache. */
#include "rfork/capture_pages.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "rfork/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_PAGES 64 /* at a time */
#define JOIN_GAP 16 /* pages: what lies closer together is one piece */
#define CALM_PIECES 4096 /* for every so many pieces the gap doubles: there is a limit to them */

int capture_pages_init(struct capture_pages *pages, pid_t pid, struct descriptor_build *build,
	int image_fd, struct ramet_err *err)
{
	char path[64];
	*pages = (struct capture_pages){
		.build = build, .image_fd = image_fd, .pid = pid, .mem = -1, .pagemap = -1};
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	pages->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (pages->pagemap < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	pages->mem = open(path, O_RDONLY | O_CLOEXEC);
	if (pages->mem < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	pages->bounce = aligned_alloc(RFORK_PAGE, READ_PAGES * RFORK_PAGE);
	return pages->bounce ? 0 : err_nomem(err);
}

void capture_pages_fini(struct capture_pages *pages)
{
	close_reset(&pages->mem);
	close_reset(&pages->pagemap);
	capture_runs_fini(&pages->runs);
	free(pages->bounce);
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

static void cut_close(struct cut *c)
{
	if (c->first == c->end)
		return;
	descriptor_build_piece(c->build,
		(struct seed_piece){.start = c->vma->start + c->first * RFORK_PAGE,
			.pages = c->end - c->first,
			.kind = PIECE_IMAGE,
			.prot = (uint8_t)c->vma->prot});
	c->done = c->first = c->end;
}

static uint64_t join_gap(const struct descriptor_build *build)
{
	return (uint64_t)JOIN_GAP << (build->pieces.len / sizeof(struct seed_piece) / CALM_PIECES);
}

/* page becomes part of an image piece */
static void cut_take(struct cut *c, uint64_t page, bool zero)
{
	if (page - c->end > (c->keep ? 0 : join_gap(c->build)))
		cut_close(c);
	if (c->first == c->end) {
		capture_pages_rest(c->build, c->vma, c->done, page - c->done, c->file);
		c->first = c->end = page;
		c->image_page = c->build->header.image_pages;
		c->offset = c->build->next_offset;
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

static int read_pages(
	const struct capture_pages *pages, uint64_t from, uint64_t n, struct ramet_err *err)
{
	struct iovec local = {pages->bounce, n * RFORK_PAGE};
	struct iovec remote = {(void *)(uintptr_t)from, n * RFORK_PAGE};
	if (fault_hit("capture.read"))
		return err_set(err, RAMET_EIO, "capture: injected");
	/* not of memory that the process itself may not read */
	if (process_vm_readv(pages->pid, &local, 1, &remote, 1, 0) == (ssize_t)local.iov_len)
		return 0;
	ssize_t got = pread(pages->mem, pages->bounce, local.iov_len, (off_t)from);
	if (got != (ssize_t)local.iov_len)
		return err_errno(
			err, RAMET_EIO, "capture: read %" PRIu64 " pages at %#" PRIx64, n, from);
	return 0;
}

static int store_pages(struct capture_pages *pages, const unsigned char *bytes, uint64_t n,
	uint64_t offset, struct ramet_err *err)
{
	pages->stored_pages += n;
	for (uint64_t done = 0; done < n * RFORK_PAGE;) {
		ssize_t wrote = pwrite(pages->image_fd, bytes + done, n * RFORK_PAGE - done,
			(off_t)(offset + done));
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return err_errno(err, RAMET_EIO, "capture: store pages in the image");
		done += (uint64_t)wrote;
	}
	return 0;
}

/* pages [first, first + n) are in the buffer */
static int take_pages(struct capture_pages *pages, struct cut *c, uint64_t first, uint64_t n,
	struct ramet_err *err)
{
	for (uint64_t i = 0; i < n;) {
		if (is_zero(pages->bounce + i * RFORK_PAGE)) {
			pages->zero_pages++;
			if (c->keep)
				cut_take(c, first + i, true);
			i++;
			continue;
		}
		uint64_t begin = i;
		do
			cut_take(c, first + i, false);
		while (++i < n && !is_zero(pages->bounce + i * RFORK_PAGE));
		uint64_t offset = c->offset + (first + begin - c->first) * RFORK_PAGE;
		int rc = store_pages(
			pages, pages->bounce + begin * RFORK_PAGE, i - begin, offset, err);
		if (rc < 0)
			return rc;
	}
	return 0;
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
	if (vma->deleted) /* nobody else has the file: its clean pages travel too */
		return capture_runs_add(&pages->runs, 0, (vma->end - vma->start) / RFORK_PAGE, err);
	int rc = capture_maps_own(pages->pagemap, vma, &pages->runs, err);
	if (rc == 0 && vma->inode)
		close_gaps(&pages->runs, join_gap(pages->build));
	return rc;
}

int capture_pages_add(struct capture_pages *pages, const struct capture_vma *vma, uint32_t file,
	struct ramet_err *err)
{
	struct cut cut = {.build = pages->build,
		.vma = vma,
		.file = file,
		.keep = vma->inode && !vma->deleted};
	int rc = find_runs(pages, vma, err);
	for (size_t i = 0; rc == 0 && i < pages->runs.count; i++) {
		struct capture_run run = pages->runs.items[i];
		for (uint64_t n; rc == 0 && run.first < run.end; run.first += n) {
			n = MIN(run.end - run.first, (uint64_t)READ_PAGES);
			rc = read_pages(pages, vma->start + run.first * RFORK_PAGE, n, err);
			if (rc == 0)
				rc = take_pages(pages, &cut, run.first, n, err);
		}
	}
	cut_close(&cut);
	capture_pages_rest(
		pages->build, vma, cut.done, (vma->end - vma->start) / RFORK_PAGE - cut.done, file);
	return rc;
}
