/* What a host sees, may do, and shares. */
#include "tests/runtime_spawn/fixture.h"
#include "tests/runtime_spawn/tests.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_number(const struct host *h, const char *key, long expected)
{
	const char *value = host_value(h, key);
	if (!suite_check(value[0] && atol(value) == expected, key, __FILE__, __LINE__))
		fprintf(stderr, "    %s is '%s', not %ld\n", key, value, expected);
}

static void check_no_privileges(const struct host *h)
{
	static const char none[] = "0000000000000000";
	CHECK_STR(host_value(h, "CapInh"), none);
	CHECK_STR(host_value(h, "CapPrm"), none);
	CHECK_STR(host_value(h, "CapEff"), none);
	CHECK_STR(host_value(h, "CapBnd"), none);
	CHECK_STR(host_value(h, "CapAmb"), none);
	check_number(h, "NoNewPrivs", 1);
	if (spawn_client_caps(h->f->client)->seccomp)
		check_number(h, "Seccomp", 2);
}

static void check_files(const struct host *h)
{
	static const char *const readonly[] = {"write-usr", "write-root", "write-ramet",
		"write-run", "write-proc-sys", "write-proc-oom"};
	for (size_t i = 0; i < ARRAY_LEN(readonly); i++) {
		const char *value = host_value(h, readonly[i]);
		suite_check(atoi(value) == EROFS || atoi(value) == EACCES, readonly[i], __FILE__,
			__LINE__);
	}
	check_number(h, "write-tmp", 0);
	check_number(h, "write-shm", 0);
	check_number(h, "write-null", 0);
	check_number(h, "sys-cgroup", -1);
	check_number(h, "sys-cpu", 0);
	check_number(h, "python", 0);
}

void test_host_sees_only_its_sandbox(void)
{
	struct fixture f;
	struct host h;
	REQUIRE(fixture_start(&f, 1));
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "look"}));
	check_number(&h, "uid", TEST_UID);
	check_number(&h, "gid", TEST_UID);
	check_number(&h, "groups", 0);
	check_number(&h, "pid", 3); /* a clone would be 2: see runtime/spawn/cold.c */
	check_number(&h, "processes", 2);
	CHECK_STR(host_value(&h, "cwd"), "/");
	CHECK_STR(host_value(&h, "env"), "yes");
	CHECK_STR(host_value(&h, "home"), "");
	CHECK_STR(host_value(&h, "fds"), "0 1 2 3");
	CHECK_STR(host_value(&h, "SigBlk"), "0000000000000000");
	CHECK_STR(host_value(&h, "SigIgn"), "0000000000000000");
	check_number(&h, "stdin", 0);
	check_number(&h, "control", 1);
	check_number(&h, "dumpable", 1);
	check_number(&h, "loopback", 0);
	check_no_privileges(&h);
	check_files(&h);
	host_close(&h);
	fixture_stop(&f);
}

/* uid 0 would get capabilities back by executing a program, and may write what belongs to root */
void test_root_tenant_has_no_capabilities(void)
{
	struct fixture f;
	struct host h;
	REQUIRE(fixture_start(&f, 1));
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "look", .uid = ROOT_UID}));
	check_number(&h, "uid", 0);
	check_number(&h, "write-usr", EROFS);
	check_number(&h, "write-etc", EROFS);
	check_number(&h, "write-proc-sys", EROFS);
	check_no_privileges(&h);
	check_files(&h);
	host_close(&h);
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "gain", .uid = ROOT_UID}));
	check_no_privileges(&h);
	host_close(&h);
	fixture_stop(&f);
}

static void write_text(const char *dir, const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *file = fopen(path, "we");
	REQUIRE(file != NULL);
	fputs(text, file);
	fclose(file);
	CHECK_INT(chmod(path, 0644), 0);
}

void test_directory_in_store_and_in_tmp(void)
{
	struct fixture f;
	struct host h;
	char dir[128], other[] = "/tmp/ramet-test-dir-XXXXXX";
	REQUIRE(fixture_start(&f, 1));
	snprintf(dir, sizeof(dir), "%s/app", f.store);
	REQUIRE(mkdir(dir, 0755) == 0); /* made after the sandboxes were */
	write_text(dir, "data", "stored");
	REQUIRE(mkdtemp(other) && chmod(other, 0755) == 0);
	write_text(other, "data", "elsewhere");

	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "cat", .arg = "data", .dir = dir}));
	CHECK_STR(host_value(&h, "text"), "stored");
	host_close(&h);
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "look", .dir = dir}));
	CHECK_STR(host_value(&h, "cwd"), "/ramet/app");
	host_close(&h);
	REQUIRE(host_run(
		&f, &h, &(struct host_options){.what = "cat", .arg = "data", .dir = other}));
	CHECK_STR(host_value(&h, "text"), "elsewhere");
	host_close(&h);
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "look", .dir = other}));
	CHECK_STR(host_value(&h, "cwd"), other);
	host_close(&h);
	/* the machine's /tmp itself is not seen */
	char hidden[64];
	snprintf(hidden, sizeof(hidden), "%s/data", other);
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "cat", .arg = hidden}));
	check_number(&h, "error", ENOENT);
	host_close(&h);
	snprintf(hidden, sizeof(hidden), "rm -r %s", other);
	CHECK_INT(system(hidden), 0);
	fixture_stop(&f);
}

static const char *const answered[] = {"clone", "clone3", "setns", "socket", "personality-ask"};

/* expected: of those answered; all others are refused */
static void check_filter(const struct host_options *options, const int expected[])
{
	struct fixture f;
	struct host h;
	REQUIRE(fixture_start(&f, 1));
	if (!spawn_client_caps(f.client)->seccomp) {
		suite_skip("%s", spawn_client_caps(f.client)->detail);
		fixture_stop(&f);
		return;
	}
	REQUIRE(host_run(&f, &h, options));
	unsigned refused = 0;
	for (char *line = h.output; line && *line; line = strchr(line, '\n')) {
		char name[32];
		int error;
		line += *line == '\n';
		if (sscanf(line, "%31s %d", name, &error) != 2)
			break;
		int want = EPERM;
		for (size_t i = 0; i < ARRAY_LEN(answered); i++)
			want = strcmp(name, answered[i]) == 0 ? expected[i] : want;
		if (!suite_check(error == want, name, __FILE__, __LINE__))
			fprintf(stderr, "    %s: errno %d, not %d\n", name, error, want);
		refused += error == EPERM;
	}
	CHECK(refused > 45);
	host_close(&h);
	fixture_stop(&f);
}

void test_filter_refuses(void)
{
	static const int expected[] = {0, ENOSYS, EBADF, EINVAL, 0};
	check_filter(&(struct host_options){.what = "syscalls", .uid = ROOT_UID}, expected);
}

void test_hosts_of_isolates_are_refused_more(void)
{
	static const int expected[] = {0, ENOSYS, EBADF, EPERM, EPERM};
	check_filter(
		&(struct host_options){
			.what = "syscalls", .uid = ROOT_UID, .limits = {.isolates = true}},
		expected);
}

void test_tenants_have_their_own_namespaces(void)
{
	static const char *const shared[] = {"ns-net", "ns-ipc", "ns-uts"};
	static const char *const own[] = {"ns-pid", "ns-mnt"};
	struct fixture f;
	struct host a, b, c;
	REQUIRE(fixture_start(&f, 3));
	/* all at once: a number of an ended namespace may be used again */
	REQUIRE(host_begin(&f, &a, &(struct host_options){.what = "look"}));
	REQUIRE(host_begin(&f, &b, &(struct host_options){.what = "look"}));
	REQUIRE(host_begin(&f, &c, &(struct host_options){.what = "look", .uid = OTHER_UID}));
	REQUIRE(host_finish(&a) && host_finish(&b) && host_finish(&c));
	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		char ours[64] = "";
		snprintf(ours, sizeof(ours), "/proc/self/ns/%s", shared[i] + 3);
		char link[64] = "";
		CHECK(readlink(ours, link, sizeof(link) - 1) > 0);
		CHECK(host_value(&a, shared[i])[0] != '\0');
		CHECK_STR(host_value(&a, shared[i]), host_value(&b, shared[i]));
		CHECK(strcmp(host_value(&a, shared[i]), host_value(&c, shared[i])) != 0);
		CHECK(strcmp(host_value(&a, shared[i]), link) != 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		CHECK(host_value(&a, own[i])[0] != '\0');
	host_close(&a);
	host_close(&b);
	host_close(&c);
	fixture_stop(&f);
}

void test_nothing_passes_between_sandboxes(void)
{
	struct fixture f;
	struct host h;
	REQUIRE(fixture_start(&f, 1));
	for (int i = 0; i < 3; i++) {
		REQUIRE(host_run(&f, &h,
			&(struct host_options){.what = "cat", .arg = "/tmp/probe-was-here"}));
		check_number(&h, "error", ENOENT);
		host_close(&h);
		REQUIRE(host_run(
			&f, &h, &(struct host_options){.what = "look"})); /* leaves it there */
		check_number(&h, "write-tmp", 0);
		host_close(&h);
	}
	CHECK(access("/tmp/probe-was-here", F_OK) < 0);
	fixture_stop(&f);
}

struct refill {
	struct fixture *f;
	uint64_t ready;
	bool asked;
};

static void on_stats(void *user, struct spawn_result *result)
{
	struct refill *refill = user;
	refill->ready = result->sandboxes;
	refill->asked = false;
}

static bool is_full(void *arg)
{
	struct refill *refill = arg;
	if (refill->ready == 3)
		return true;
	if (!refill->asked)
		refill->asked = spawn_stats(refill->f->client, on_stats, refill, NULL, NULL) == 0;
	return false;
}

void test_pool_is_refilled(void)
{
	struct fixture f;
	struct host h;
	REQUIRE(fixture_start(&f, 3));
	struct refill refill = {.f = &f};
	CHECK(fixture_wait(&f, is_full, &refill));
	for (int i = 0; i < 5; i++) {
		REQUIRE(host_run(&f, &h, &(struct host_options){.what = "exit"}));
		host_close(&h);
	}
	refill.ready = 0;
	CHECK(fixture_wait(&f, is_full, &refill));
	fixture_stop(&f);
}

static bool start_with_faults(struct fixture *f, const char *faults)
{
	setenv("RAMET_FAULT", faults, 1);
	bool started = fixture_start(f, 2);
	unsetenv("RAMET_FAULT");
	return started;
}

static pid_t find_helper(pid_t spawn)
{
	char path[64];
	int pid;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", spawn, spawn);
	auto_fclose FILE *children = fopen(path, "re");
	while (children && fscanf(children, "%d", &pid) == 1) {
		char comm[32] = "";
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		auto_fclose FILE *file = fopen(path, "re");
		if (file && fgets(comm, sizeof(comm), file) && strcmp(comm, "ramet-sandbox\n") == 0)
			return pid;
	}
	return -1;
}

void test_helper_is_started_again(void)
{
	struct fixture f;
	struct host h;
	REQUIRE(fixture_start(&f, 2));
	for (int i = 0; i < 3; i++) {
		pid_t helper = find_helper(spawn_client_pid(f.client));
		REQUIRE(helper > 0 && kill(helper, SIGKILL) == 0);
		for (int n = 0; n < 4; n++) { /* more than are ready */
			REQUIRE(host_run(&f, &h, &(struct host_options){.what = "look"}));
			check_number(&h, "processes", 2);
			host_close(&h);
		}
	}
	fixture_stop(&f);
}

/* the next one in the pool is tried, once */
void test_dying_sandbox_is_replaced(void)
{
	struct fixture f;
	struct host h;
	REQUIRE(start_with_faults(&f, "sandbox.dying:1:1"));
	for (int i = 0; i < 3; i++) {
		REQUIRE(host_run(&f, &h, &(struct host_options){.what = "look"}));
		check_number(&h, "processes", 2);
		host_close(&h);
	}
	fixture_stop(&f);

	REQUIRE(start_with_faults(&f, "sandbox.dying:0:2"));
	REQUIRE(host_begin(&f, &h, &(struct host_options){.what = "look"}));
	CHECK(!host_started(&h));
	CHECK_INT(h.result.err.code, RAMET_EAGAIN);
	host_close(&h);
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "look"}));
	host_close(&h);
	fixture_stop(&f);
}
