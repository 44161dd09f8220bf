/* Groups: limits, and that their cgroups go away. */
#include "tests/runtime_spawn/fixture.h"
#include "tests/runtime_spawn/tests.h"

#include <signal.h>
#include <stdlib.h>
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

/* a host that eats 64 MiB, in a group of its own, and how that ended */
static void eat(struct fixture *f, const char *group, uint64_t own, uint64_t tenant, int signal,
	enum spawn_limit limit)
{
	struct host h;
	const struct host_options options = {
		.what = "eat",
		.arg = "67108864",
		.group = group,
		.limits = {.mem = own},
		.tenant_limits = {.mem = tenant},
	};
	REQUIRE(host_begin(f, &h, &options));
	CHECK(host_started(&h));
	CHECK(host_finish(&h));
	CHECK_INT(h.how.signal, signal);
	CHECK_INT(h.how.limit, limit);
	host_close(&h);
}

/* whose limit it was is told; other groups of the tenant, and of others, are as before */
void test_tenant_limits(void)
{
	struct fixture f;
	if (!limits_start(&f))
		return;
	if (strstr(spawn_client_caps(f.client)->detail, "limit of memory")) {
		suite_skip("%s", spawn_client_caps(f.client)->detail);
	} else {
		const uint64_t little = 32u << 20;
		const uint64_t enough = 256u << 20;
		eat(&f, "one", 0, little, SIGKILL, SPAWN_LIMIT_TENANT_MEMORY);
		eat(&f, "two", enough, little, SIGKILL, SPAWN_LIMIT_TENANT_MEMORY);
		eat(&f, "two", little, enough, SIGKILL, SPAWN_LIMIT_MEMORY);
		eat(&f, "one", 0, enough, 0, SPAWN_LIMIT_NONE); /* a new limit */
		eat(&f, "one", 0, little, SIGKILL, SPAWN_LIMIT_TENANT_MEMORY);
		eat(&f, "one", 0, 0, 0, SPAWN_LIMIT_NONE); /* outside of the tenant's */
	}
	fixture_stop(&f); /* which finds all groups removed */
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

void test_cpu_limit(void)
{
	struct fixture f;
	struct host h;
	if (!limits_start(&f))
		return;
	struct host_options options = {
		.what = "burn", .arg = "100", .group = "cpu", .limits = {.cpu = 100}};
	if (strstr(spawn_client_caps(f.client)->detail, "limit of cpu")) {
		suite_skip("%s", spawn_client_caps(f.client)->detail);
	} else {
		REQUIRE(host_run(&f, &h, &options));
		/* 100 ms of a tenth of a core: nine periods of 100 ms pass at least */
		CHECK(atoi(host_value(&h, "took")) >= 800);
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
