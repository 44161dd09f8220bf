/* From a shadow to a seed: mappings into pieces, process state into the descriptor, own pages into the image. */
#include "rfork/capture.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"
#include "rfork/capture_fds.h"
#include "rfork/capture_maps.h"
#include "rfork/capture_process.h"
#include "rfork/descriptor_build.h"
#include "rfork/safepoint.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define JOIN_GAP 16		    /* pages: own pages closer than this are one piece */
#define STACK_ROOM (8ull << 20) /* below the captured stack, as the usual limit allows */
#define READ_PAGES 256

static bool bit(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static int await_ready(const struct capture_request *r, struct ramet_err *err)
{
	struct pollfd pfd = { .fd = r->ready_fd, .events = POLLIN };
	char byte;
	int n = poll(&pfd, 1, (int)r->timeout_ms);
	if (n == 0)
		return err_set(err, RAMET_ETIMEOUT, "capture: the shadow was not ready in %u ms", r->timeout_ms);
	if (read(r->ready_fd, &byte, 1) != 1)
		return err_set(err, RAMET_EIO, "capture: the shadow died before it was ready");
	return 0;
}

static void add_rest(struct descriptor_build *b, const struct capture_vma *vma, uint64_t first, uint64_t count, uint32_t file)
{
	struct seed_piece piece = { .start = vma->start + first * RFORK_PAGE, .pages = count, .prot = (uint8_t)vma->prot };
	if (vma->inode && !vma->deleted) {
		piece.kind = PIECE_FILE;
		piece.file = file;
		piece.offset = vma->offset + first * RFORK_PAGE;
		piece.flags = vma->shared ? PIECE_SHARED : 0;
	} else {
		piece.kind = PIECE_ANON;
	}
	if (count)
		descriptor_build_piece(b, piece);
}

/* alternating: what the process wrote (image), and what it did not (file or anon) */
static int add_private(struct descriptor_build *b, const struct capture_vma *vma, int pagemap, uint32_t file, struct ramet_err *err)
{
	auto_free uint64_t *own = NULL;
	uint64_t count, pages = (vma->end - vma->start) / RFORK_PAGE, done = 0;
	int rc = capture_maps_private(pagemap, vma, &own, &count, err);
	if (rc < 0)
		return rc;
	bool all = vma->deleted; /* nobody else has the file: its clean pages travel too */
	for (uint64_t i = 0; i < pages && (count || all);) {
		if (!all && !bit(own, i)) {
			i++;
			continue;
		}
		uint64_t first = i, last = i;
		for (; i < pages && i - last <= JOIN_GAP; i++)
			if (all || bit(own, i))
				last = i;
		add_rest(b, vma, done, first - done, file);
		descriptor_build_piece(b, (struct seed_piece){ .start = vma->start + first * RFORK_PAGE,
						  .pages = last - first + 1,
						  .kind = PIECE_IMAGE,
						  .prot = (uint8_t)vma->prot });
		done = i = last + 1;
	}
	add_rest(b, vma, done, pages - done, file);
	return 0;
}

static int refuse_vma(const struct capture_vma *vma, const char *what, struct ramet_err *err)
{
	return err_set(err, RAMET_EREFUSED, "capture refused: the mapping at %#" PRIx64 " is %s (%s)", vma->start, what,
		vma->path[0] ? vma->path : "anonymous");
}

static bool is_kernel_page(const char *path)
{
	return strcmp(path, "[vdso]") == 0 || strncmp(path, "[vvar", 5) == 0;
}

static int add_vma(struct descriptor_build *b, const struct capture_vma *vma, uint64_t below, int pagemap, struct ramet_err *err)
{
	if (vma->start < RFORK_GAP_END && vma->end > RFORK_GAP_START)
		return refuse_vma(vma, "in the range that Ramet reserves", err);
	if (vma->shared && (vma->deleted || (vma->prot & PROT_WRITE) || vma->inode == 0))
		return refuse_vma(vma, "shared with other processes", err);
	if (strncmp(vma->path, "/dev/", 5) == 0 && !vma->deleted)
		return refuse_vma(vma, "a device", err);
	uint32_t file = 0;
	if (vma->inode && !vma->deleted)
		file = descriptor_build_file(b, vma->path, 0);
	if (vma->shared) {
		add_rest(b, vma, 0, (vma->end - vma->start) / RFORK_PAGE, file);
		return 0;
	}
	if (strcmp(vma->path, "[stack]") == 0) {
		uint64_t room = MIN(STACK_ROOM, (vma->start - below) / 2 / RFORK_PAGE * RFORK_PAGE);
		if (room)
			descriptor_build_piece(b, (struct seed_piece){ .start = vma->start - room,
							  .pages = room / RFORK_PAGE,
							  .kind = PIECE_ANON,
							  .prot = (uint8_t)vma->prot,
							  .flags = PIECE_STACK });
	}
	return add_private(b, vma, pagemap, file, err);
}

static int add_maps(struct descriptor_build *b, pid_t pid, struct ramet_err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	auto_close int pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	auto_free struct capture_vma *vmas = NULL;
	uint32_t count;
	int rc = capture_maps_read(pid, &vmas, &count, err);
	uint64_t below = 0x10000;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct capture_vma *vma = &vmas[i];
		if (vma->start >= RFORK_USER_END) /* vsyscall: the kernel's own */
			continue;
		if (is_kernel_page(vma->path)) {
			uint32_t last = i;
			while (last + 1 < count && is_kernel_page(vmas[last + 1].path) && vmas[last + 1].start == vmas[last].end)
				last++;
			descriptor_build_piece(b, (struct seed_piece){ .start = vma->start,
							  .pages = (vmas[last].end - vma->start) / RFORK_PAGE,
							  .kind = PIECE_VDSO,
							  .prot = PROT_READ | PROT_EXEC });
			i = last;
		} else {
			rc = add_vma(b, vma, below, pagemap, err);
		}
		below = vmas[i].end;
	}
	return rc;
}

/* what each file is, so that another node can tell whether it has the same */
static int hash_files(struct descriptor_build *b, struct ramet_err *err)
{
	struct seed_file *files = (struct seed_file *)(void *)b->files.data;
	for (size_t i = 0; i < b->files.len / sizeof(*files); i++) {
		const char *path = (const char *)b->strings.data + files[i].path;
		auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct stat st;
		struct sha256 sum;
		if (fd < 0 || fstat(fd, &st) < 0)
			return err_errno(err, RAMET_EIO, "open the mapped file %s", path);
		int rc = sha256_fd(fd, &sum, err);
		if (rc < 0)
			return rc;
		files[i].size = (uint64_t)st.st_size;
		memcpy(files[i].sha256, &sum, sizeof(files[i].sha256));
	}
	return 0;
}

static bool is_zero(const unsigned char *page)
{
	return page[0] == 0 && memcmp(page, page + 1, RFORK_PAGE - 1) == 0;
}

static int copy_pages(pid_t pid, struct image *image, struct capture_stats *stats, struct ramet_err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	auto_close int mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	auto_free unsigned char *bounce = malloc(READ_PAGES * RFORK_PAGE);
	if (!bounce)
		return err_nomem(err);
	for (uint32_t i = 0; i < image->desc.npieces; i++) {
		const struct seed_piece *p = &image->desc.pieces[i];
		if (p->kind != PIECE_IMAGE)
			continue;
		for (uint64_t done = 0; done < p->pages;) {
			uint64_t n = MIN(p->pages - done, (uint64_t)READ_PAGES);
			uint64_t from = p->start + done * RFORK_PAGE;
			if (fault_hit("capture.read") ||
				pread(mem, bounce, n * RFORK_PAGE, (off_t)from) != (ssize_t)(n * RFORK_PAGE))
				return err_errno(err, RAMET_EIO, "capture: read %" PRIu64 " pages at %#" PRIx64, n, from);
			for (uint64_t k = 0; k < n; k++)
				stats->zero_pages += is_zero(bounce + k * RFORK_PAGE);
			int rc = image_store(image, p->image_page + done, n, bounce);
			if (rc < 0)
				return err_set(err, rc, "capture: store pages in the image");
			done += n;
		}
	}
	return 0;
}

int capture_seed(const struct capture_request *request, struct image **ret_image, struct capture_stats *ret_stats,
	struct ramet_err *err)
{
	struct capture_stats stats = { 0 };
	struct safepoint_state state;
	uint64_t begin = now_ns();
	pid_t pid;
	int rc = capture_process_pid(request->pidfd, &pid, err);
	if (rc < 0 || (rc = await_ready(request, err)) < 0 || (rc = capture_process_state(pid, request->state, &state, err)) < 0)
		return rc;

	struct descriptor_build b;
	struct buf bytes = { 0 };
	AUTO(image_put) struct image *image = NULL;
	rc = capture_process_begin(pid, &state, request, &b, err);
	if (rc == 0)
		rc = capture_fds(pid, &state, &b, err);
	if (rc == 0)
		rc = add_maps(&b, pid, err);
	if (rc == 0)
		rc = capture_process_executable(pid, &b, err);
	uint64_t mark = now_ns();
	if (rc == 0)
		rc = hash_files(&b, err);
	stats.files_ns = now_ns() - mark;
	for (uint64_t i = 0; rc == 0 && i < (b.header.image_pages + 63) / 64; i++)
		buf_append(&b.zeros, &(uint64_t){ 0 }, 8);
	stats.pieces = b.pieces.len / sizeof(struct seed_piece);
	stats.files = b.files.len / sizeof(struct seed_file);
	stats.pages = b.header.image_pages;
	if (rc == 0)
		rc = descriptor_build_seal(&b, &bytes, err);
	if (rc == 0)
		rc = image_create(bytes.data, bytes.len, &image, err);
	buf_fini(&bytes);
	descriptor_build_fini(&b);
	mark = now_ns();
	if (rc == 0)
		rc = copy_pages(pid, image, &stats, err);
	if (rc < 0)
		return rc;
	stats.pages_ns = now_ns() - mark;
	stats.total_ns = now_ns() - begin;
	if (ret_stats)
		*ret_stats = stats;
	*ret_image = steal_ptr(&image);
	return 0;
}
