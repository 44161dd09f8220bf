/* The interposed madvise() and mremap(): ranges that map the seed become anonymous instead. */
#include "runtime/host/interpose.h"

#include "rfork/safepoint_fault.h"
#include "runtime/host/clone_state.h"

#include "runtime/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#define SEED_NAME "/memfd:ramet-seed-"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

RAMET_HOST_EXPORT int madvise(void *addr, size_t len, int advice);
RAMET_HOST_EXPORT void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...);

static bool in_clone HOST_CLONE_STATE;
static bool idle
	HOST_CLONE_STATE; /* a fault point, looked for in the host: clones should touch few pages */

void interpose_begin(void)
{
	idle = safepoint_fault_hit("host.interpose");
}

void interpose_in_clone(void)
{
	in_clone = !idle;
}

static int real_madvise(void *addr, size_t len, int advice)
{
	return (int)syscall(SYS_madvise, addr, len, advice);
}

/* One line of /proc/self/maps: "start-end perms offset dev inode path". */
struct map {
	uint64_t start, end;
	int prot;
	bool seed;
};

static uint64_t take_hex(const char **at)
{
	uint64_t value = 0;
	for (;; (*at)++) {
		char c = **at;
		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return value;
	}
}

static void parse(const char *line, struct map *map)
{
	map->start = take_hex(&line);
	line++;
	map->end = take_hex(&line);
	line++;
	map->prot = (line[0] == 'r' ? PROT_READ : 0) | (line[1] == 'w' ? PROT_WRITE : 0) |
		(line[2] == 'x' ? PROT_EXEC : 0);
	map->seed = line[3] == 'p' && strstr(line, SEED_NAME) != NULL;
}

/* the part of one mapping that is in [start, end) and shows the seed: fresh zero pages instead */
static int renew(const struct map *map, uint64_t start, uint64_t end)
{
	start = start > map->start ? start : map->start;
	end = end < map->end ? end : map->end;
	if (!map->seed || start >= end)
		return 0;
	void *got = mmap((void *)(uintptr_t)start, end - start, map->prot,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	return got == MAP_FAILED ? -1 : 0;
}

/* Reads the maps in pieces, without malloc, which may be the caller. */
static int renew_range(uint64_t start, uint64_t end)
{
	char buffer[4096 + 1];
	size_t have = 0;
	int rc = 0;
	bool past = false;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	while (rc == 0 && !past) {
		ssize_t n = read(fd, buffer + have, sizeof(buffer) - 1 - have);
		if (n <= 0)
			break;
		have += (size_t)n;
		buffer[have] = 0;
		char *line = buffer;
		for (char *end_line; rc == 0 && (end_line = strchr(line, '\n'));
			line = end_line + 1) {
			struct map map;
			*end_line = 0;
			parse(line, &map);
			past = map.start >= end;
			rc = renew(&map, start, end);
		}
		have -= (size_t)(line - buffer);
		memmove(buffer, line, have);
		if (have == sizeof(buffer) - 1) /* a path that is longer than that is no seed's */
			have = 0;
	}
	close(fd);
	return rc;
}

/* In a range with holes the kernel does its work all the same, and then says ENOMEM. */
static bool gave_back(int rc, int error)
{
	return rc == 0 || error == ENOMEM;
}

static bool gives_back(int advice)
{
	return advice == MADV_FREE || advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED;
}

int madvise(void *addr, size_t len, int advice)
{
	if (advice == MADV_DONTFORK && !in_clone && !idle)
		return 0;
	int rc = real_madvise(addr, len, advice);
	if (!in_clone || !gives_back(advice))
		return rc;
	int error = errno;
	if (advice == MADV_FREE && rc < 0 && error == EINVAL && ((uintptr_t)addr & 4095) == 0)
		return 0; /* pages of a file are kept, which MADV_FREE allows */
	if (advice != MADV_FREE && gave_back(rc, error)) {
		uint64_t start = (uint64_t)(uintptr_t)addr;
		uint64_t end = (start + len + 4095) & ~(uint64_t)4095;
		if (renew_range(start, end) < 0)
			return -1;
		errno = error;
	}
	return rc;
}

void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...)
{
	void *to = NULL;
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list args;
		va_start(args, flags);
		to = va_arg(args, void *);
		va_end(args);
	}
	long rc = syscall(SYS_mremap, addr, old_len, new_len, flags, to);
	if (rc == -1)
		return MAP_FAILED;
	const uint64_t page = 4095;
	uint64_t start = (uint64_t)rc + ((old_len + page) & ~page);
	uint64_t end = (uint64_t)rc + ((new_len + page) & ~page);
	int error = errno;
	/* better no memory there than the seed's */
	if (in_clone && old_len > 0 && end > start && renew_range(start, end) < 0)
		(void)munmap((void *)(uintptr_t)start, end - start);
	errno = error;
	return (void *)rc;
}
