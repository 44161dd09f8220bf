/* Clones of templates that have given up all files but for reading (rfork/landlock.h), with no
 * system-call filter beside that would refuse the same. */
#include "rfork/landlock.h"

#include "base/cleanup.h"
#include "tests/lib/suite.h"
#include "tests/rfork/files_host.h"
#include "tests/rfork/fork_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long version; /* of Landlock here; less than 1: none */

struct world {
	char dir[64];
	struct fork_world fork;
};

static bool world_open(struct world *w, bool landlock)
{
	struct ramet_err err = {0};
	char path[80];
	*w = (struct world){0};
	snprintf(w->dir, sizeof(w->dir), "/tmp/ramet-test-XXXXXX");
	if (!CHECK(mkdtemp(w->dir) != NULL))
		return false;
	snprintf(path, sizeof(path), "%s/file", w->dir);
	FILE *file = fopen(path, "w");
	if (!CHECK(file != NULL))
		return false;
	fclose(file);
	const char *const argv[] = {"files_host", w->dir, NULL};
	const struct fork_setup setup = {.landlock = landlock};
	int rc = fork_world_start(&w->fork, argv, &err);
	if (rc == 0)
		rc = fork_world_capture(&w->fork, &err);
	if (rc == 0)
		rc = fork_world_build(&w->fork, &setup, &err);
	return suite_check_ok(rc, &err, "make a template", __FILE__, __LINE__);
}

static void world_close(struct world *w)
{
	static const char *const names[] = {"file", "new", "dir"};
	char path[80];
	fork_world_close(&w->fork);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
		(void)remove(path);
	}
	CHECK_INT(rmdir(w->dir), 0);
}

/* what a clone of its own gets for an answer; one that has run a program gives none */
static int attempt(struct world *w, uint64_t what)
{
	struct ramet_err err = {0};
	struct fork_clone clone;
	uint64_t error = 0;
	int rc = fork_world_clone(&w->fork, NULL, 0, &clone, &err);
	if (!suite_check_ok(rc, &err, "make a clone", __FILE__, __LINE__))
		return -1;
	CHECK_INT(write(clone.control, &what, sizeof(what)), sizeof(what));
	ssize_t n = read(clone.control, &error, sizeof(error));
	CHECK(n == (ssize_t)sizeof(error) || what == FILES_RUN);
	CHECK_INT(fork_clone_end(&clone), 0);
	return (int)error;
}

static void test_reading_is_left(void)
{
	struct world w;
	if (version < 1) {
		suite_skip("no Landlock in this kernel");
		return;
	}
	REQUIRE(world_open(&w, true));
	CHECK_INT(attempt(&w, FILES_READ), 0);
	CHECK_INT(attempt(&w, FILES_KEPT), 0);
	CHECK_INT(attempt(&w, FILES_WRITE), EACCES);
	CHECK_INT(attempt(&w, FILES_MAKE), EACCES);
	CHECK_INT(attempt(&w, FILES_REMOVE), EACCES);
	CHECK_INT(attempt(&w, FILES_MAKE_DIR), EACCES);
	CHECK_INT(attempt(&w, FILES_RUN), EACCES);
	if (version >= 3)
		CHECK_INT(attempt(&w, FILES_TRUNCATE), EACCES);
	if (version >= 4)
		CHECK_INT(attempt(&w, FILES_CONNECT), EACCES);
	if (version >= 6)
		CHECK_INT(attempt(&w, FILES_SIGNAL), EPERM);
	world_close(&w);
}

/* it is Landlock that refuses, and only where it was asked for */
static void test_without_all_goes(void)
{
	struct world w;
	REQUIRE(world_open(&w, false));
	for (uint64_t what = 0; what < FILES_ATTEMPTS; what++)
		CHECK_INT(attempt(&w, what == FILES_REMOVE ? FILES_READ : what),
			what == FILES_CONNECT ? ECONNREFUSED : 0);
	CHECK_INT(attempt(&w, FILES_REMOVE), 0);
	world_close(&w);
}

static void test_rights_of_each_version(void)
{
	const struct {
		long version;
		size_t len;
		struct landlock_attr attr;
	} known[] = {{1, 8, {0x1ff3, 0, 0}}, {2, 8, {0x3ff3, 0, 0}}, {3, 8, {0x7ff3, 0, 0}},
		{4, 16, {0x7ff3, 3, 0}}, {5, 16, {0xfff3, 3, 0}}, {6, 24, {0xfff3, 3, 3}},
		{99, 24, {0xfff3, 3, 3}}};
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct landlock_attr attr;
		CHECK_INT(landlock_attr(known[i].version, 0, &attr), known[i].len);
		CHECK(memcmp(&attr, &known[i].attr, sizeof(attr)) == 0);
		(void)landlock_attr(known[i].version, 1, &attr);
		CHECK_INT(attr.fs, known[i].attr.fs & ~UINT64_C(1));
	}
}

static void test_version(void)
{
	version = syscall(LANDLOCK_NR_CREATE, NULL, 0, LANDLOCK_ASK_VERSION);
	CHECK(version != 0);
}

SUITE_MAIN("landlock", TEST(test_version), TEST(test_rights_of_each_version),
	TEST(test_reading_is_left), TEST(test_without_all_goes))
