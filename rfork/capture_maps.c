/* /proc/<pid>/smaps and pagemap. Documented in Documentation/admin-guide/mm/pagemap.rst. */
#include "rfork/capture_maps.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "rfork/descriptor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define REGIONS 256

/* --- mappings --- */

static int parse_line(char *line, struct capture_vma *vma)
{
	char perms[5], dev[24];
	int at = 0;
	memset(vma, 0, sizeof(*vma));
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %23s %" SCNu64 " %n", &vma->start,
		    &vma->end, perms, &vma->offset, dev, &vma->inode, &at) < 6)
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
	vma->prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
		(perms[2] == 'x' ? PROT_EXEC : 0);
	vma->shared = perms[3] == 's';
	if (fault_hit("capture.protections") && !vma->shared)
		vma->prot |= PROT_READ | PROT_WRITE;
	return 0;
}

/* "VmFlags: rd wr mr …" */
static void parse_flags(const char *line, struct capture_vma *vma)
{
	vma->wipe = !fault_hit("capture.wipe") &&
		(strstr(line, " wf") != NULL || strstr(line, " dp") != NULL);
	vma->huge = !fault_hit("capture.huge") && strstr(line, " hg") != NULL;
}

static bool is(const char *line, const char *field)
{
	return strncmp(line, field, strlen(field)) == 0;
}

/* "Anonymous:             12 kB": one of the lines that follow a mapping's */
static void parse_field(const char *line, struct capture_vma *vma)
{
	if (is(line, "VmFlags:"))
		parse_flags(line, vma);
	else if (is(line, "Anonymous:") || is(line, "Swap:") || is(line, "Private_Hugetlb:"))
		vma->own += strtoull(strchr(line, ':') + 1, NULL, 10) * 1024 / RFORK_PAGE;
}

static bool is_field(const char *line)
{
	return line[0] >= 'A' && line[0] <= 'Z';
}

int capture_maps_read(pid_t pid, bool details, struct capture_vma **ret_vmas, uint32_t *ret_count,
	struct ramet_err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, details ? "smaps" : "maps");
	auto_fclose FILE *f = fopen(path, "re");
	if (!f)
		return err_errno(err, RAMET_EIO, "open %s", path);
	auto_free char *line = NULL;
	auto_free struct capture_vma *vmas = NULL;
	size_t cap = 0;
	uint32_t count = 0, room = 0;
	while (getline(&line, &cap, f) > 0) {
		if (is_field(line)) {
			if (count)
				parse_field(line, &vmas[count - 1]);
			continue;
		}
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

/* --- pages --- */

void capture_runs_fini(struct capture_runs *runs)
{
	free(runs->items);
	*runs = (struct capture_runs){0};
}

int capture_runs_add(struct capture_runs *runs, uint64_t first, uint64_t end, struct ramet_err *err)
{
	if (runs->count && runs->items[runs->count - 1].end == first) {
		runs->items[runs->count - 1].end = end;
		return 0;
	}
	if (runs->count == runs->cap) {
		size_t cap = runs->cap ? runs->cap * 2 : 64;
		struct capture_run *grown = realloc(runs->items, cap * sizeof(*grown));
		if (!grown)
			return err_nomem(err);
		runs->items = grown;
		runs->cap = cap;
	}
	runs->items[runs->count++] = (struct capture_run){first, end};
	return 0;
}

/* PAGEMAP_SCAN of Linux 6.7, which headers may lack: it skips what is not there, however large. */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_FILE (1u << 2)
#define SCAN_PRESENT (1u << 3)
#define SCAN_SWAPPED (1u << 4)
#define SCAN_PFNZERO (1u << 5)

/* 1: this kernel has no such call */
static int scan(int pagemap_fd, const struct capture_vma *vma, struct capture_runs *runs,
	struct ramet_err *err)
{
	struct scan_region regions[REGIONS];
	struct scan_arg arg = {.size = sizeof(arg),
		.start = vma->start,
		.end = vma->end,
		.vec = (uint64_t)(uintptr_t)regions,
		.vec_len = REGIONS,
		.category_inverted = SCAN_FILE | SCAN_PFNZERO,
		.category_mask = SCAN_FILE | SCAN_PFNZERO,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_PRESENT};
	while (arg.start < vma->end) {
		int n = ioctl(pagemap_fd, SCAN_IOCTL, &arg);
		if (n < 0 && arg.start == vma->start && (errno == ENOTTY || errno == EINVAL))
			return 1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(
				err, RAMET_EIO, "scan page tables at %#" PRIx64, arg.start);
		for (int i = 0; i < n; i++) {
			int rc =
				capture_runs_add(runs, (regions[i].start - vma->start) / RFORK_PAGE,
					(regions[i].end - vma->start) / RFORK_PAGE, err);
			if (rc < 0)
				return rc;
		}
		arg.start = arg.walk_end;
	}
	return 0;
}

static int read_entries(struct pagemap *pagemap, const struct capture_vma *vma,
	struct capture_runs *runs, struct ramet_err *err)
{
	uint64_t pages = (vma->end - vma->start) / RFORK_PAGE;
	for (uint64_t done = 0, count = 0; done < pages; done += count) {
		const uint64_t *entries = NULL;
		int rc = pagemap_look(pagemap, vma->start / RFORK_PAGE + done, pages - done,
			&entries, &count, err);
		for (uint64_t i = 0; rc == 0 && i < count; i++) {
			bool own = entries[i] & PAGEMAP_SWAPPED ||
				(entries[i] & PAGEMAP_PRESENT && !(entries[i] & PAGEMAP_FILE));
			if (own)
				rc = capture_runs_add(runs, done + i, done + i + 1, err);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

int capture_maps_own(struct pagemap *pagemap, const struct capture_vma *vma,
	struct capture_runs *runs, struct ramet_err *err)
{
	runs->count = 0;
	if (vma->own == 0) /* what is only reserved may be terabytes */
		return 0;
	int rc = scan(pagemap->fd, vma, runs, err);
	return rc == 1 ? read_entries(pagemap, vma, runs, err) : rc;
}
