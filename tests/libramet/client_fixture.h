/* A client of the fake daemon, in a directory of its own; when it ends, no descriptor is left. */
#ifndef TESTS_LIBRAMET_CLIENT_FIXTURE_H
#define TESTS_LIBRAMET_CLIENT_FIXTURE_H

#include "ramet/ramet.h"
#include "tests/lib/suite.h"
#include "tests/libramet/fake_daemon.h"
#include "tests/libramet/temp_dir.h"

struct fixture {
	struct temp_dir dir;
	struct fake_daemon *fake;
	struct ramet *ramet;
	unsigned fds;
};

static inline int setup(struct fixture *f)
{
	struct ramet_err err = {0};
	f->fds = suite_count_fds();
	temp_dir_make(&f->dir);
	f->fake = fake_daemon_start(temp_dir_join(&f->dir, "sock"), 1);
	return f->fake ? ramet_open(f->dir.joined, &f->ramet, &err) : -1;
}

static inline void teardown(struct fixture *f)
{
	ramet_close(f->ramet);
	fake_daemon_stop(f->fake);
	temp_dir_remove(&f->dir);
	CHECK_INT(suite_count_fds(), f->fds);
}

#endif
