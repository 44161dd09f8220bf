/* Native functions for tests of hosts: what a clone does with memory and descriptors that it
 * inherited. Never under a sanitizer, as all that enters a seed. */
#include "ramet/function.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define AREA_PAGES 8
#define BLOCK ((size_t)1 << 20) /* malloc gives it a mapping of its own */
#define PIECES 512
#define PIECE ((size_t)4096)
#define DEEP 1024 /* times a page: half of the usual stack */
#define HANDLER(name) \
	RAMET_FUNCTION_EXPORT int name(struct ramet_invocation *call); \
	int name(struct ramet_invocation *call)

static unsigned char *area, *block;
static unsigned char *pieces[PIECES];
static unsigned char *twins; /* two blocks side by side, one mapping to the kernel */
static int kept[2] = {-1, -1};

int ramet_init(void)
{
	area = mmap(NULL, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	block = malloc(BLOCK);
	twins = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || twins == MAP_FAILED || !block)
		return 1;
	memset(twins, 0xee, 2 * BLOCK);
	memset(area, 0xaa, AREA_PAGES * PAGE);
	memset(block, 0xbb, BLOCK);
	for (unsigned i = 0; i < PIECES; i++) {
		pieces[i] = malloc(PIECE);
		if (!pieces[i])
			return 1;
		memset(pieces[i], 0xcc, PIECE);
	}
	return 0;
}

static size_t count(const unsigned char *bytes, size_t len, unsigned char value)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += bytes[i] == value;
	return n;
}

/* MADV_FREE: a page has its old bytes or zeros, until it is written */
HANDLER(madvise_free)
{
	area[PAGE] = 1;
	if (madvise(area, 2 * PAGE, MADV_FREE) < 0)
		return ramet_fail(call, "OSError", "MADV_FREE: %s", strerror(errno));
	size_t old = count(area, PAGE, 0xaa);
	area[0] = area[PAGE] = 7;
	return ramet_answerf(call, "%d %d %d %d", old == PAGE || count(area, PAGE, 0) == PAGE,
		area[0], area[PAGE], area[2 * PAGE]);
}

/* A range with a hole: ENOMEM, but what is mapped of it is given back. */
HANDLER(madvise_hole)
{
	munmap(area + 3 * PAGE, PAGE);
	int rc = madvise(area + 2 * PAGE, 3 * PAGE, MADV_DONTNEED);
	return ramet_answerf(call, "%d %d %d %d %d %d", rc, rc < 0 && errno == ENOMEM,
		area[2 * PAGE - 1], area[2 * PAGE], area[4 * PAGE], area[5 * PAGE]);
}

/* An address within a page: refused, and nothing is lost. */
HANDLER(madvise_odd)
{
	int freed = madvise(area + 1, PAGE, MADV_FREE);
	int rc = madvise(area + 1, PAGE, MADV_DONTNEED);
	return ramet_answerf(call, "%d %d %d %zu", freed, rc, rc < 0 && errno == EINVAL,
		count(area, AREA_PAGES * PAGE, 0xaa) / PAGE);
}

/* realloc() of an inherited block moves its mapping and lets it grow */
HANDLER(grow)
{
	unsigned char *grown = realloc(block, 8 * BLOCK);
	if (!grown)
		return ramet_fail(call, "MemoryError", "realloc");
	block = grown;
	size_t old = count(block, BLOCK, 0xbb);
	memset(block + BLOCK, 0xdd, 7 * BLOCK);
	return ramet_answerf(
		call, "%zu %zu", old / BLOCK, count(block + BLOCK, 7 * BLOCK, 0xdd) / BLOCK);
}

/* what a block grows by is zero, though its twin's bytes lie behind it */
HANDLER(twin)
{
	unsigned char *grown = mremap(twins, BLOCK, 2 * BLOCK, MREMAP_MAYMOVE);
	if (grown == MAP_FAILED)
		return ramet_fail(call, "OSError", "mremap: %s", strerror(errno));
	return ramet_answerf(call, "%zu %zu %zu", count(grown, BLOCK, 0xee) / BLOCK,
		count(grown + BLOCK, BLOCK, 0) / BLOCK, count(twins + BLOCK, BLOCK, 0xee) / BLOCK);
}

/* what free() gives back to the system, calloc() must not take for zeros */
HANDLER(heap)
{
	size_t zeros = 0;
	for (unsigned i = 0; i < PIECES; i++)
		free(pieces[i]);
	for (unsigned i = 0; i < PIECES; i++) {
		pieces[i] = calloc(1, PIECE);
		zeros += pieces[i] ? count(pieces[i], PIECE, 0) : 0;
	}
	return ramet_answerf(call, "%zu", zeros / PIECE);
}

static unsigned descend(unsigned levels)
{
	volatile unsigned char frame[4096];
	frame[0] = 1;
	return levels == 0 ? 0 : descend(levels - 1) + frame[0];
}

HANDLER(deep)
{
	return ramet_answerf(call, "%u", descend(DEEP));
}

/* opens, or closes again, what cannot be captured; says the descriptor */
static int connect_to_a_name(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "ramet-test-%d", getpid());
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
	kept[0] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	kept[1] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(kept[1], (struct sockaddr *)&name, size) < 0)
		return -1;
	return connect(kept[0], (struct sockaddr *)&name, size);
}

HANDLER(keep)
{
	size_t len;
	const char *what = ramet_input(call, &len);
	if (len == 0) {
		for (unsigned i = 0; i < 2; i++) {
			close(kept[i]);
			kept[i] = -1;
		}
		return ramet_answerf(call, "closed");
	}
	if (what[0] == 's' && connect_to_a_name() < 0)
		return -1;
	if (what[0] == 'p') /* the end of the log's pipe that rametd has */
		kept[0] = open("/proc/self/fd/1", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (what[0] == 'f')
		kept[0] = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return ramet_answerf(call, "%d", kept[0]);
}
