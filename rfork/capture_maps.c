/* /proc/<pid>/maps and pagemap. Documented in Documentation/admin-guide/mm/pagemap.rst. */
#include "rfork/capture_maps.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "rfork/descriptor.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define PM_PRESENT (1ull << 63)
#define PM_SWAPPED (1ull << 62)
#define PM_FILE (1ull << 61)
#define BATCH 4096

static int parse_line(char *line, struct capture_vma *vma)
{
	char perms[5], dev[24];
	int at = 0;
	memset(vma, 0, sizeof(*vma));
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %23s %" SCNu64 " %n", &vma->start, &vma->end, perms,
		    &vma->offset, dev, &vma->inode, &at) < 6)
		return -1;
	char *path = line + at;
	path[strcspn(path, "\n")] = '\0';
	size_t len = strlen(path);
	static const char deleted[] = " (deleted)";
	if (len > sizeof(deleted) && strcmp(path + len - (sizeof(deleted) - 1), deleted) == 0) {
		vma->deleted = true;
		path[len - (sizeof(deleted) - 1)] = '\0';
	}
	snprintf(vma->path, sizeof(vma->path), "%s", path);
	vma->prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) | (perms[2] == 'x' ? PROT_EXEC : 0);
	vma->shared = perms[3] == 's';
	return 0;
}

int capture_maps_read(pid_t pid, struct capture_vma **ret_vmas, uint32_t *ret_count, struct ramet_err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	auto_fclose FILE *f = fopen(path, "re");
	if (!f)
		return err_errno(err, RAMET_EIO, "open %s", path);
	auto_free char *line = NULL;
	auto_free struct capture_vma *vmas = NULL;
	size_t cap = 0;
	uint32_t count = 0, room = 0;
	while (getline(&line, &cap, f) > 0) {
		if (count == room) {
			room = room ? room * 2 : 256;
			struct capture_vma *grown = realloc(vmas, room * sizeof(*vmas));
			if (!grown)
				return err_nomem(err);
			vmas = grown;
		}
		if (parse_line(line, &vmas[count]) < 0)
			return err_set(err, RAMET_EIO, "%s: cannot read \"%.80s\"", path, line);
		count++;
	}
	*ret_vmas = steal_ptr(&vmas);
	*ret_count = count;
	return 0;
}

int capture_maps_private(int pagemap_fd, const struct capture_vma *vma, uint64_t **ret_bits, uint64_t *ret_count,
	struct ramet_err *err)
{
	uint64_t pages = (vma->end - vma->start) / RFORK_PAGE, count = 0;
	auto_free uint64_t *bits = calloc((pages + 63) / 64, sizeof(*bits));
	if (!bits)
		return err_nomem(err);
	bool file = vma->inode != 0;
	for (uint64_t done = 0; done < pages;) {
		uint64_t entries[BATCH];
		uint64_t want = MIN(pages - done, (uint64_t)BATCH);
		off_t at = (off_t)((vma->start / RFORK_PAGE + done) * 8);
		ssize_t n = pread(pagemap_fd, entries, want * 8, at);
		if (n <= 0)
			return err_errno(err, RAMET_EIO, "read pagemap at %#" PRIx64, vma->start);
		for (uint64_t i = 0; i < (uint64_t)n / 8; i++) {
			bool own = entries[i] & PM_PRESENT ? !(entries[i] & PM_FILE) : (entries[i] & PM_SWAPPED) && !file;
			if (!own)
				continue;
			bits[(done + i) / 64] |= 1ull << ((done + i) % 64);
			count++;
		}
		done += (uint64_t)n / 8;
	}
	*ret_bits = steal_ptr(&bits);
	*ret_count = count;
	return 0;
}
