/* Shared memory of a host alone: which there is, its bytes before the host runs on (and changes
 * them), and the same again in clones. */
#include "rfork/safepoint_shared.h"

#include "rfork/safepoint_fault.h"
#include "rfork/safepoint_text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PAGE 4096ull
#define MAX_BYTES (4ull << 30) /* of all: a host stands still for half a second a gigabyte */
#define NAME_MAX_BYTES 250
#define HUGETLB_MAGIC 0x958458f6

struct extent {
	struct extent *next;
	uint64_t offset, len;
	void *bytes;
};

struct mapping {
	struct mapping *next;
	uint64_t start, end, offset;
	int prot;
};

/* One piece of memory, by whatever it is reached. */
struct memory {
	struct memory *next;
	uint64_t dev, ino;
	uint64_t size;
	uint32_t mode; /* 0: it has no descriptor */
	int seals;
	char name[NAME_MAX_BYTES];
	struct extent *extents;
	struct mapping *mappings;
	/* in a clone */
	int fd;
	bool given;
};

static struct memory *memories;
static uint64_t total;

static int refuse(struct ramet_err *err, const char *what, uint64_t value)
{
	err->code = RAMET_EREFUSED;
	err->sys = 0;
	snprintf(err->msg, sizeof(err->msg), "capture refused: %s (%" PRIu64 " MiB)", what,
		value >> 20);
	return err->code;
}

static int fail(struct ramet_err *err, const char *what, uint64_t at)
{
	err->code = RAMET_EREFUSED;
	err->sys = errno;
	snprintf(err->msg, sizeof(err->msg), "shared memory of a clone: %s %#" PRIx64 ": %s", what,
		at, strerror(errno));
	return err->code;
}

static struct memory *memory_get(uint64_t dev, uint64_t ino)
{
	for (struct memory *m = memories; m; m = m->next)
		if (m->dev == dev && m->ino == ino)
			return m;
	struct memory *m = account_alloc(sizeof(*m));
	if (!m)
		return NULL;
	*m = (struct memory){.next = memories, .dev = dev, .ino = ino, .seals = -1, .fd = -1};
	memories = m;
	return m;
}

/* "/memfd:name (deleted)" */
static void take_name(struct memory *m, const char *target)
{
	const char *name = strncmp(target, "/memfd:", 7) == 0 ? target + 7 : "shared";
	size_t len = strlen(name);
	if (len > 10 && strcmp(name + len - 10, " (deleted)") == 0)
		len -= 10;
	if (len >= sizeof(m->name))
		len = sizeof(m->name) - 1;
	memcpy(m->name, name, len);
	m->name[len] = '\0';
}

/* room for [offset, offset + len) of it */
static struct extent *extent_add(struct memory *m, uint64_t offset, uint64_t len)
{
	struct extent *e = account_alloc(sizeof(*e));
	if (!e)
		return NULL;
	*e = (struct extent){m->extents, offset, len, account_pages(len)};
	m->extents = e;
	return e->bytes ? e : NULL;
}

static uint64_t copy_from(int fd, uint64_t at, struct extent *e)
{
	uint64_t done = 0;
	for (ssize_t n = 1; n > 0 && done<e->len; done += n> 0 ? (uint64_t)n : 0)
		n = pread(fd, (char *)e->bytes + done, e->len - done, (off_t)(at + done));
	return done;
}

/* --- with a descriptor --- */

static int copy_file(struct memory *m, int fd, struct ramet_err *err)
{
	off_t end = 0;
	for (off_t at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0; at = end) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end <= at)
			break;
		total += (uint64_t)(end - at);
		if (total > MAX_BYTES)
			return refuse(err, "there is too much shared memory", total);
		struct extent *e = extent_add(m, (uint64_t)at, (uint64_t)(end - at));
		if (!e || copy_from(fd, e->offset, e) != e->len)
			return fds_no_memory(err);
	}
	return 0;
}

static int memfd_save(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	char path[48], target[NAME_MAX_BYTES + 24];
	struct statfs fs;
	struct stat st;
	struct memory *m = memory_get(f->dev, f->ino);
	(void)fds;
	if (!m)
		return fds_no_memory(err);
	f->object = m;
	if (m->mode) /* opened more than once */
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC); /* with an offset of its own */
	if (n < 0 || fd < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 ||
		(unsigned long)fs.f_type == HUGETLB_MAGIC) {
		fds_refuse(f, "a memfd of huge pages, or one that may not be read");
		if (fd >= 0)
			close(fd);
		return 0;
	}
	target[n] = '\0';
	take_name(m, target);
	m->mode = st.st_mode;
	m->size = (uint64_t)st.st_size;
	m->seals = fcntl(fd, F_GET_SEALS);
	int rc = copy_file(m, fd, err);
	close(fd);
	return rc;
}

static int memfd_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	struct memory *m = f->object;
	char path[48];
	const int flags = (int)(f->flags & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", m->fd);
	bool first = !m->given && (f->flags & O_ACCMODE) == O_RDWR;
	int fd = first ? fcntl(m->fd, F_DUPFD_CLOEXEC, fds->base)
		       : fds_raise(fds, open(path, flags | O_CLOEXEC));
	if (fd < 0 || lseek(fd, (off_t)f->offset, SEEK_SET) < 0)
		return fds_fail(f, "open its memfd", err);
	m->given = m->given || first;
	return fd;
}

const struct fd_kind fd_kind_memfd = {memfd_save, memfd_restore, NULL};

/* --- mapped --- */

struct query { /* PROCMAP_QUERY of Linux 6.11, which headers may lack */
	uint64_t size, flags, addr;
	uint64_t start, end, vma_flags, page_size, offset, inode;
	uint32_t dev_major, dev_minor;
	uint32_t name_size, build_id_size;
	uint64_t name_addr, build_id_addr;
};
#define QUERY_IOCTL _IOWR('f', 17, struct query)
#define QUERY_SHARED 8u
#define QUERY_NEXT 16u

static bool is_ours(const char *name)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(name);
	if (len < sizeof(deleted) || strcmp(name + len - (sizeof(deleted) - 1), deleted) != 0)
		return false;
	return strncmp(name, "/memfd:", 7) == 0 || strncmp(name, "/dev/shm/", 9) == 0 ||
		strcmp(name, "/dev/zero (deleted)") == 0;
}

static int take_mapping(const struct query *q, const char *name, struct ramet_err *err)
{
	if (!is_ours(name))
		return 0; /* the daemon's: a file, or it is refused */
	struct memory *m = memory_get(makedev(q->dev_major, q->dev_minor), q->inode);
	struct mapping *map = account_alloc(sizeof(*map));
	if (!m || !map)
		return fds_no_memory(err);
	*map = (struct mapping){m->mappings, q->start, q->end, q->offset,
		(int)(q->vma_flags & (PROT_READ | PROT_WRITE | PROT_EXEC))};
	m->mappings = map;
	if (!m->mode)
		take_name(m, name);
	return 0;
}

/* "7f00-7f10 rw-s 00000000 00:01 123    /dev/zero (deleted)" */
static int take_line(const char *line, struct ramet_err *err)
{
	char perms[5];
	struct query q = {0};
	int at = 0;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &q.start,
		    &q.end, perms, &q.offset, &q.dev_major, &q.dev_minor, &q.inode, &at) < 7 ||
		perms[3] != 's')
		return 0;
	q.vma_flags = (perms[0] == 'r' ? PROT_READ : 0u) | (perms[1] == 'w' ? PROT_WRITE : 0u) |
		(perms[2] == 'x' ? PROT_EXEC : 0u);
	return take_mapping(&q, line + at, err);
}

/* Asks for shared mappings alone: whoever has none (almost all) pays two microseconds. */
static int find_mappings(struct ramet_err *err)
{
	struct text maps;
	char line[512];
	struct query q = {.size = sizeof(q), .flags = QUERY_SHARED | QUERY_NEXT};
	int rc = 0;
	if (!text_open(&maps, "/proc/self/maps"))
		return 0; /* what is shared is refused, then */
	for (;;) {
		q.name_addr = (uint64_t)(uintptr_t)line;
		q.name_size = sizeof(line);
		line[0] = '\0';
		if (rc < 0 || ioctl(maps.fd, QUERY_IOCTL, &q) < 0)
			break;
		rc = take_mapping(&q, line, err);
		q.addr = q.end;
	}
	if (rc == 0 && errno == ENOTTY)
		while (rc == 0 && text_line(&maps, line, sizeof(line)))
			rc = take_line(line, err);
	text_close(&maps);
	return rc;
}

/* what has no descriptor is read where it is mapped: /proc/self/mem ends at its end, where the
 * memory itself would raise SIGBUS */
static int copy_mapped(struct memory *m, struct ramet_err *err)
{
	int rc = 0;
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	for (const struct mapping *map = m->mappings; rc == 0 && map; map = map->next) {
		const uint64_t len = map->end - map->start;
		total += len;
		if (total > MAX_BYTES) {
			rc = refuse(err, "there is too much shared memory", total);
			break;
		}
		struct extent *e = extent_add(m, map->offset, len);
		if (!e) {
			rc = fds_no_memory(err);
			break;
		}
		e->len = copy_from(mem, map->start, e);
		if (e->offset + e->len > m->size)
			m->size = e->offset + e->len;
	}
	if (mem >= 0)
		close(mem);
	return rc;
}

int shared_save(struct fds *fds, struct account_range **ret_ranges, uint32_t *ret_count,
	struct ramet_err *err)
{
	uint32_t count = 0;
	(void)fds;
	int rc = find_mappings(err);
	for (struct memory *m = memories; rc == 0 && m; m = m->next) {
		for (const struct mapping *map = m->mappings; map; map = map->next)
			count++;
		if (!m->mode)
			rc = copy_mapped(m, err);
	}
	*ret_count = 0;
	if (rc < 0 || count == 0)
		return rc;
	struct account_range *ranges = account_alloc(count * sizeof(*ranges));
	if (!ranges)
		return fds_no_memory(err);
	*ret_ranges = ranges;
	for (const struct memory *m = memories; m; m = m->next)
		for (const struct mapping *map = m->mappings; map; map = map->next)
			ranges[(*ret_count)++] = (struct account_range){map->start, map->end};
	return 0;
}

void shared_begin(void)
{
	memories = NULL;
	total = 0;
}

/* --- in a clone --- */

static int memory_map(const struct memory *m, struct ramet_err *err)
{
	char path[48];
	int rc = 0;
	/* a mapping that might become writable would stand in the way of the seal */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", m->fd);
	bool sealed = m->seals >= 0 && m->seals & F_SEAL_WRITE;
	int fd = sealed ? open(path, O_RDONLY | O_CLOEXEC) : m->fd;
	for (const struct mapping *map = m->mappings; rc == 0 && map; map = map->next)
		if (mmap((void *)(uintptr_t)map->start, map->end - map->start, map->prot,
			    MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
			    (off_t)map->offset) == MAP_FAILED)
			rc = fail(err, "map", map->start);
	if (sealed && fd >= 0)
		close(fd);
	return rc;
}

static int memory_make(struct memory *m, const struct fds *fds, struct ramet_err *err)
{
	m->fd = fds_raise(fds, memfd_create(m->name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (m->fd < 0 || ftruncate(m->fd, (off_t)m->size) < 0)
		return fail(err, "make", m->ino);
	if (safepoint_fault_hit("safepoint.memfd"))
		m->extents = NULL;
	for (const struct extent *e = m->extents; e; e = e->next)
		for (uint64_t done = 0; done < e->len;) {
			ssize_t n = pwrite(m->fd, (char *)e->bytes + done, e->len - done,
				(off_t)(e->offset + done));
			if (n <= 0)
				return fail(err, "fill", m->ino);
			done += (uint64_t)n;
		}
	return memory_map(m, err);
}

int shared_restore(const struct fds *fds, struct ramet_err *err)
{
	int rc = 0;
	if (safepoint_fault_hit("safepoint.shared"))
		memories = NULL;
	for (struct memory *m = memories; rc == 0 && m; m = m->next)
		rc = memory_make(m, fds, err);
	return rc;
}

/* seals come last: they would forbid what was just done */
int shared_finish(struct ramet_err *err)
{
	for (const struct memory *m = memories; m; m = m->next) {
		if (m->mode && fchmod(m->fd, m->mode & 07777) < 0)
			return fail(err, "set the mode of", m->ino);
		if (m->seals >= 0 && fcntl(m->fd, F_ADD_SEALS, m->seals) < 0)
			return fail(err, "seal", m->ino);
		close(m->fd);
	}
	return 0;
}
