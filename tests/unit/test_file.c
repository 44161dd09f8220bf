/* base/file: bounds, atomic replacement, directories. */
#include "base/cleanup.h"
#include "base/file.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static const char *at(const char *name)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ramet-file-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
}

static void test_bounds_of_reading(void)
{
	for (size_t len = 4090; len < 4100; len++) {
		auto_close int fd = memfd_create("t", MFD_CLOEXEC);
		auto_free char *data = NULL, *more = NULL;
		struct ramet_err err = {0};
		size_t got = 0;
		REQUIRE(ftruncate(fd, (off_t)len) == 0);
		REQUIRE_OK(file_read_fd(fd, "x", len, &data, &got, &err), &err);
		CHECK_INT(got, len);
		CHECK_INT(data[len], 0);
		lseek(fd, 0, SEEK_SET);
		CHECK_INT(file_read_fd(fd, "x", len - 1, &more, NULL, &err), RAMET_ELIMIT);
		CHECK(more == NULL);
	}
}

static void test_reading_what_has_no_size(void)
{
	auto_free char *data = NULL;
	size_t len = 0;
	struct ramet_err err = {0};
	REQUIRE_OK(file_read("/proc/self/maps", 1u << 20, &data, &len, &err), &err);
	CHECK(len > 100 && strlen(data) == len);
	CHECK_INT(file_read("/nonexistent/x", 10, &data, &len, &err), RAMET_EIO);
	CHECK_INT(err.sys, ENOENT);
	CHECK_STR(err.msg, "open /nonexistent/x: No such file or directory");
	CHECK_INT(file_read("/", 10, &data, &len, &err), RAMET_EIO);
	CHECK_INT(err.sys, EISDIR);
}

static void test_replace(void)
{
	make_dir();
	struct ramet_err err = {0};
	struct stat st;
	auto_free char *data = NULL;
	unsigned fds = suite_count_fds();
	REQUIRE_OK(file_replace(at("f"), "old", 3, 0600, &err), &err);
	REQUIRE_OK(file_replace(at("f"), "newer", 5, 0640, &err), &err);
	REQUIRE_OK(file_read(at("f"), 10, &data, NULL, &err), &err);
	CHECK_STR(data, "newer");
	CHECK(stat(at("f"), &st) == 0 && (st.st_mode & 0777) == 0640);
	CHECK_INT(mkdir(at("d"), 0700), 0);
	CHECK_INT(file_replace(at("d"), "x", 1, 0600, &err), RAMET_EIO);
	CHECK_INT(file_replace(at("no/f"), "x", 1, 0600, &err), RAMET_EIO);
	CHECK_INT(err.sys, ENOENT);
	CHECK_INT(suite_count_fds(), fds);
	rmdir(at("d"));
	unlink(at("f"));
	CHECK_INT(rmdir(dir), 0); /* no temporary file is left */
}

static void test_mkdirs(void)
{
	make_dir();
	struct ramet_err err = {0};
	struct stat st;
	REQUIRE_OK(file_mkdirs(at("a//b/c/"), 0700, &err), &err);
	REQUIRE_OK(file_mkdirs(at("a/b/c"), 0700, &err), &err);
	CHECK(stat(at("a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
	CHECK_INT(file_replace(at("a/f"), "x", 1, 0600, &err), 0);
	CHECK_INT(file_mkdirs(at("a/f/g"), 0700, &err), RAMET_EIO);
	CHECK(strstr(err.msg, "/a/f: ") != NULL);
	CHECK_INT(file_mkdirs("", 0700, &err), RAMET_EINVAL);
	CHECK_INT(file_mkdirs("/", 0700, &err), 0);
	unlink(at("a/f"));
	rmdir(at("a/b/c"));
	rmdir(at("a/b"));
	rmdir(at("a"));
	CHECK_INT(rmdir(dir), 0);
}

static void test_write(void)
{
	struct ramet_err err = {0};
	auto_close int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	CHECK_INT(file_write_fd(full, "x", 1, &err), RAMET_EIO);
	CHECK_INT(err.sys, ENOSPC);
}

SUITE_MAIN("file", TEST(test_bounds_of_reading), TEST(test_reading_what_has_no_size),
	TEST(test_replace), TEST(test_mkdirs), TEST(test_write))
