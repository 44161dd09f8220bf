/* The files of a deployment: which are taken, which are refused. */
#include "cluster/client_proto.h"
#include "libramet/files.h"
#include "libramet/samples.h"
#include "tests/lib/suite.h"
#include "tests/libramet/temp_dir.h"

#include <fcntl.h>

static void make_tree(struct temp_dir *dir)
{
	temp_dir_make(dir);
	temp_dir_write(dir, "app.py", "print(1)\n");
	temp_dir_write(dir, "ramet.yaml", "name: a\n");
	temp_dir_write(dir, ".hidden", "x");
	temp_dir_subdir(dir, "data");
	temp_dir_write(dir, "data/b.txt", "bb");
	temp_dir_write(dir, "data/a.txt", "");
	temp_dir_write(dir, "data/ramet.yaml", "kept: here\n");
	temp_dir_subdir(dir, "__pycache__");
	temp_dir_write(dir, "__pycache__/app.pyc", "x");
	chmod(temp_dir_write(dir, "run.sh", "#!/bin/sh\n"), 0755);
}

static void test_everything_below(void)
{
	struct temp_dir dir;
	struct files files = {0};
	struct ramet_err err = {0};
	make_tree(&dir);
	REQUIRE_OK(files_add_all(&files, dir.path, &err), &err);
	files_sort(&files);
	CHECK_INT(files.count, 5);
	static const char *const paths[] = {
		"app.py", "data/a.txt", "data/b.txt", "data/ramet.yaml", "run.sh"};
	for (size_t i = 0; i < files.count && i < 5; i++)
		CHECK_STR(files.v[i].path, paths[i]);
	CHECK_INT(files.v[0].mode, 0644);
	CHECK_INT(files.v[4].mode, 0755);
	CHECK_INT(files_find(&files, "data/b.txt")->len, 2);
	CHECK(files_find(&files, "data") == NULL);
	files_fini(&files);
	temp_dir_remove(&dir);
}

static void test_named_once(void)
{
	struct temp_dir dir;
	struct files files = {0};
	struct ramet_err err = {0};
	make_tree(&dir);
	REQUIRE_OK(files_add(&files, dir.path, "data/b.txt", &err), &err);
	REQUIRE_OK(files_add(&files, dir.path, "data/", &err), &err);
	REQUIRE_OK(files_add(&files, dir.path, ".hidden", &err), &err); /* named, so wanted */
	files_sort(&files);
	CHECK_INT(files.count, 4);
	CHECK_INT(files.bytes, 2 + 11 + 1);
	files_fini(&files);
	temp_dir_remove(&dir);
}

static void test_refused(void)
{
	static const char *const bad[] = {"../etc/passwd", "/etc/passwd", "data/../app.py", "", ".",
		"data//b.txt", "nothing"};
	struct temp_dir dir;
	struct ramet_err err = {0};
	make_tree(&dir);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct files files = {0};
		int rc = files_add(&files, dir.path, bad[i], &err);
		CHECK_INT(rc, i == 6 ? RAMET_ENOTFOUND : RAMET_EINVAL);
		files_fini(&files);
	}
	struct files files = {0};
	mkfifo(temp_dir_join(&dir, "fifo"), 0600);
	CHECK_INT(files_add(&files, dir.path, "fifo", &err), RAMET_EINVAL);
	CHECK(strstr(err.msg, "fifo") != NULL);
	files_fini(&files);
	temp_dir_remove(&dir);
}

static void test_too_large(void)
{
	struct temp_dir dir;
	struct files files = {0};
	struct ramet_err err = {0};
	temp_dir_make(&dir);
	int fd = open(temp_dir_join(&dir, "big"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0 && ftruncate(fd, CLIENT_MAX_BUNDLE + 1L) == 0);
	close(fd);
	CHECK_INT(files_add_all(&files, dir.path, &err), RAMET_ELIMIT);
	CHECK(strstr(err.msg, "big") != NULL);
	files_fini(&files);
	temp_dir_remove(&dir);
}

static void test_link_loop_ends(void)
{
	struct temp_dir dir;
	struct files files = {0};
	struct ramet_err err = {0};
	temp_dir_make(&dir);
	REQUIRE(symlink(".", temp_dir_join(&dir, "loop")) == 0);
	CHECK_INT(files_add_all(&files, dir.path, &err), RAMET_ELIMIT);
	files_fini(&files);
	temp_dir_remove(&dir);
}

static void test_samples(void)
{
	struct temp_dir dir;
	struct samples samples = {0};
	struct ramet_err err = {0};
	temp_dir_make(&dir);
	temp_dir_write(&dir, "samples", "{\"a\": 1}\n\n  \n2");
	REQUIRE_OK(samples_load(&samples, dir.joined, &err), &err);
	CHECK_INT(samples.count, 2);
	struct buf b = {0};
	samples_pack(&samples, &b);
	static const unsigned char packed[] = "\x92\xc4\x08{\"a\": 1}\xc4\x01"
					      "2";
	CHECK_INT(b.len, sizeof(packed) - 1);
	CHECK(b.len == sizeof(packed) - 1 && memcmp(b.data, packed, b.len) == 0);
	buf_fini(&b);
	samples_fini(&samples);
	CHECK(samples_load(&samples, temp_dir_join(&dir, "none"), &err) < 0);
	temp_dir_remove(&dir);
}

SUITE_MAIN("client_files", TEST(test_everything_below), TEST(test_named_once), TEST(test_refused),
	TEST(test_too_large), TEST(test_link_loop_ends), TEST(test_samples))
