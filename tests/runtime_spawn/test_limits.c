/* Groups: limits, and that their cgroups go away. */
#include "tests/runtime_spawn/fixture.h"
#include "tests/runtime_spawn/tests.h"

#include <signal.h>
#include <string.h>

/* started, or skipped where there are no cgroups */
static bool limits_start(struct fixture *f)
{
	if (!fixture_start(f, 2))
		return false;
	if (strcmp(spawn_client_caps(f->client)->cgroup, "none") != 0)
		return true;
	suite_skip("%s", spawn_client_caps(f->client)->detail);
	fixture_stop(f);
	return false;
}

void test_memory_limit(void)
{
	struct fixture f;
	struct host h;
	if (!limits_start(&f))
		return;
	struct host_options options = {
		.what = "eat", .arg = "67108864", .group = "memory", .limits = {.mem = 32u << 20}};
	if (strstr(spawn_client_caps(f.client)->detail, "limit of memory")) {
		suite_skip("%s", spawn_client_caps(f.client)->detail);
	} else {
		REQUIRE(host_begin(&f, &h, &options));
		CHECK(host_started(&h));
		CHECK(host_finish(&h));
		CHECK_INT(h.how.signal, SIGKILL);
		host_close(&h);
		options.limits.mem = 256u << 20; /* a new limit of the same group */
		REQUIRE(host_run(&f, &h, &options));
		CHECK_STR(host_value(&h, "ate"), "67108864");
		host_close(&h);
	}
	fixture_stop(&f);
}

void test_process_limit(void)
{
	struct fixture f;
	struct host h;
	if (!limits_start(&f))
		return;
	struct host_options options = {
		.what = "forks", .arg = "20", .group = "pids", .limits = {.pids = 8}};
	if (strstr(spawn_client_caps(f.client)->detail, "limit of pids")) {
		suite_skip("%s", spawn_client_caps(f.client)->detail);
	} else {
		REQUIRE(host_run(&f, &h, &options));
		CHECK_STR(host_value(&h, "children"), "7");
		host_close(&h);
	}
	fixture_stop(&f);
}

void test_group_is_removed_when_empty(void)
{
	struct fixture f;
	struct host h;
	if (!limits_start(&f))
		return;
	unsigned empty = count_cgroups(f.node);
	REQUIRE(host_begin(
		&f, &h, &(struct host_options){.what = "serve", .group = "short-lived"}));
	REQUIRE(host_started(&h));
	CHECK(count_cgroups(f.node) > empty);
	close_reset(&h.control);
	CHECK(host_finish(&h));
	host_close(&h);
	while (count_cgroups(f.node) > empty) /* a timer tries until the kernel lets go */
		REQUIRE(loop_turn(f.loop, 10000000, NULL) == 0);
	fixture_stop(&f);
}

void test_bad_group_is_refused(void)
{
	static const char *const names[] = {"../escape", "a/b", ".", "a b"};
	struct fixture f;
	struct host h;
	if (!limits_start(&f))
		return;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		REQUIRE(host_begin(
			&f, &h, &(struct host_options){.what = "exit", .group = names[i]}));
		CHECK(!host_started(&h));
		CHECK_INT(h.result.err.code, RAMET_EINVAL);
		host_close(&h);
	}
	fixture_stop(&f);
}
