/* What a capture does with memory that is not plain: what clone(2) leaves out or wipes, zeros,
 * mappings of files, memory that nobody may read. */
#include "base/err.h"
#include "base/fault.h"
#include "tests/lib/suite.h"
#include "tests/rfork/fork_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (1ull << 20)

static const char *const *host_of(const char *mode, const char *mib)
{
	static const char *argv[4];
	argv[0] = "memory_host";
	argv[1] = mode;
	argv[2] = mib;
	return argv;
}

static void test_memory_that_fork_does_not_copy_is_refused(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	char where[32];
	REQUIRE_OK(fork_world_start(&w, host_of("dontfork", "1"), &err), &err);
	CHECK_INT(fork_world_capture(&w, &err), RAMET_EREFUSED);
	snprintf(where, sizeof(where), "%#llx",
		(unsigned long long)memory_ask(w.control, MEMORY_ADDR, 0) + 4096);
	CHECK(strstr(err.msg, where) != NULL);
	CHECK(strstr(err.msg, "MADV_DONTFORK") != NULL);
	CHECK(w.image == NULL);
	fork_world_close(&w);
}

/* zeros to a clone, and again zeros to what the clone forks */
static void check_wiped(const char *mode)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	int rc = fork_world_open(&w, host_of(mode, "4"), &err);
	if (rc == RAMET_ENOTSUP) {
		suite_skip("%s", err.msg);
		return;
	}
	REQUIRE_OK(rc, &err);
	CHECK(image_resident(w.image) < 1 * MIB);
	CHECK_INT(memory_ask(w.control, MEMORY_READ, 7), 8); /* the host has kept it */
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), 0);
	CHECK_INT(memory_ask(clone.control, MEMORY_WRITE, 7), MEMORY_VALUE);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, 7), MEMORY_VALUE);
	CHECK_INT(memory_ask(clone.control, MEMORY_CHILD, 7), 0);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

static void test_memory_wiped_on_fork_is_zero(void)
{
	check_wiped("wipe");
}

static void test_droppable_memory_is_zero(void)
{
	check_wiped("droppable");
}

static void test_zeros_are_not_stored(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone a, b;
	REQUIRE_OK(fork_world_open(&w, host_of("zeros", "64"), &err), &err);
	CHECK(w.stats.zero_pages >= 64 * MIB / 4096 - 1);
	CHECK(w.stats.pages < 1024);
	CHECK(w.stats.stored_pages <= w.stats.pages);
	CHECK_INT(image_resident(w.image), w.stats.stored_pages * 4096);
	CHECK(image_complete(w.image));
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &a, &err), &err);
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &b, &err), &err);
	CHECK_INT(memory_ask(a.control, MEMORY_SUM, 0), MEMORY_VALUE);
	CHECK_INT(memory_ask(a.control, MEMORY_WRITE, 9000), MEMORY_VALUE);
	CHECK_INT(memory_ask(a.control, MEMORY_SUM, 0), 2 * MEMORY_VALUE);
	CHECK_INT(memory_ask(b.control, MEMORY_SUM, 0), MEMORY_VALUE);
	CHECK_INT(fork_clone_end(&a), 0);
	CHECK_INT(fork_clone_end(&b), 0);
	fork_world_close(&w);
}

/* zeros that were written over a file's bytes must not become the file's bytes again */
static void test_zeros_written_over_a_file(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	char path[512];
	uint64_t between;
	snprintf(path, sizeof(path), "%s/memory_host", getenv("RAMET_BIN"));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	REQUIRE(pread(fd, &between, 8, 4096) == 8);
	close(fd);
	REQUIRE_OK(fork_world_open(&w, host_of("file", "0"), &err), &err);
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, MEMORY_FILE_ZERO), 0);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, 1), between);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, MEMORY_FILE_WRITTEN), MEMORY_VALUE);
	uint64_t area = memory_ask(clone.control, MEMORY_ADDR, 0);
	const struct seed_piece *piece = descriptor_piece_of_addr(&w.image->desc, area);
	REQUIRE(piece != NULL);
	CHECK_INT(piece->kind, PIECE_IMAGE);
	CHECK(image_page_is_zero(w.image, piece->image_page));
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

static void test_memory_without_access_is_carried_over(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	REQUIRE_OK(fork_world_open(&w, host_of("hidden", "1"), &err), &err);
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_SHOW, 0), 0);
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), 256 * 257 / 2);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

#ifdef RAMET_FAULT_POINTS
static void test_failed_read_fails_the_capture_alone(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	unsigned fds = suite_count_fds();
	REQUIRE_OK(fork_world_start(&w, host_of("fill", "1"), &err), &err);
	fault_set("capture.read", 2, 1);
	CHECK_INT(fork_world_capture(&w, &err), RAMET_EIO);
	fault_set("capture.read", 0, 0);
	CHECK(w.image == NULL);
	CHECK_INT(memory_ask(w.control, MEMORY_SUM, 0), 256 * 257 / 2); /* the host goes on */
	fork_world_close(&w);
	CHECK_INT(suite_count_fds(), fds);
}
#else
static void test_failed_read_fails_the_capture_alone(void)
{
	suite_skip("built without fault points");
}
#endif

/* what the image has behind it is a neighbour's; glibc's realloc() grows so, past any interposition
 */
static void test_memory_grown_by_mremap_is_zero(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	REQUIRE_OK(fork_world_open(&w, host_of("fill", "2"), &err), &err);
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	const uint64_t pages = 2 * MIB / 4096;
	CHECK_INT(memory_ask(clone.control, MEMORY_GROW, 0), 0);
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), pages * (pages + 1) / 2);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

static void test_data_of_a_program_is_one_piece(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	REQUIRE_OK(fork_world_open(&w, host_of("fill", "1"), &err), &err);
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(w.control, MEMORY_STATICS, 0), MEMORY_STATICS_SUM);
	CHECK_INT(memory_ask(clone.control, MEMORY_STATICS, 0), MEMORY_STATICS_SUM);
	const struct seed_piece *data =
		descriptor_piece_of_addr(&w.image->desc, memory_ask(clone.control, MEMORY_DATA, 0));
	const struct seed_piece *bss =
		descriptor_piece_of_addr(&w.image->desc, memory_ask(clone.control, MEMORY_BSS, 0));
	REQUIRE(data != NULL && bss != NULL);
	CHECK_INT(data->kind, PIECE_IMAGE);
	CHECK(data == bss);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

SUITE_MAIN("capture", TEST(test_memory_grown_by_mremap_is_zero),
	TEST(test_data_of_a_program_is_one_piece),
	TEST(test_memory_that_fork_does_not_copy_is_refused),
	TEST(test_memory_wiped_on_fork_is_zero), TEST(test_droppable_memory_is_zero),
	TEST(test_zeros_are_not_stored), TEST(test_zeros_written_over_a_file),
	TEST(test_memory_without_access_is_carried_over),
	TEST(test_failed_read_fails_the_capture_alone))
