/* What an instance does to its own address space while pages are missing: it forks, moves, unmaps,
 * drops and extends parts of its seed. What it then sees must be what it would see without a pager,
 * never zeros in the place of bytes. */
#include "tests/lib/suite.h"
#include "tests/rfork/pager_world.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64
#define ELSEWHERE (FIXTURE_BASE + 0x10000000)

static unsigned char *at(uint64_t addr)
{
	return (unsigned char *)(uintptr_t)addr;
}

static bool all_zero(const unsigned char *page)
{
	static const unsigned char zeros[RFORK_PAGE];
	return memcmp(page, zeros, RFORK_PAGE) == 0;
}

/* runs a body against the peer and hands out what was counted; false: skipped or failed */
static bool run(int (*body)(void *arg), const struct fixture *fixture, struct pager_stats *ret)
{
	struct world world;
	if (!world_can_fault())
		return false;
	if (!world_init(&world, fixture, NULL) || !CHECK(world_add_peer(&world)))
		return false;
	int status = kid_run(&world, body, NULL);
	CHECK_INT(status, 0);
	*ret = world_stats(&world);
	world_fini(&world);
	return status == 0;
}

static int wait_ok(pid_t pid)
{
	int status = 0;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		WEXITSTATUS(status) == 0;
}

static int forks(void *arg)
{
	(void)arg;
	KID_EXPECT(fixture_check(0, kid_page(0)));
	pid_t pid = fork();
	if (pid == 0) {
		pid_t grandchild = fork();
		if (grandchild == 0)
			_exit(!fixture_check(2, kid_page(2)));
		_exit(!(fixture_check(1, kid_page(1)) && wait_ok(grandchild) &&
			fixture_check(0, kid_page(0))));
	}
	KID_EXPECT(fixture_check(3, kid_page(3)));
	KID_EXPECT(wait_ok(pid));
	KID_EXPECT(fixture_check(2, kid_page(2)));
	return 0;
}

static void test_child_that_forks(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct pager_stats stats;
	if (!run(forks, &fixture, &stats))
		return;
	CHECK_INT(stats.forks, 2);
	CHECK_INT(stats.fetched_pages, 4);
}

static int moves(void *arg)
{
	(void)arg;
	/* pages 8-15 go elsewhere; then the middle of them goes on to where page 8 was */
	KID_EXPECT(mremap(kid_page(8), 8 * RFORK_PAGE, 8 * RFORK_PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, at(ELSEWHERE)) == at(ELSEWHERE));
	KID_EXPECT(fixture_check(9, at(ELSEWHERE + RFORK_PAGE)));
	KID_EXPECT(mremap(at(ELSEWHERE + 2 * RFORK_PAGE), 4 * RFORK_PAGE, 4 * RFORK_PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, kid_page(8)) == kid_page(8));
	for (uint64_t i = 0; i < 4; i++)
		KID_EXPECT(fixture_check(10 + i, kid_page(8 + i)));
	KID_EXPECT(fixture_check(8, at(ELSEWHERE)));
	KID_EXPECT(fixture_check(14, at(ELSEWHERE + 6 * RFORK_PAGE)));
	KID_EXPECT(fixture_check(15, at(ELSEWHERE + 7 * RFORK_PAGE)));
	KID_EXPECT(fixture_check(7, kid_page(7)));
	KID_EXPECT(fixture_check(16, kid_page(16)));
	return 0;
}

static void test_moved_ranges_keep_their_bytes(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct pager_stats stats;
	run(moves, &fixture, &stats);
}

static int moves_then_forks(void *arg)
{
	(void)arg;
	KID_EXPECT(mremap(kid_page(8), 8 * RFORK_PAGE, 8 * RFORK_PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, at(ELSEWHERE)) == at(ELSEWHERE));
	pid_t pid = fork();
	if (pid == 0)
		_exit(!fixture_check(9, at(ELSEWHERE + RFORK_PAGE)));
	KID_EXPECT(wait_ok(pid));
	KID_EXPECT(fixture_check(10, at(ELSEWHERE + 2 * RFORK_PAGE)));
	return 0;
}

static void test_fork_knows_what_was_moved(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct pager_stats stats;
	run(moves_then_forks, &fixture, &stats);
}

static int unmaps(void *arg)
{
	(void)arg;
	KID_EXPECT(munmap(kid_page(8), 8 * RFORK_PAGE) == 0);
	unsigned char *fresh = mmap(kid_page(8), 4 * RFORK_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	KID_EXPECT(fresh == kid_page(8));
	KID_EXPECT(all_zero(kid_page(9)));
	kid_page(9)[0] = 1;
	/* pages 20-23 are moved to where pages 12-15 were */
	KID_EXPECT(mremap(kid_page(20), 4 * RFORK_PAGE, 4 * RFORK_PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, kid_page(12)) == kid_page(12));
	KID_EXPECT(fixture_check(21, kid_page(13)));
	KID_EXPECT(fixture_check(16, kid_page(16)));
	return 0;
}

static void test_unmapped_ranges_can_be_reused(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct pager_stats stats;
	if (!run(unmaps, &fixture, &stats))
		return;
	CHECK_INT(stats.fetched_pages, 2);
}

static int removes(void *arg)
{
	(void)arg;
	KID_EXPECT(fixture_check(8, kid_page(8)));
	kid_page(9)[0] ^= 1;
	KID_EXPECT(madvise(kid_page(8), 4 * RFORK_PAGE, MADV_DONTNEED) == 0);
	for (uint64_t page = 8; page < 12; page++) /* as of any private mapping of a file */
		KID_EXPECT(fixture_check(page, kid_page(page)));
	return 0;
}

static void test_dropped_pages_come_from_the_image_again(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct pager_stats stats;
	run(removes, &fixture, &stats);
}

static int grows(void *arg)
{
	(void)arg;
	uint64_t end = FIXTURE_BASE + PAGES * RFORK_PAGE;
	/* in place: nothing lies behind the last piece */
	KID_EXPECT(mremap(kid_page(60), 4 * RFORK_PAGE, 6 * RFORK_PAGE, 0) == kid_page(60));
	KID_EXPECT(all_zero(at(end)));
	at(end + RFORK_PAGE)[5] = 7;
	KID_EXPECT(at(end + RFORK_PAGE)[4] == 0 && at(end + RFORK_PAGE)[5] == 7);
	KID_EXPECT(fixture_check(63, kid_page(63)));
	/* and moved, over the home of other pages that were there */
	KID_EXPECT(mremap(kid_page(60), 6 * RFORK_PAGE, 8 * RFORK_PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, kid_page(20)) == kid_page(20));
	KID_EXPECT(fixture_check(62, kid_page(22)));
	KID_EXPECT(kid_page(25)[5] == 7);
	KID_EXPECT(all_zero(kid_page(26)));
	KID_EXPECT(all_zero(kid_page(27)));
	KID_EXPECT(fixture_check(28, kid_page(28)));
	return 0;
}

static void test_grown_mappings_show_zeros(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct pager_stats stats;
	if (!run(grows, &fixture, &stats))
		return;
	CHECK_INT(stats.fetched_pages, 3);
}

static int keeps_mapping(void *arg)
{
	(void)arg;
#ifdef MREMAP_DONTUNMAP
	void *to = mremap(
		kid_page(8), 4 * RFORK_PAGE, 4 * RFORK_PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (to == MAP_FAILED && errno == EINVAL)
		return 0; /* before Linux 5.13 only for anonymous memory */
	KID_EXPECT(to != MAP_FAILED);
	KID_EXPECT(fixture_check(9, (unsigned char *)to + RFORK_PAGE));
	KID_EXPECT(fixture_check(10, kid_page(10)));
#endif
	return 0;
}

static void test_move_that_leaves_the_mapping(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct pager_stats stats;
	run(keeps_mapping, &fixture, &stats);
}

static int shuffles(void *arg)
{
	/* moves a window around far more often than a map without joining could hold */
	(void)arg;
	unsigned char *here = kid_page(8);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned char *to = at(ELSEWHERE + (i % 50) * 16 * RFORK_PAGE);
		if (here == to)
			continue;
		KID_EXPECT(mremap(here, 8 * RFORK_PAGE, 8 * RFORK_PAGE,
				   MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		here = to;
	}
	for (uint64_t i = 0; i < 8; i++)
		KID_EXPECT(fixture_check(8 + i, here + i * RFORK_PAGE));
	return 0;
}

static void test_many_moves(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct pager_stats stats;
	run(shuffles, &fixture, &stats);
}

static const struct fixture pieces = {
	.pieces =
		{
			{FIXTURE_BASE, 4, PIECE_IMAGE, PROT_READ | PROT_WRITE},
			{FIXTURE_BASE + 4 * 4096, 4, PIECE_ANON, PROT_READ | PROT_WRITE},
			{FIXTURE_BASE + 8 * 4096, 4, PIECE_IMAGE, PROT_READ},
			{FIXTURE_BASE + 0x300000, 4, PIECE_IMAGE, PROT_READ | PROT_WRITE},
		},
	.npieces = 4,
};

static int several_pieces(void *arg)
{
	(void)arg;
	KID_EXPECT(fixture_check(3, kid_page(3)));
	KID_EXPECT(all_zero(kid_page(4)));
	KID_EXPECT(fixture_check(4, kid_page(8)));
	KID_EXPECT(fixture_check(11, at(FIXTURE_BASE + 0x303000)));
	return 0;
}

static void test_pages_of_several_pieces(void)
{
	struct pager_stats stats;
	if (!run(several_pieces, &pieces, &stats))
		return;
	CHECK_INT(stats.faults, 3);
}

static int forks_an_orphan(void *arg)
{
	/* ends before its own child, which reads a page once the pipe's other end has gone */
	int fds[2];
	char byte;
	KID_EXPECT(pipe(fds) == 0);
	pid_t pid = fork();
	KID_EXPECT(pid >= 0);
	if (pid == 0) {
		close(fds[1]);
		while (read(fds[0], &byte, 1) > 0)
			;
		*(atomic_uint *)arg = fixture_check(5, kid_page(5)) ? 1 : 2;
		_exit(0);
	}
	return 0;
}

static void test_child_has_ended_when_all_its_processes_have(void)
{
	struct fixture fixture = fixture_simple(PAGES);
	struct world world;
	struct kid kid;
	if (!world_can_fault())
		return;
	REQUIRE(world_init(&world, &fixture, NULL));
	CHECK(world_add_peer(&world));
	atomic_uint *result =
		mmap(NULL, RFORK_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(kid_start(&world, &kid, forks_an_orphan, result));
	CHECK_INT(kid_wait(&world, &kid), 0);
	CHECK(world_until_atomic(&world, result, 1));
	CHECK_INT(atomic_load(result), 1);
	CHECK(world_until(&world, &kid.ended, 1));
	CHECK_INT(kid.failed, 0);
	munmap(result, RFORK_PAGE);
	kid_remove(&kid);
	world_fini(&world);
}

SUITE_MAIN("pager_events", TEST(test_child_that_forks), TEST(test_moved_ranges_keep_their_bytes),
	TEST(test_fork_knows_what_was_moved), TEST(test_unmapped_ranges_can_be_reused),
	TEST(test_dropped_pages_come_from_the_image_again), TEST(test_grown_mappings_show_zeros),
	TEST(test_move_that_leaves_the_mapping), TEST(test_many_moves),
	TEST(test_pages_of_several_pieces), TEST(test_child_has_ended_when_all_its_processes_have))
