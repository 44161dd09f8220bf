/* The page store: layout, seals, the bitmap, and that zero pages cost nothing until they are
 * touched. */
#include "rfork/image.h"
#include "tests/lib/suite.h"
#include "tests/rfork/seed_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)

/* three image pieces with others in between: pages 0-3, 4-4, 5-12 */
static const struct fixture three = {
	.pieces =
		{
			{FIXTURE_BASE, 4, PIECE_IMAGE, RW},
			{FIXTURE_BASE + 0x4000, 7, PIECE_ANON, RW},
			{FIXTURE_BASE + 0x100000, 1, PIECE_IMAGE, PROT_READ},
			{FIXTURE_BASE + 0x200000, 8, PIECE_IMAGE, RW},
		},
	.npieces = 4,
	.zeros = 1u << 2 | 1u << 12,
};

static void test_new_image_has_only_its_zero_pages(void)
{
	auto_image struct image *image = fixture_image(&three, false);
	REQUIRE(image != NULL);
	CHECK_INT(image->npages, 13);
	CHECK_INT(atomic_load(&image->npresent), 2);
	for (uint64_t page = 0; page < image->npages; page++) {
		CHECK_INT(image_has(image, page), page == 2 || page == 12);
		CHECK_INT(image_page_is_zero(image, page), page == 2 || page == 12);
	}
	CHECK(!image_complete(image));
	CHECK_INT(image_resident(image), 0);
}

static void test_stored_pages_lie_where_the_descriptor_says(void)
{
	auto_image struct image *image = fixture_image(&three, true);
	REQUIRE(image != NULL);
	CHECK(image_complete(image));
	CHECK_INT(image_resident(image), 11 * RFORK_PAGE);
	for (uint32_t i = 0; i < image->desc.npieces; i++) {
		const struct seed_piece *piece = &image->desc.pieces[i];
		for (uint64_t k = 0; piece->kind == PIECE_IMAGE && k < piece->pages; k++) {
			uint64_t page = piece->image_page + k;
			unsigned char bytes[RFORK_PAGE];
			ssize_t n = pread(image->fd, bytes, sizeof(bytes),
				(off_t)(piece->offset + k * RFORK_PAGE));
			CHECK_INT(n, sizeof(bytes));
			if (!image_page_is_zero(image, page))
				CHECK(fixture_check(page, bytes));
			CHECK(memcmp(bytes, image->base + page * RFORK_PAGE, RFORK_PAGE) == 0);
		}
	}
}

static void test_store_across_pieces(void)
{
	auto_image struct image *image = fixture_image(&three, false);
	REQUIRE(image != NULL);
	static unsigned char bytes[3 * RFORK_PAGE];
	for (unsigned i = 0; i < 3; i++)
		fixture_fill(3 + i, bytes + i * RFORK_PAGE);
	CHECK_INT(image_store(image, 3, 3, bytes), 0);
	for (uint64_t page = 3; page < 6; page++) {
		CHECK(image_has(image, page));
		CHECK(fixture_check(page, image->base + page * RFORK_PAGE));
	}
	CHECK_INT(atomic_load(&image->npresent), 5);
	CHECK(!image_mark(image, 3));
	CHECK_INT(atomic_load(&image->npresent), 5);
}

static void test_store_beyond_the_image_is_refused(void)
{
	auto_image struct image *image = fixture_image(&three, false);
	REQUIRE(image != NULL);
	static unsigned char bytes[2 * RFORK_PAGE];
	CHECK_INT(image_store(image, 12, 2, bytes), RAMET_EIO);
	CHECK_INT(image_store(image, UINT64_MAX, 2, bytes), RAMET_EIO);
	CHECK_INT(image_store(image, 13, 1, bytes), RAMET_EIO);
	CHECK_INT(image_resident(image), 0);
}

static void test_zero_page_becomes_memory_when_asked(void)
{
	auto_image struct image *image = fixture_image(&three, true);
	REQUIRE(image != NULL);
	CHECK_INT(image_fill_zero(image, 12), 0);
	CHECK_INT(image_resident(image), 12 * RFORK_PAGE);
	static const unsigned char zeros[RFORK_PAGE];
	CHECK(memcmp(image->base + 12 * RFORK_PAGE, zeros, RFORK_PAGE) == 0);
	CHECK_INT(image_fill_zero(image, 5), 0);
	CHECK(fixture_check(5, image->base + 5 * RFORK_PAGE));
	CHECK_INT(image_fill_zero(image, 13), RAMET_EIO);
}

static void test_files_are_sealed_and_named(void)
{
	auto_image struct image *image = fixture_image(&three, false);
	REQUIRE(image != NULL);
	CHECK_INT(ftruncate(image->fd, 4096), -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(ftruncate(image->fd, 1 << 30), -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(pwrite(image->desc_fd, "x", 1, 0), -1);
	CHECK_INT(errno, EPERM);
	char link[64], name[128] = "";
	snprintf(link, sizeof(link), "/proc/self/fd/%d", image->fd);
	CHECK(readlink(link, name, sizeof(name) - 1) > 0);
	CHECK(strncmp(name, "/memfd:ramet-seed-abcdef01", 26) == 0);
	CHECK(fcntl(image->fd, F_GETFD) & FD_CLOEXEC);
}

static void test_bad_descriptors_are_refused_and_leak_nothing(void)
{
	struct ramet_err err = {0};
	struct image *image = NULL;
	size_t len = 0;
	unsigned fds = suite_count_fds();
	auto_free unsigned char *bytes = fixture_descriptor(&three, &len);
	REQUIRE(bytes != NULL);
	CHECK_INT(image_create(bytes, 10, &image, &err), RAMET_EPROTO);
	CHECK_INT(image_create(bytes, DESCRIPTOR_MAX_BYTES + 1, &image, &err), RAMET_EPROTO);
	bytes[0] ^= 1;
	CHECK(image_create(bytes, len, &image, &err) < 0);
	CHECK(err.msg[0] != '\0');
	CHECK(image == NULL);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_last_put_gives_everything_back(void)
{
	unsigned fds = suite_count_fds();
	struct image *image = fixture_image(&three, true);
	REQUIRE(image != NULL);
	struct image *again = image_get(image);
	image_put(image);
	CHECK(fixture_check(0, again->base));
	image_put(again);
	image_put(NULL);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_image_without_pages(void)
{
	const struct fixture none = {.pieces = {{FIXTURE_BASE, 4, PIECE_ANON, RW}}, .npieces = 1};
	auto_image struct image *image = fixture_image(&none, false);
	REQUIRE(image != NULL);
	CHECK(image->base == NULL);
	CHECK(image_complete(image));
	CHECK_INT(image_store(image, 0, 1, ""), RAMET_EIO);
}

SUITE_MAIN("image", TEST(test_new_image_has_only_its_zero_pages),
	TEST(test_stored_pages_lie_where_the_descriptor_says), TEST(test_store_across_pieces),
	TEST(test_store_beyond_the_image_is_refused),
	TEST(test_zero_page_becomes_memory_when_asked), TEST(test_files_are_sealed_and_named),
	TEST(test_bad_descriptors_are_refused_and_leak_nothing),
	TEST(test_last_put_gives_everything_back), TEST(test_image_without_pages))
