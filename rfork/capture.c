/* From a shadow to a seed: mappings into pieces, process state into the descriptor, own pages into
 * the image. */
#include "rfork/capture.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"
#include "rfork/capture_account.h"
#include "rfork/capture_fds.h"
#include "rfork/capture_libraries.h"
#include "rfork/capture_maps.h"
#include "rfork/capture_pages.h"
#include "rfork/capture_process.h"
#include "rfork/descriptor_build.h"
#include "rfork/safepoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_ROOM (8ull << 20) /* below the captured stack, as the usual limit allows */

static int await_ready(const struct capture_request *r, struct ramet_err *err)
{
	struct pollfd pfd = {.fd = r->ready_fd, .events = POLLIN};
	const uint64_t deadline = now_ns() + r->timeout_ms * NSEC_PER_MSEC;
	for (;;) { /* nothing is read: the descriptor is the tenant's, and reading could wait */
		uint64_t now = now_ns();
		int n = now < deadline ? poll(&pfd, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1)
				       : 0;
		if (n == 0)
			return err_set(err, RAMET_ETIMEOUT,
				"capture: the shadow was not ready in %u ms", r->timeout_ms);
		if (n < 0 && errno != EINTR)
			return err_errno(err, RAMET_EIO, "capture: wait for the shadow");
		if (n > 0 && (pfd.revents & POLLIN))
			return 0;
		if (n > 0)
			return err_set(
				err, RAMET_EIO, "capture: the shadow died before it was ready");
	}
}

static int refuse_vma(const struct capture_vma *vma, const char *what, struct ramet_err *err)
{
	return err_set(err, RAMET_EREFUSED,
		"capture refused: the mapping at %#" PRIx64 " is %s (%s)", vma->start, what,
		vma->path[0] ? vma->path : "anonymous");
}

static bool is_kernel_page(const char *path)
{
	return strcmp(path, "[vdso]") == 0 || strncmp(path, "[vvar", 5) == 0;
}

static int add_vma(struct capture_pages *pages, const struct capture_vma *vma, uint64_t below,
	const struct capture_account *account, struct ramet_err *err)
{
	struct descriptor_build *b = pages->build;
	if (vma->start < RFORK_GAP_END && vma->end > RFORK_GAP_START)
		return refuse_vma(vma, "in the range that Ramet reserves", err);
	if (vma->shared && capture_account_covers(account, vma->start, vma->end)) {
		/* until a clone has its own there */
		descriptor_build_piece(b,
			(struct seed_piece){.start = vma->start,
				.pages = (vma->end - vma->start) / RFORK_PAGE,
				.kind = PIECE_ANON,
				.prot = (uint8_t)vma->prot});
		return 0;
	}
	if (vma->shared && (vma->deleted || (vma->prot & PROT_WRITE) || vma->inode == 0))
		return refuse_vma(vma, "shared with other processes", err);
	if (strncmp(vma->path, "/dev/", 5) == 0 && !vma->deleted)
		return refuse_vma(vma, "a device", err);
	uint32_t file = 0;
	if (vma->inode && !vma->deleted)
		file = descriptor_build_file(b, vma->path, 0);
	if (vma->shared) {
		capture_pages_rest(b, vma, 0, (vma->end - vma->start) / RFORK_PAGE, file);
		return 0;
	}
	if (strcmp(vma->path, "[stack]") == 0 && !fault_hit("capture.stack")) {
		uint64_t room = MIN(STACK_ROOM, (vma->start - below) / 2 / RFORK_PAGE * RFORK_PAGE);
		if (room)
			descriptor_build_piece(b,
				(struct seed_piece){.start = vma->start - room,
					.pages = room / RFORK_PAGE,
					.kind = PIECE_ANON,
					.prot = (uint8_t)vma->prot,
					.flags = PIECE_STACK});
	}
	return capture_pages_add(pages, vma, file, err);
}

static bool is_stub(const struct capture_vma *vma)
{
	return vma->start >= RFORK_GAP_START && vma->end <= RFORK_GAP_END;
}

static int add_maps(struct capture_pages *pages, pid_t pid, bool cloned,
	const struct capture_account *account, struct ramet_err *err)
{
	auto_free struct capture_vma *vmas = NULL;
	uint32_t count;
	int rc = capture_maps_read(pid, true, &vmas, &count, err);
	if (rc == 0)
		capture_libraries_join(vmas, count);
	uint64_t below = 0x10000;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct capture_vma *vma = &vmas[i];
		if (vma->start >= RFORK_USER_END) /* vsyscall: the kernel's own */
			continue;
		if (cloned && is_stub(vma))
			continue;
		if (is_kernel_page(vma->path)) {
			uint32_t last = i;
			while (last + 1 < count && is_kernel_page(vmas[last + 1].path) &&
				vmas[last + 1].start == vmas[last].end)
				last++;
			if (!fault_hit("capture.vdso"))
				descriptor_build_piece(pages->build,
					(struct seed_piece){.start = vma->start,
						.pages = (vmas[last].end - vma->start) / RFORK_PAGE,
						.kind = PIECE_VDSO,
						.prot = PROT_READ | PROT_EXEC});
			i = last;
		} else {
			rc = add_vma(pages, vma, below, account, err);
		}
		below = vmas[i].end;
	}
	return rc;
}

/* a path as the captured process sees it, which may live in other mounts than we do */
static int open_inside(pid_t pid, const char *path, struct ramet_err *err)
{
	char root_path[32];
	struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	snprintf(root_path, sizeof(root_path), "/proc/%d/root", (int)pid);
	auto_close int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = root < 0 ? -1 : (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? err_errno(err, RAMET_EIO, "open the mapped file %s", path) : fd;
}

/* The file that is mapped, whatever has become of its path since: the kernel's own link leads to
 * it. Without the right to follow that, the path, as the captured process sees it. */
static int open_mapped(pid_t pid, const struct capture_vma *vmas, uint32_t count, const char *path,
	struct ramet_err *err)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct capture_vma *vma = &vmas[i];
		char link[96];
		if (!vma->inode || vma->deleted || strcmp(vma->path, path) != 0)
			continue;
		snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid,
			vma->start, vma->end);
		int fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		break;
	}
	return open_inside(pid, path, err);
}

/* what each file is, so that another node can tell whether it has the same */
static int hash_files(struct descriptor_build *b, pid_t pid, struct ramet_err *err)
{
	auto_free struct capture_vma *vmas = NULL;
	uint32_t count = 0;
	int rc = capture_maps_read(pid, false, &vmas, &count, err);
	if (rc < 0)
		return rc;
	struct seed_file *files = (struct seed_file *)(void *)b->files.data;
	for (size_t i = 0; i < b->files.len / sizeof(*files); i++) {
		const char *path = (const char *)b->strings.data + files[i].path;
		struct stat st;
		struct sha256 sum;
		auto_close int fd = open_mapped(pid, vmas, count, path, err);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return err_errno(err, RAMET_EIO, "look at the mapped file %s", path);
		if (!S_ISREG(st.st_mode))
			return err_set(err, RAMET_EREFUSED,
				"capture refused: %s was mapped and is no regular file any more",
				path);
		rc = sha256_fd(fd, &sum, err);
		if (rc < 0)
			return rc;
		files[i].size = (uint64_t)st.st_size;
		memcpy(files[i].sha256, &sum, sizeof(files[i].sha256));
	}
	return 0;
}

/* a mapping that clone(2) left out is not in the shadow's maps: the host's own count says so */
static int refuse_missing(const struct safepoint_missing *missing, struct ramet_err *err)
{
	char where[32] = "an unknown address";
	if (missing->start)
		snprintf(where, sizeof(where), "%#" PRIx64, missing->start);
	return err_set(err, RAMET_EREFUSED,
		"capture refused: the mapping at %s (%s) is marked MADV_DONTFORK: clones would "
		"lack its %" PRIu64
		" pages; undo that with MADV_DOFORK, or unmap it, before the safepoint",
		where, missing->name[0] ? missing->name : "anonymous", missing->pages);
}

/* everything in the descriptor but the files' hashes, and the pages into image_fd */
static int describe(const struct capture_request *request, pid_t pid,
	const struct safepoint_state *state, int image_fd, struct descriptor_build *b,
	struct capture_stats *stats, struct ramet_err *err)
{
	CLEANUP(capture_pages_fini) struct capture_pages pages = {.mem = -1, .pagemap.fd = -1};
	CLEANUP(capture_account_fini) struct capture_account account = {0};
	int rc = capture_process_begin(pid, state, request, b, err);
	if (rc == 0)
		rc = capture_account_read(pid, state, &account, err);
	if (rc == 0)
		rc = capture_fds(pid, state, &account, err);
	uint64_t mark = now_ns();
	if (rc == 0)
		rc = capture_pages_init(&pages, pid, b, image_fd, request->base, err);
	if (rc == 0)
		rc = add_maps(&pages, pid, request->cloned, &account, err);
	if (rc == 0)
		rc = capture_pages_end(&pages, err);
	stats->pages_ns = now_ns() - mark;
	stats->zero_pages = pages.zero_pages;
	stats->stored_pages = pages.stored_pages;
	stats->pages = b->header.image_pages;
	return rc < 0 ? rc : capture_process_executable(pid, b, err);
}

static int seal(struct descriptor_build *b, int *image_fd, struct layer *layer,
	struct image **ret_image, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf bytes = {0};
	int rc = descriptor_build_seal(b, &bytes, err);
	if (rc == 0 && b->header.sums_offset)
		rc = image_write(*image_fd, b->sums.data, b->sums.len, b->header.sums_offset, err);
	if (rc == 0)
		rc = image_adopt(bytes.data, bytes.len, *image_fd,
			b->header.base_pages ? layer : NULL, ret_image, err);
	if (rc == 0)
		*image_fd = -1;
	return rc;
}

int capture_seed(const struct capture_request *request, struct image **ret_image,
	struct capture_stats *ret_stats, struct ramet_err *err)
{
	struct capture_stats stats = {0};
	struct safepoint_state state;
	uint64_t begin = now_ns();
	pid_t pid;
	int rc = capture_process_pid(request->pidfd, &pid, err);
	if (rc < 0 || (rc = await_ready(request, err)) < 0 ||
		(rc = capture_process_state(pid, request->state, &state, err)) < 0)
		return rc;
	if ((request->host > 0 && (rc = capture_process_traced(request->host, err)) < 0) ||
		(rc = capture_process_traced(pid, err)) < 0)
		return rc;
	if (state.missing.pages)
		return refuse_missing(&state.missing, err);

	auto_close int image_fd = -1;
	rc = image_memfd(request->seed_id, &image_fd, err);
	if (rc < 0)
		return rc;
	CLEANUP(descriptor_build_fini) struct descriptor_build b = {0};
	rc = describe(request, pid, &state, image_fd, &b, &stats, err);
	uint64_t mark = now_ns();
	if (rc == 0)
		rc = hash_files(&b, pid, err);
	stats.files_ns = now_ns() - mark;
	stats.pieces = b.pieces.len / sizeof(struct seed_piece);
	stats.files = b.files.len / sizeof(struct seed_file);
	if (rc == 0)
		rc = seal(&b, &image_fd, request->layer, ret_image, err);
	if (rc < 0)
		return rc;
	stats.total_ns = now_ns() - begin;
	if (ret_stats)
		*ret_stats = stats;
	return 0;
}
