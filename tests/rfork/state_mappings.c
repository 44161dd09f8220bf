/* Cases: private mappings of every kind: protections, advice, sizes and numbers. What happens to
 * them after the fork is in state_growth.c. */
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
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

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

/* "VmFlags: …" of the mapping at an address */
static const char *flags_of(const void *addr)
{
	static char line[512];
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool here = false;
	while (smaps && fgets(line, sizeof(line), smaps)) {
		unsigned long start, end;
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)addr && (uintptr_t)addr < end;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			break;
	}
	if (smaps)
		fclose(smaps);
	return line;
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

/* it was, and is again in a child of the clone */
static const char *check_wiped(char *memory)
{
	int status = -1;
	for (size_t i = 0; i < 4 * PAGE; i += PAGE)
		STATE_EXPECT_INT(memory[i], 0);
	memory[0] = 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(memory[0]);
	STATE_EXPECT_INT(waitpid(pid, &status, 0), pid);
	STATE_EXPECT_INT(status, 0);
	memory[0] = 0;
	return NULL;
}

static const char *wiped_child(void)
{
	return check_wiped(wiped);
}

static const char *wiped_parent(void)
{
	STATE_EXPECT_INT(wiped[0], 7);
	return NULL;
}

/* memory that the kernel may drop at any time: glibc's vgetrandom() has its state there */
static char *droppable;

static int droppable_setup(void)
{
	droppable =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	if (droppable == MAP_FAILED)
		return STATE_NOT_HERE; /* Linux 6.11 */
	memset(droppable, 7, 4 * PAGE);
	return STATE_OK;
}

static const char *droppable_child(void)
{
	return check_wiped(droppable);
}

/* --- memory that its owner wanted to keep from children, by the C library: V8's heap --- */

static char *kept;

static int kept_setup(void)
{
	kept = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);
	if (!kept)
		return STATE_BROKEN;
	memset(kept, 9, 4 * PAGE);
	return madvise(kept, 4 * PAGE, MADV_DONTFORK) == 0 ? STATE_OK : STATE_BROKEN;
}

static const char *kept_check(void)
{
	for (size_t i = 0; i < 4 * PAGE; i += PAGE)
		STATE_EXPECT_INT(kept[i], 9);
	return NULL;
}

/* --- huge, and many --- */

#define TIB (1ul << 40)

static char *reserved, *sparse;
static size_t
	sparse_size; /* without PAGEMAP_SCAN, each TiB takes a second or, in guests, a minute */

static int huge_setup(void)
{
	sparse_size = TIB / (state_patience() > 1 ? 16 : 1);
	reserved = map(TIB, PROT_NONE, MAP_NORESERVE);
	sparse = map(sparse_size, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (!reserved || !sparse)
		return STATE_NOT_HERE;
	(void)mprotect(reserved + TIB / 2, PAGE, PROT_READ | PROT_WRITE);
	reserved[TIB / 2] = 1;
	sparse[0] = 2;
	sparse[777 * MIB] = 3;
	sparse[sparse_size - 1] = 4;
	return STATE_OK;
}

static const char *huge_check(void)
{
	STATE_EXPECT_INT(reserved[TIB / 2], 1);
	STATE_EXPECT(strcmp(rights_of(reserved), "---p") == 0);
	STATE_EXPECT_INT(sparse[0], 2);
	STATE_EXPECT_INT(sparse[777 * MIB], 3);
	STATE_EXPECT_INT(sparse[sparse_size - 1], 4);
	STATE_EXPECT_INT(sparse[500 * MIB], 0);
	return NULL;
}

static size_t nmany;
static char *many;

static int many_setup(void)
{
	nmany = 60000 / state_patience();
	many = map(nmany * PAGE, PROT_READ | PROT_WRITE, 0);
	if (!many)
		return STATE_BROKEN;
	for (size_t i = 0; i < nmany; i += 2)
		if (mprotect(many + i * PAGE, PAGE, PROT_READ) < 0)
			return STATE_NOT_HERE; /* vm.max_map_count */
	for (size_t i = 1; i < nmany; i += 2)
		many[i * PAGE] = (char)(i % 100 + 1);
	return STATE_OK;
}

static const char *many_check(void)
{
	for (size_t i = 1; i < nmany; i += 2)
		STATE_EXPECT_INT(many[i * PAGE], i % 100 + 1);
	STATE_EXPECT_INT(many[0], 0);
	STATE_EXPECT(strcmp(rights_of(many + nmany / 4 * 2 * PAGE), "r--p") == 0);
	STATE_EXPECT(strcmp(rights_of(many + (nmany / 4 * 2 + 1) * PAGE), "rw-p") == 0);
	return NULL;
}

/* huge pages of anonymous memory, of which half was never touched */
static char *large;

static int large_setup(void)
{
	large = map(32 * MIB, PROT_READ | PROT_WRITE, 0);
	if (!large || madvise(large, 32 * MIB, MADV_HUGEPAGE) < 0)
		return STATE_NOT_HERE;
	for (size_t i = 0; i < 16 * MIB; i += PAGE)
		large[i] = (char)(i / PAGE % 100 + 1);
	return STATE_OK;
}

static const char *large_check(void)
{
	for (size_t i = 0; i < 16 * MIB; i += PAGE)
		STATE_EXPECT_INT(large[i], i / PAGE % 100 + 1);
	STATE_EXPECT(strstr(flags_of(large + 24 * MIB), " hg") != NULL);
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
		.check_parent = protections_check,
		.fault = "capture.protections"},
	{.name = "memory that is wiped",
		.setup = wiped_setup,
		.check_child = wiped_child,
		.check_parent = wiped_parent,
		.fault = "capture.wipe"},
	{.name = "memory that the kernel may drop",
		.setup = droppable_setup,
		.check_child = droppable_child,
		.fault = "capture.wipe"},
	{.name = "mappings of a terabyte",
		.setup = huge_setup,
		.check_child = huge_check,
		.check_parent = huge_check,
		.fault = "capture.enormous"},
	{.name = "60,000 mappings",
		.setup = many_setup,
		.check_child = many_check,
		.check_parent = many_check,
		.fault = "capture.protections",
		.flags = STATE_ALONE},
	{.name = "huge pages",
		.setup = large_setup,
		.check_child = large_check,
		.check_parent = large_check,
		.fault = "capture.huge"},
	{.name = "memory that should not have been forked",
		.setup = kept_setup,
		.check_child = kept_check,
		.check_parent = kept_check,
		.fault = "host.interpose",
		.flags = STATE_ALONE},
	{.name = "memory that is not forked",
		.setup = left_out_setup,
		.check_parent = left_out_check,
		.refused = "is marked MADV_DONTFORK"},
	{.name = NULL},
};
