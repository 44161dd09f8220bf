/* What bench/run fork and page use as a native function: memory of a given size, and reading a part
 * of it.
 *
 * fill: {"mb": N} or N: allocates and fills N MiB, before the capture. touch: N: reads one word of
 * each page of the first N percent, in order, and answers how many ns that took; scatter: the same
 * of all pages, in an order in which no page follows its neighbour; each: the same, and answers
 * [median, 99th percentile, mean] of the ns of a page. */
#include "ramet/function.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
#define PAGE 4096u
#define EACH_MAX 16384u

EXPORT int fill(struct ramet_invocation *call);
EXPORT int touch(struct ramet_invocation *call);
EXPORT int scatter(struct ramet_invocation *call);
EXPORT int each(struct ramet_invocation *call);
EXPORT int baseline(struct ramet_invocation *call);

int baseline_fork(uint64_t *ret_first_ns, uint64_t *ret_total_ns);

static volatile uint64_t *memory;
static size_t npages;
static uint32_t times[EACH_MAX];

static uint64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static unsigned long argument(struct ramet_invocation *call)
{
	char text[32] = "";
	size_t len;
	const void *input = ramet_input(call, &len);
	memcpy(text, input, len < sizeof(text) ? len : sizeof(text) - 1);
	return strtoul(text, NULL, 10);
}

/* every page differs, and none is zero */
int fill(struct ramet_invocation *call)
{
	size_t bytes = argument(call) << 20;
	if (memory)
		munmap((void *)memory, npages * PAGE);
	void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (got == MAP_FAILED)
		return ramet_fail(call, "MemoryError", "no %zu bytes", bytes);
	memory = got;
	npages = bytes / PAGE;
	for (size_t i = 0; i < npages * PAGE / sizeof(*memory); i++)
		memory[i] = i * 0x9e3779b97f4a7c15u + 1;
	return ramet_answerf(call, "%zu", npages);
}

static uint64_t word_of(size_t page)
{
	return (uint64_t)page * (PAGE / sizeof(*memory)) * 0x9e3779b97f4a7c15u + 1;
}

static int check(struct ramet_invocation *call, uint64_t sum, uint64_t expected, uint64_t ns)
{
	if (sum != expected)
		return ramet_fail(call, "AssertionError", "the pages do not hold what was written");
	return ramet_answerf(call, "%llu", (unsigned long long)ns);
}

int scatter(struct ramet_invocation *call)
{
	size_t step = npages * 5 / 13 | 1; /* odd: meets every page of a power of two */
	uint64_t sum = 0;
	uint64_t expected = 0;
	uint64_t begin = now();
	for (size_t i = 0; i < npages; i++)
		sum += memory[i * step % npages * (PAGE / sizeof(*memory))];
	uint64_t end = now();
	for (size_t i = 0; i < npages; i++)
		expected += word_of(i);
	return check(call, sum, expected, end - begin);
}

static int ascending(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

int each(struct ramet_invocation *call)
{
	size_t step = npages * 5 / 13 | 1;
	uint64_t sum = 0, total = 0;
	if (npages > EACH_MAX)
		return ramet_fail(call, "ValueError", "more than %u pages", EACH_MAX);
	for (size_t i = 0; i < EACH_MAX; i++)
		times[i] = 1; /* no faults but those that are meant */
	for (size_t i = 0; i < npages; i++) {
		uint64_t begin = now();
		sum += memory[i * step % npages * (PAGE / sizeof(*memory))];
		times[i] = (uint32_t)(now() - begin);
	}
	for (size_t i = 0; i < npages; i++) {
		total += times[i];
		sum -= word_of(i);
	}
	if (sum != 0)
		return check(call, sum, 0, 0);
	qsort(times, npages, sizeof(*times), ascending);
	return ramet_answerf(call, "[%u,%u,%llu]", times[npages / 2], times[npages * 99 / 100],
		(unsigned long long)(total / npages));
}

int touch(struct ramet_invocation *call)
{
	size_t count = npages * argument(call) / 100;
	uint64_t sum = 0;
	uint64_t begin = now();
	for (size_t i = 0; i < count; i++)
		sum += memory[i * (PAGE / sizeof(*memory))];
	uint64_t end = now();
	uint64_t expected = 0;
	for (size_t i = 0; i < count; i++)
		expected += word_of(i);
	return check(call, sum, expected, end - begin);
}

int baseline(struct ramet_invocation *call)
{
	uint64_t first;
	uint64_t total;
	if (baseline_fork(&first, &total) != 0)
		return ramet_fail(call, "OSError", "fork failed");
	return ramet_answerf(
		call, "[[%llu,%llu]]", (unsigned long long)first, (unsigned long long)total);
}
