/* What the daemon makes of a host's account of itself: of this process's, here. */
#include "base/err.h"
#include "rfork/capture_account.h"
#include "tests/lib/suite.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static struct account_fd fds[ACCOUNT_MAX_FDS];
static struct account_range ranges[ACCOUNT_MAX_RANGES];

static int read_account(uint32_t nfds, uint32_t nranges, struct capture_account *ret_account)
{
	struct ramet_err err = {0};
	const struct safepoint_state state = {.fds = (uintptr_t)fds,
		.nfds = nfds,
		.ranges = (uintptr_t)ranges,
		.nranges = nranges};
	*ret_account = (struct capture_account){0};
	return capture_account_read(getpid(), &state, ret_account, &err);
}

static void test_parts_make_a_whole(void)
{
	struct capture_account account;
	ranges[0] = (struct account_range){0x5000, 0x9000};
	ranges[1] = (struct account_range){0x1000, 0x3000};
	ranges[2] = (struct account_range){0x3000, 0x4000};
	ranges[3] = (struct account_range){0x2000, 0x2000};
	ranges[4] = (struct account_range){0xa000, 0x9000}; /* nonsense */
	ranges[5] = (struct account_range){0x1000, 0x2000};
	REQUIRE(read_account(0, 6, &account) == 0);
	CHECK(capture_account_covers(&account, 0x1000, 0x4000));
	CHECK(capture_account_covers(&account, 0x2000, 0x3000));
	CHECK(capture_account_covers(&account, 0x5000, 0x9000));
	CHECK(!capture_account_covers(&account, 0x1000, 0x5000));
	CHECK(!capture_account_covers(&account, 0x3000, 0x6000));
	CHECK(!capture_account_covers(&account, 0x0, 0x2000));
	CHECK(!capture_account_covers(&account, 0x8000, 0xa000));
	CHECK(!capture_account_covers(&account, 0x9000, 0xa000));
	CHECK(capture_account_fd(&account, 3) == NULL);
	capture_account_fini(&account);
}

static void test_as_much_as_there_is_room_for(void)
{
	struct capture_account account;
	for (uint32_t i = 0; i < ACCOUNT_MAX_FDS; i++) {
		uint64_t at = 0x10000ull * (ACCOUNT_MAX_RANGES - i);
		fds[i] = (struct account_fd){.fd = (int)(ACCOUNT_MAX_FDS - i), .kind = i % 2};
		for (unsigned c = 0; c < ACCOUNT_WHY_MAX; c++)
			fds[i].why[c] = 'x';
		ranges[i] = (struct account_range){at, at + 0x1000};
	}
	REQUIRE(read_account(ACCOUNT_MAX_FDS, ACCOUNT_MAX_RANGES, &account) == 0);
	for (uint32_t i = 0; i < ACCOUNT_MAX_FDS; i++) {
		const struct account_fd *fd = capture_account_fd(&account, (int)i + 1);
		uint64_t at = 0x10000ull * (i + 1);
		REQUIRE(fd && fd->kind == (ACCOUNT_MAX_FDS - i - 1) % 2);
		REQUIRE(fd->why[ACCOUNT_WHY_MAX - 1] == '\0');
		REQUIRE(capture_account_covers(&account, at, at + 0x1000));
		REQUIRE(!capture_account_covers(&account, at, at + 0x1001));
	}
	capture_account_fini(&account);
}

static void test_garbage(void)
{
	struct capture_account account;
	struct ramet_err err = {0};
	struct safepoint_state state = {.fds = 8, .nfds = 1}; /* nothing is mapped there */
	CHECK_INT(read_account(ACCOUNT_MAX_FDS + 1, 0, &account), RAMET_EPROTO);
	CHECK_INT(read_account(0, UINT32_MAX, &account), RAMET_EPROTO);
	account = (struct capture_account){0};
	CHECK_INT(capture_account_read(getpid(), &state, &account, &err), RAMET_EPROTO);
	capture_account_fini(&account);
	state.fds = UINT64_MAX;
	CHECK_INT(capture_account_read(getpid(), &state, &account, &err), RAMET_EPROTO);
	capture_account_fini(&account);
}

SUITE_MAIN("account", TEST(test_parts_make_a_whole), TEST(test_as_much_as_there_is_room_for),
	TEST(test_garbage))
