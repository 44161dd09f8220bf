/* Cases: private mappings of every kind: protections, advice, sizes and numbers. */
#include "tests/rfork/state.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define MIB (1ul << 20)

static char *map(size_t len, int prot, int flags)
{
	char *at = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

/* --- protections, also of memory that nobody may read --- */

static char *hidden, *constant;

static int protections_setup(void)
{
	hidden = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);
	constant = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);
	if (!hidden || !constant)
		return STATE_BROKEN;
	memcpy(hidden + PAGE, "behind the curtain", sizeof("behind the curtain"));
	memcpy(constant, "for reading", sizeof("for reading"));
	return mprotect(hidden, 4 * PAGE, PROT_NONE) == 0 &&
			mprotect(constant, 4 * PAGE, PROT_READ) == 0
		? STATE_OK
		: STATE_BROKEN;
}

/* "rwxp" of the mapping at an address */
static const char *rights_of(const void *addr)
{
	static char line[512], rights[5];
	FILE *maps = fopen("/proc/self/maps", "re");
	rights[0] = '\0';
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		char found[5];
		if (sscanf(line, "%lx-%lx %4s", &start, &end, found) == 3 &&
			start <= (uintptr_t)addr && (uintptr_t)addr < end)
			memcpy(rights, found, sizeof(rights));
	}
	if (maps)
		fclose(maps);
	return rights;
}

static const char *protections_check(void)
{
	STATE_EXPECT(strcmp(rights_of(hidden + PAGE), "---p") == 0);
	STATE_EXPECT(strcmp(rights_of(constant), "r--p") == 0);
	STATE_EXPECT(strcmp(constant, "for reading") == 0);
	STATE_EXPECT_INT(mprotect(hidden, 4 * PAGE, PROT_READ), 0);
	STATE_EXPECT(strcmp(hidden + PAGE, "behind the curtain") == 0);
	STATE_EXPECT_INT(hidden[0], 0);
	return NULL;
}

/* --- memory that fork() wipes --- */

static char *wiped;

static int wiped_setup(void)
{
	wiped = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);
	if (!wiped)
		return STATE_BROKEN;
	memset(wiped, 7, 4 * PAGE);
	return madvise(wiped, 4 * PAGE, MADV_WIPEONFORK) == 0 ? STATE_OK : STATE_NOT_HERE;
}

static const char *wiped_child(void)
{
	int status = -1;
	for (size_t i = 0; i < 4 * PAGE; i += PAGE)
		STATE_EXPECT_INT(wiped[i], 0);
	wiped[0] = 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(wiped[0]);
	STATE_EXPECT_INT(waitpid(pid, &status, 0), pid);
	STATE_EXPECT_INT(status, 0);
	wiped[0] = 0;
	return NULL;
}

static const char *wiped_parent(void)
{
	STATE_EXPECT_INT(wiped[0], 7);
	return NULL;
}

/* --- memory given back, and memory that grows: zeros, not what the seed's file has there --- */

static char *given_back, *growing;

static int given_back_setup(void)
{
	given_back = map(8 * PAGE, PROT_READ | PROT_WRITE, 0);
	growing = map(8 * PAGE, PROT_READ | PROT_WRITE, 0);
	if (!given_back || !growing)
		return STATE_BROKEN;
	memset(given_back, 5, 8 * PAGE);
	memset(growing, 6, 8 * PAGE);
	return STATE_OK;
}

static const char *given_back_check(void)
{
	memset(given_back, 5, 8 * PAGE);
	given_back[3 * PAGE] = 9;
	STATE_EXPECT_INT(madvise(given_back + PAGE, 6 * PAGE, MADV_DONTNEED), 0);
	for (size_t i = PAGE; i < 7 * PAGE; i += PAGE / 2)
		STATE_EXPECT_INT(given_back[i], 0);
	STATE_EXPECT_INT(given_back[0], 5);
	STATE_EXPECT_INT(given_back[7 * PAGE], 5);
	return NULL;
}

static const char *growing_check(void)
{
	char *grown = mremap(growing, 8 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	STATE_EXPECT(grown != MAP_FAILED);
	growing = mremap(grown, 64 * PAGE, 8 * PAGE, 0);
	STATE_EXPECT(growing != MAP_FAILED);
	grown = mremap(growing, 8 * PAGE, 32 * PAGE, MREMAP_MAYMOVE);
	STATE_EXPECT(grown != MAP_FAILED);
	for (size_t i = 0; i < 8 * PAGE; i += PAGE)
		STATE_EXPECT_INT(grown[i], 6);
	for (size_t i = 8 * PAGE; i < 32 * PAGE; i += PAGE)
		STATE_EXPECT_INT(grown[i], 0);
	growing = mremap(grown, 32 * PAGE, 8 * PAGE, 0);
	return NULL;
}

/* --- huge, and many --- */

static char *reserved, *sparse;

static int huge_setup(void)
{
	reserved = map(1ul << 40, PROT_NONE, MAP_NORESERVE);
	sparse = map(1ul << 40, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (!reserved || !sparse)
		return STATE_NOT_HERE;
	(void)mprotect(reserved + (1ul << 39), PAGE, PROT_READ | PROT_WRITE);
	reserved[1ul << 39] = 1;
	sparse[0] = 2;
	sparse[777 * MIB] = 3;
	sparse[(1ul << 40) - 1] = 4;
	return STATE_OK;
}

static const char *huge_check(void)
{
	STATE_EXPECT_INT(reserved[1ul << 39], 1);
	STATE_EXPECT(strcmp(rights_of(reserved), "---p") == 0);
	STATE_EXPECT_INT(sparse[0], 2);
	STATE_EXPECT_INT(sparse[777 * MIB], 3);
	STATE_EXPECT_INT(sparse[(1ul << 40) - 1], 4);
	STATE_EXPECT_INT(sparse[500 * MIB], 0);
	return NULL;
}

#define MANY 60000ul

static char *many;

static int many_setup(void)
{
	many = map(MANY * PAGE, PROT_READ | PROT_WRITE, 0);
	if (!many)
		return STATE_BROKEN;
	for (size_t i = 0; i < MANY; i += 2)
		if (mprotect(many + i * PAGE, PAGE, PROT_READ) < 0)
			return STATE_NOT_HERE; /* vm.max_map_count */
	for (size_t i = 1; i < MANY; i += 2)
		many[i * PAGE] = (char)(i % 100 + 1);
	return STATE_OK;
}

static const char *many_check(void)
{
	for (size_t i = 1; i < MANY; i += 2)
		STATE_EXPECT_INT(many[i * PAGE], i % 100 + 1);
	STATE_EXPECT_INT(many[0], 0);
	STATE_EXPECT(strcmp(rights_of(many + 30000 * PAGE), "r--p") == 0);
	STATE_EXPECT(strcmp(rights_of(many + 30001 * PAGE), "rw-p") == 0);
	return NULL;
}

/* huge pages of anonymous memory */
static char *large;

static int large_setup(void)
{
	large = map(16 * MIB, PROT_READ | PROT_WRITE, 0);
	if (!large || madvise(large, 16 * MIB, MADV_HUGEPAGE) < 0)
		return STATE_NOT_HERE;
	for (size_t i = 0; i < 16 * MIB; i += PAGE)
		large[i] = (char)(i / PAGE % 100 + 1);
	return STATE_OK;
}

static const char *large_check(void)
{
	for (size_t i = 0; i < 16 * MIB; i += PAGE)
		STATE_EXPECT_INT(large[i], i / PAGE % 100 + 1);
	return NULL;
}

/* --- the stack grows --- */

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

/* --- what is refused --- */

static char *left_out;

static int left_out_setup(void)
{
	left_out = map(PAGE, PROT_READ | PROT_WRITE, 0);
	/* by the system call: madvise() of libramet-host would not do it */
	return left_out && syscall(SYS_madvise, left_out, PAGE, MADV_DONTFORK) == 0 ? STATE_OK
										    : STATE_BROKEN;
}

static const char *left_out_check(void)
{
	left_out[0] = 1;
	return NULL;
}

const struct state_case state_mappings[] = {
	{.name = "protections",
		.setup = protections_setup,
		.check_child = protections_check,
		.check_parent = protections_check},
	{.name = "memory that is wiped",
		.setup = wiped_setup,
		.check_child = wiped_child,
		.check_parent = wiped_parent,
		.fault = "capture.wipe"},
	{.name = "memory that is given back",
		.setup = given_back_setup,
		.check_child = given_back_check,
		.check_parent = given_back_check,
		.fault = "host.interpose",
		.flags = STATE_ALONE},
	{.name = "memory that grows",
		.setup = given_back_setup,
		.check_child = growing_check,
		.check_parent = growing_check,
		.fault = "host.interpose",
		.flags = STATE_ALONE},
	{.name = "mappings of a terabyte",
		.setup = huge_setup,
		.check_child = huge_check,
		.check_parent = huge_check},
	{.name = "60,000 mappings",
		.setup = many_setup,
		.check_child = many_check,
		.check_parent = many_check,
		.flags = STATE_ALONE},
	{.name = "huge pages",
		.setup = large_setup,
		.check_child = large_check,
		.check_parent = large_check},
	{.name = "stack that grows", .check_child = stack_check, .check_parent = stack_check},
	{.name = "memory that is not forked",
		.setup = left_out_setup,
		.check_parent = left_out_check,
		.refused = "is marked MADV_DONTFORK"},
	{.name = NULL},
};
