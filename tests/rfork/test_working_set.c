/* Working sets: building, merging, the wire format against garbage, populate ranges, packs, and
 * recording from the page tables of a real process. */
#include "rfork/working_set.h"
#include "tests/lib/suite.h"
#include "tests/rfork/seed_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define PAGES 64

static struct working_set *set_of(const uint32_t *pages, uint64_t count)
{
	struct ramet_err err = {0};
	struct working_set *set = NULL;
	CHECK_INT(working_set_create(PAGES, pages, count, &set, &err), 0);
	return set;
}

/* a set that wrote these pages, one by one */
static struct working_set *written_set(const uint32_t *pages, uint32_t count)
{
	struct working_set *set = set_of(pages, count);
	set->written = calloc(count ? count : 1, sizeof(*set->written));
	for (uint32_t i = 0; i < count; i++)
		set->written[set->nwritten++] =
			(struct working_set_write){.page = pages[i], .count = 1, .calls = 1};
	return set;
}

static bool has_pages(const struct working_set *set, const uint32_t *pages, uint64_t count)
{
	uint32_t flat[PAGES];
	if (working_set_pages(set) != count)
		return false;
	working_set_flatten(set, flat);
	return memcmp(flat, pages, count * sizeof(*pages)) == 0;
}

static void test_order_is_kept_and_bad_pages_left_out(void)
{
	static const uint32_t pages[] = {9, 10, 11, 3, 3, 64, 4, 10, UINT32_MAX, 2};
	static const uint32_t want[] = {9, 10, 11, 3, 4, 2};
	auto_working_set struct working_set *set = set_of(pages, ARRAY_LEN(pages));
	CHECK(has_pages(set, want, ARRAY_LEN(want)));
	CHECK_INT(set->ntouched, 3);
	CHECK_INT(set->calls, 1);
}

static void test_merge_appends_what_is_new(void)
{
	static const uint32_t a[] = {5, 6, 1}, b[] = {6, 7, 1, 20}, want[] = {5, 6, 1, 7, 20};
	struct ramet_err err = {0};
	auto_working_set struct working_set *x = set_of(a, 3);
	auto_working_set struct working_set *y = set_of(b, 4);
	CHECK_INT(working_set_merge(x, y, &err), 0);
	CHECK(has_pages(x, want, 5));
	CHECK_INT(x->calls, 2);
	y->image_pages++;
	CHECK_INT(working_set_merge(x, y, &err), RAMET_EINVAL);
	CHECK(has_pages(x, want, 5));
}

static uint32_t calls_of(const struct working_set *set, uint32_t page)
{
	for (uint32_t i = 0; i < set->nwritten; i++)
		if (page - set->written[i].page < set->written[i].count)
			return set->written[i].calls;
	return 0;
}

static void test_merge_counts_who_writes(void)
{
	static const uint32_t a[] = {1, 2, 3, 4, 10}, b[] = {3, 4, 5}, c[] = {0, 4, 10, 63};
	struct ramet_err err = {0};
	auto_working_set struct working_set *x = written_set(a, 5);
	auto_working_set struct working_set *y = written_set(b, 3);
	auto_working_set struct working_set *z = written_set(c, 4);
	CHECK_INT(working_set_merge(x, y, &err), 0);
	CHECK_INT(working_set_merge(x, z, &err), 0);
	CHECK_INT(x->calls, 3);
	for (uint32_t page = 0; page < PAGES; page++) {
		uint32_t want = 0;
		for (unsigned i = 0; i < 5; i++)
			want += a[i] == page;
		for (unsigned i = 0; i < 3; i++)
			want += b[i] == page;
		for (unsigned i = 0; i < 4; i++)
			want += c[i] == page;
		CHECK_INT(calls_of(x, page), want);
	}
	for (uint32_t i = 1; i < x->nwritten; i++)
		CHECK(x->written[i].page >= x->written[i - 1].page + x->written[i - 1].count);
}

static void test_encoding_round_trip(void)
{
	static const uint32_t pages[] = {9, 10, 11, 3, 40};
	struct ramet_err err = {0};
	auto_free void *bytes = NULL;
	size_t len = 0;
	auto_working_set struct working_set *set = written_set(pages + 3, 2);
	auto_working_set struct working_set *more = set_of(pages, 3);
	auto_working_set struct working_set *back = NULL;
	CHECK_INT(working_set_merge(set, more, &err), 0);
	CHECK_INT(working_set_encode(set, &bytes, &len, &err), 0);
	REQUIRE_OK(working_set_decode(bytes, len, PAGES, &back, &err), &err);
	CHECK_INT(back->calls, 2);
	CHECK_INT(back->ntouched, set->ntouched);
	CHECK_INT(back->nwritten, set->nwritten);
	CHECK(memcmp(back->touched, set->touched, set->ntouched * sizeof(*set->touched)) == 0);
	CHECK(memcmp(back->written, set->written, set->nwritten * sizeof(*set->written)) == 0);
}

static void test_garbage_is_refused(void)
{
	static const uint32_t pages[] = {9, 10, 11, 3, 40};
	struct ramet_err err = {0};
	auto_free unsigned char *bytes = NULL;
	size_t len = 0;
	auto_working_set struct working_set *set = written_set(pages, 5);
	struct working_set *back = NULL;
	void *encoded = NULL;
	set->written[3].page = 12;
	CHECK_INT(working_set_encode(set, &encoded, &len, &err), 0);
	bytes = encoded;
	for (size_t cut = 0; cut < len; cut++)
		CHECK(working_set_decode(bytes, cut, PAGES, &back, &err) < 0);
	CHECK_INT(working_set_decode(bytes, len, PAGES + 1, &back, &err), RAMET_EPROTO);
	CHECK_INT(working_set_decode(bytes, len, PAGES, &back, &err), 0);
	working_set_destroy(steal_ptr(&back));

	/* what still decodes after any one change of a byte keeps the promises of a set */
	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[i] ^= (unsigned char)(1u << bit);
			if (working_set_decode(bytes, len, PAGES, &back, &err) == 0) {
				uint32_t flat[PAGES];
				CHECK(working_set_pages(back) <= PAGES);
				working_set_flatten(back, flat);
				for (uint64_t k = 0; k < working_set_pages(back); k++)
					CHECK(flat[k] < PAGES);
				for (uint32_t k = 0; k < back->nwritten; k++)
					CHECK(back->written[k].page + back->written[k].count <=
						PAGES);
				working_set_destroy(steal_ptr(&back));
			}
			bytes[i] ^= (unsigned char)(1u << bit);
		}
	}
}

static int decode_of(const struct working_set *set)
{
	struct ramet_err err = {0};
	struct working_set *back = NULL;
	auto_free void *bytes = NULL;
	size_t len = 0;
	int rc = working_set_encode(set, &bytes, &len, &err);
	if (rc == 0)
		rc = working_set_decode(bytes, len, PAGES, &back, &err);
	working_set_destroy(back);
	return rc;
}

static void test_each_rule_of_the_wire_format(void)
{
	static const uint32_t pages[] = {9, 20, 30};
	auto_working_set struct working_set *set = written_set(pages, 3);
	CHECK_INT(decode_of(set), 0);
	set->touched[1].page = 9; /* twice */
	CHECK_INT(decode_of(set), RAMET_EPROTO);
	set->touched[1] = (struct working_set_run){60, 5}; /* beyond */
	CHECK_INT(decode_of(set), RAMET_EPROTO);
	set->touched[1] = (struct working_set_run){1, UINT32_MAX};
	CHECK_INT(decode_of(set), RAMET_EPROTO);
	set->touched[1] = (struct working_set_run){20, 0};
	CHECK_INT(decode_of(set), RAMET_EPROTO);
	set->touched[1] = (struct working_set_run){20, 1};
	set->written[1].page = 8; /* out of order */
	CHECK_INT(decode_of(set), RAMET_EPROTO);
	set->written[1].page = 20;
	set->written[1].calls = 2; /* more than there were */
	CHECK_INT(decode_of(set), RAMET_EPROTO);
	set->written[1].calls = 0;
	CHECK_INT(decode_of(set), RAMET_EPROTO);
	set->written[1].calls = 1;
	CHECK_INT(decode_of(set), 0);
}

/* pages 0-15 writable, 16-23 read-only, 24-63 writable */
static const struct fixture mixed = {
	.pieces =
		{
			{FIXTURE_BASE, 16, PIECE_IMAGE, RW},
			{FIXTURE_BASE + 0x10000, 8, PIECE_IMAGE, PROT_READ},
			{FIXTURE_BASE + 0x100000, 40, PIECE_IMAGE, RW},
		},
	.npieces = 3,
	.zeros = 1ull << 30 | 1ull << 31,
};

static void test_populate_ranges(void)
{
	static const uint32_t pages[] = {0, 1, 4, 8, 15, 16, 24, 40, 41, 42, 43};
	uint64_t ranges[64][2] = {0};
	struct ramet_err err = {0};
	auto_image struct image *image = fixture_image(&mixed, false);
	auto_working_set struct working_set *set = written_set(pages, ARRAY_LEN(pages));
	REQUIRE(image != NULL);
	static const uint64_t exact[][2] = {
		{FIXTURE_BASE, FIXTURE_BASE + 2 * 4096},
		{FIXTURE_BASE + 4 * 4096, FIXTURE_BASE + 5 * 4096},
	};
	CHECK_INT(working_set_populate(set, &image->desc, ranges, 64), 6);
	CHECK(memcmp(ranges, exact, sizeof(exact)) == 0);

	static const uint64_t want[][2] = {
		/* 0-1 and 4: a gap is closed where there is no room for both */
		{FIXTURE_BASE, FIXTURE_BASE + 5 * 4096},
		{FIXTURE_BASE + 8 * 4096, FIXTURE_BASE + 9 * 4096},
		{FIXTURE_BASE + 15 * 4096, FIXTURE_BASE + 16 * 4096}, /* 16 is read-only */
		{FIXTURE_BASE + 0x100000, FIXTURE_BASE + 0x101000},
		{FIXTURE_BASE + 0x110000, FIXTURE_BASE + 0x114000},
	};
	CHECK_INT(working_set_populate(set, &image->desc, ranges, 5), 5);
	CHECK(memcmp(ranges, want, sizeof(want)) == 0);

	CHECK_INT(working_set_populate(set, &image->desc, ranges, 2), 2); /* the largest */
	CHECK(memcmp(ranges[0], want[0], sizeof(want[0])) == 0);
	CHECK(memcmp(ranges[1], want[4], sizeof(want[4])) == 0);

	auto_working_set struct working_set *other = written_set(pages + 3, 1);
	CHECK_INT(working_set_merge(set, other, &err), 0);
	CHECK_INT(working_set_populate(set, &image->desc, ranges, 64), 1); /* the one in both */
	CHECK(memcmp(ranges[0], want[1], sizeof(want[1])) == 0);
}

static void test_pack_holds_the_pages_in_order(void)
{
	static const uint32_t pages[] = {50, 51, 3, 60};
	static unsigned char pack[4 * RFORK_PAGE];
	struct ramet_err err = {0};
	auto_image struct image *image = fixture_image(&mixed, true);
	auto_image struct image *empty = fixture_image(&mixed, false);
	auto_working_set struct working_set *set = set_of(pages, 4);
	REQUIRE(image != NULL && empty != NULL);
	REQUIRE_OK(working_set_pack(set, image, pack, &err), &err);
	for (unsigned i = 0; i < 4; i++)
		CHECK(fixture_check(pages[i], pack + i * RFORK_PAGE));
	CHECK_INT(working_set_pack(set, empty, pack, &err), RAMET_EINVAL);
	CHECK_INT(image_resident(empty), 0); /* looking did not fill holes */
	set->image_pages++;
	CHECK_INT(working_set_pack(set, image, pack, &err), RAMET_EINVAL);
}

static _Noreturn void recorded_main(const struct image *image, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0)
		_exit(77);
	for (uint32_t i = 0; i < image->desc.npieces; i++) {
		const struct seed_piece *piece = &image->desc.pieces[i];
		size_t len = piece->pages * RFORK_PAGE;
		void *at = (void *)(uintptr_t)piece->start;
		struct uffdio_register reg = {
			.range = {piece->start, len}, .mode = UFFDIO_REGISTER_MODE_WP};
		if (mmap(at, len, piece->prot, MAP_FIXED_NOREPLACE | MAP_PRIVATE, image->fd,
			    (off_t)piece->offset) != at ||
			ioctl(uffd, UFFDIO_REGISTER, &reg) < 0)
			_exit(1);
	}
	volatile unsigned char *first = (void *)(uintptr_t)FIXTURE_BASE;
	volatile unsigned char *last = (void *)(uintptr_t)(FIXTURE_BASE + 0x100000);
	(void)first[2 * RFORK_PAGE];
	first[5 * RFORK_PAGE] = 1;
	(void)last[4 * RFORK_PAGE];
	last[6 * RFORK_PAGE] = 1; /* page 30: zeros, written */
	(void)last[7 * RFORK_PAGE]; /* page 31: zeros, read */
	if (write(ready, "r", 1) != 1)
		_exit(2);
	for (;;)
		pause();
}

static void test_record_is_exact(void)
{
	static const uint32_t touched[] = {2, 5, 28};
	struct ramet_err err = {0};
	auto_image struct image *image = fixture_image(&mixed, true);
	auto_working_set struct working_set *set = NULL;
	int ready[2] = {-1, -1}, status = 0;
	char byte;
	REQUIRE(image != NULL && pipe2(ready, O_CLOEXEC) == 0);
	pid_t pid = fork();
	if (pid == 0)
		recorded_main(image, ready[1]);
	close(ready[1]);
	bool ran = read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (ran) {
		CHECK_INT(working_set_record(pid, &image->desc, &set, &err), 0);
		kill(pid, SIGKILL);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	if (!ran) {
		if (CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 77))
			suite_skip("userfaultfd with write protection of shared memory is refused");
		return;
	}
	REQUIRE(set != NULL);
	CHECK(has_pages(set, touched, ARRAY_LEN(touched)));
	CHECK_INT(set->calls, 1);
	CHECK_INT(set->nwritten, 2);
	CHECK_INT(calls_of(set, 5), 1);
	CHECK_INT(calls_of(set, 30), 1);
	CHECK(working_set_record(pid, &image->desc, &set, &err) < 0); /* it has ended */
}

SUITE_MAIN("working_set", TEST(test_order_is_kept_and_bad_pages_left_out),
	TEST(test_merge_appends_what_is_new), TEST(test_merge_counts_who_writes),
	TEST(test_encoding_round_trip), TEST(test_garbage_is_refused),
	TEST(test_each_rule_of_the_wire_format), TEST(test_populate_ranges),
	TEST(test_pack_holds_the_pages_in_order), TEST(test_record_is_exact))
