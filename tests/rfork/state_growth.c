/* Cases: address spaces that change after the fork: memory given back, moved, made longer, the
 * stack, the data segment. What appears must be zeros, and what moves must keep its bytes, although
 * all of it maps one file, of which pages may be missing. */
#include "tests/rfork/state.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define LEN (8 * PAGE)
#define MORE (64 * PAGE)

static char *map(size_t len, int prot)
{
	char *at = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

/* --- given back --- */

static char *given_back;

static int given_back_setup(void)
{
	given_back = map(LEN, PROT_READ | PROT_WRITE);
	if (!given_back)
		return STATE_BROKEN;
	memset(given_back, 5, LEN);
	return STATE_OK;
}

static const char *given_back_check(void)
{
	memset(given_back, 5, LEN);
	given_back[3 * PAGE] = 9;
	STATE_EXPECT_INT(madvise(given_back + PAGE, 6 * PAGE, MADV_DONTNEED), 0);
	for (size_t i = PAGE; i < 7 * PAGE; i += PAGE / 2)
		STATE_EXPECT_INT(given_back[i], 0);
	STATE_EXPECT_INT(given_back[0], 5);
	STATE_EXPECT_INT(given_back[7 * PAGE], 5);
	return NULL;
}

/* --- made longer --- */

/* Two mappings side by side, which the kernel has made one, and two that are apart. */
static char *growing, *apart, *apart_too;

static int growing_setup(void)
{
	char *both = map(2 * LEN, PROT_READ | PROT_WRITE);
	growing = both;
	if (!both)
		return STATE_BROKEN;
	memset(both, 6, LEN);
	memset(both + LEN, 5, LEN);
	return STATE_OK;
}

static const char *growing_check(void)
{
	char *grown = mremap(growing, LEN, MORE, MREMAP_MAYMOVE);
	STATE_EXPECT(grown != MAP_FAILED);
	growing = mremap(grown, MORE, LEN, 0);
	STATE_EXPECT(growing != MAP_FAILED);
	grown = mremap(growing, LEN, MORE / 2, MREMAP_MAYMOVE);
	STATE_EXPECT(grown != MAP_FAILED);
	for (size_t i = 0; i < LEN; i += PAGE)
		STATE_EXPECT_INT(grown[i], 6);
	for (size_t i = LEN; i < MORE / 2; i += PAGE)
		STATE_EXPECT_INT(grown[i], 0);
	growing = mremap(grown, MORE / 2, LEN, 0);
	return NULL;
}

static int apart_setup(void)
{
	char *all = map(5 * LEN, PROT_NONE);
	if (!all)
		return STATE_BROKEN;
	apart = all + LEN;
	apart_too = all + 3 * LEN;
	if (mprotect(apart, LEN, PROT_READ | PROT_WRITE) < 0 ||
		mprotect(apart_too, LEN, PROT_READ | PROT_WRITE) < 0)
		return STATE_BROKEN;
	memset(apart, 7, LEN);
	memset(apart_too, 8, LEN);
	return STATE_OK;
}

/* as the C library's realloc() does, past libramet-host */
static const char *apart_check(void)
{
	const long to = syscall(SYS_mremap, apart, LEN, MORE, MREMAP_MAYMOVE, NULL);
	STATE_EXPECT(to != -1);
	const char *grown = (const char *)to; /* NOLINT(performance-no-int-to-ptr): an address */
	for (size_t i = 0; i < LEN; i += PAGE)
		STATE_EXPECT_INT(grown[i], 7);
	for (size_t i = LEN; i < MORE; i += PAGE)
		STATE_EXPECT_INT(grown[i], 0);
	for (size_t i = 0; i < LEN; i += PAGE)
		STATE_EXPECT_INT(apart_too[i], 8);
	return NULL;
}

/* --- moved --- */

static unsigned char *moving;

static int moving_setup(void)
{
	moving = (unsigned char *)map(MORE, PROT_READ | PROT_WRITE);
	if (!moving)
		return STATE_BROKEN;
	for (size_t i = 0; i < MORE / PAGE; i++)
		moving[i * PAGE] = (unsigned char)(i + 1);
	return STATE_OK;
}

static const char *moving_check(void)
{
	char *room = map(MORE, PROT_NONE);
	STATE_EXPECT(room != NULL);
	unsigned char *moved = mremap(moving, MORE, MORE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	STATE_EXPECT((void *)moved == (void *)room);
	for (size_t i = 0; i < MORE / PAGE; i++)
		STATE_EXPECT_INT(moved[i * PAGE], i + 1);
	return NULL;
}

/* --- the stack --- */

static __attribute__((noinline)) unsigned long deep(unsigned depth)
{
	volatile char frame[8192];
	frame[0] = (char)depth;
	frame[8191] = 1;
	return depth == 0 ? (unsigned long)frame[8191]
			  : deep(depth - 1) + (unsigned long)frame[8191];
}

static const char *stack_check(void)
{
	STATE_EXPECT_INT(deep(500), 501); /* four megabytes */
	return NULL;
}

/* --- the data segment --- */

static char *segment_end;

static int segment_setup(void)
{
	char *start = sbrk(LEN);
	if (start == (void *)-1)
		return STATE_BROKEN;
	memset(start, 4, LEN);
	segment_end = sbrk(0);
	return STATE_OK;
}

static const char *segment_check(void)
{
	char *end = sbrk(0); /* others may have made it longer since */
	STATE_EXPECT(end >= segment_end);
	STATE_EXPECT_INT(segment_end[-1], 4);
	STATE_EXPECT(sbrk(LEN) == (void *)end);
	for (size_t i = 0; i < LEN; i += PAGE / 2)
		STATE_EXPECT_INT(end[i], 0);
	STATE_EXPECT(sbrk(-(intptr_t)LEN) != (void *)-1);
	return NULL;
}

const struct state_case state_growth[] = {
	{.name = "memory that is given back",
		.setup = given_back_setup,
		.check_child = given_back_check,
		.check_parent = given_back_check,
		.fault = "host.interpose",
		.flags = STATE_ALONE},
	{.name = "memory that grows",
		.setup = growing_setup,
		.check_child = growing_check,
		.check_parent = growing_check,
		.fault = "host.interpose",
		.flags = STATE_ALONE},
	{.name = "memory that grows by the kernel alone",
		.setup = apart_setup,
		.check_child = apart_check,
		.check_parent = apart_check,
		.fault = "descriptor.spacing"},
	{.name = "memory that is moved",
		.setup = moving_setup,
		.check_child = moving_check,
		.check_parent = moving_check,
		.fault = "pager.remap",
		.flags = STATE_FAR},
	{.name = "stack that grows",
		.check_child = stack_check,
		.check_parent = stack_check,
		.fault = "capture.stack"},
	{.name = "data segment that grows",
		.setup = segment_setup,
		.check_child = segment_check,
		.check_parent = segment_check,
		.fault = "capture.brk"},
	{.name = NULL},
};
