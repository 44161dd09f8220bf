/* A host for tests with one area of memory, set up as argv[1] says, argv[2] MiB large. After its
 * safepoint, as host and as clone, it answers questions about the area (memory_host.h). */
#include "tests/rfork/memory_host.h"

#include "rfork/safepoint.h"
#include "tests/rfork/send_shadow.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

/* some pages of each are written before the capture, some are not */
#define WORDS 4096
static const uint64_t constants[WORDS] = {[0] = 1, [WORDS - 1] = 2};
static volatile uint64_t data[WORDS] = {[0] = 1000, [WORDS / 2] = 10, [WORDS - 1] = 3000};
static volatile uint64_t bss[WORDS];

static unsigned char *area;
static size_t pages;

static volatile uint64_t *word_of(uint64_t page)
{
	return (volatile uint64_t *)(void *)(area + page % pages * PAGE);
}

static void fill(void)
{
	memset(area, 0xab, pages * PAGE);
	for (uint64_t page = 0; page < pages; page++)
		*word_of(page) = page + 1;
}

static int map_area(const char *mode)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	if (strcmp(mode, "droppable") == 0)
		flags = MAP_DROPPABLE | MAP_ANONYMOUS;
	if (strcmp(mode, "file") == 0) {
		flags = MAP_PRIVATE;
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		pages = MEMORY_FILE_PAGES;
	}
	area = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0)
		close(fd);
	return area == MAP_FAILED ? -1 : 0;
}

/* what the area holds, by mode; see memory_host.h */
static int set_up(const char *mode)
{
	if (map_area(mode) < 0)
		return -1;
	if (strcmp(mode, "zeros") == 0) {
		memset(area, 0, pages * PAGE);
		*word_of(MEMORY_ZEROS_EXCEPT) = MEMORY_VALUE;
		return 0;
	}
	if (strcmp(mode, "file") == 0) {
		memset(area + MEMORY_FILE_ZERO * PAGE, 0, PAGE);
		*word_of(MEMORY_FILE_WRITTEN) = MEMORY_VALUE;
		return 0;
	}
	fill();
	if (strcmp(mode, "dontfork") == 0)
		return madvise(area + PAGE, PAGE, MADV_DONTFORK);
	if (strcmp(mode, "wipe") == 0)
		return madvise(area, pages * PAGE, MADV_WIPEONFORK);
	if (strcmp(mode, "hidden") == 0)
		return mprotect(area, pages * PAGE, PROT_NONE);
	return 0;
}

static uint64_t in_a_child(uint64_t page)
{
	uint64_t value = 0;
	int pipe_fds[2];
	if (pipe(pipe_fds) < 0)
		return 0;
	pid_t pid = fork();
	if (pid == 0) {
		value = *word_of(page);
		_exit(write(pipe_fds[1], &value, sizeof(value)) != (ssize_t)sizeof(value));
	}
	close(pipe_fds[1]);
	if (pid < 0 || read(pipe_fds[0], &value, sizeof(value)) != (ssize_t)sizeof(value))
		value = UINT64_MAX;
	close(pipe_fds[0]);
	waitpid(pid, NULL, 0);
	return value;
}

static void write_statics(void)
{
	data[0] = 5;
	data[WORDS - 1] = 100;
	bss[0] = 200;
	bss[WORDS - 1] = 210;
}

static uint64_t sum_of_statics(void)
{
	uint64_t sum = 0;
	const volatile uint64_t *fixed = constants;
	for (size_t i = 0; i < WORDS; i++)
		sum += fixed[i] + data[i] + bss[i];
	return sum;
}

static uint64_t grow(void)
{
	void *grown = mremap(area, pages * PAGE, 2 * pages * PAGE, MREMAP_MAYMOVE);
	if (grown == MAP_FAILED)
		return UINT64_MAX;
	area = grown;
	uint64_t sum = 0, before = pages;
	pages *= 2;
	for (uint64_t page = before; page < pages; page++)
		sum += *word_of(page);
	return sum;
}

static uint64_t answer(const struct memory_question *q)
{
	uint64_t sum = 0;
	switch (q->op) {
	case MEMORY_ADDR:
		return (uint64_t)(uintptr_t)area;
	case MEMORY_READ:
		return *word_of(q->page);
	case MEMORY_WRITE:
		return *word_of(q->page) = MEMORY_VALUE;
	case MEMORY_SUM:
		for (uint64_t page = 0; page < pages; page++)
			sum += *word_of(page);
		return sum;
	case MEMORY_CHILD:
		return in_a_child(q->page);
	case MEMORY_UNMAP:
		return (uint64_t)munmap(area + q->page % pages * PAGE, PAGE);
	case MEMORY_SHOW:
		return (uint64_t)mprotect(area, pages * PAGE, PROT_READ | PROT_WRITE);
	case MEMORY_GROW:
		return grow();
	case MEMORY_HALVE:
		pages /= 2;
		return mremap(area, 2 * pages * PAGE, pages * PAGE, 0) != area;
	case MEMORY_STATICS:
		return sum_of_statics();
	case MEMORY_DATA:
		return (uint64_t)(uintptr_t)&data[WORDS - 1];
	case MEMORY_BSS:
		return (uint64_t)(uintptr_t)&bss[0];
	default:
		return UINT64_MAX;
	}
}

static bool capture(void)
{
	struct safepoint_shadow shadow;
	struct ramet_err err = {0};
	uint64_t first = 0;
	int side = safepoint_capture(3, &shadow, &first, &err);
	if (side != SAFEPOINT_HOST)
		return side >= 0;
	int sent = send_shadow(&shadow);
	close(shadow.pidfd);
	close(shadow.ready_fd);
	return sent == 0;
}

int main(int argc, char **argv)
{
	struct memory_question q;
	if (argc < 3)
		return 1;
	pages = strtoul(argv[2], NULL, 10) << 8;
	if (set_up(argv[1]) < 0)
		return MEMORY_NOT_HERE;
	write_statics();
	if (!capture())
		return 2;
	while (read(3, &q, sizeof(q)) == (ssize_t)sizeof(q)) {
		if (q.op == MEMORY_CAPTURE && !capture())
			return 2;
		if (q.op == MEMORY_CAPTURE)
			continue;
		uint64_t value = answer(&q);
		if (write(3, &value, sizeof(value)) != (ssize_t)sizeof(value))
			return 3;
	}
	return 0;
}
