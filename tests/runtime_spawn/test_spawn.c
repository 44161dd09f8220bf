/* The conversation with ramet-spawn: hello, failures, requests in flight, garbage. */
#include "base/clock.h"
#include "base/frame.h"
#include "runtime/spawn/exec.h"
#include "tests/runtime_spawn/fixture.h"
#include "tests/runtime_spawn/tests.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void test_hello_tells_what_the_machine_can(void)
{
	struct fixture f;
	REQUIRE(fixture_start(&f, 2));
	const struct spawn_caps *caps = spawn_client_caps(f.client);
	CHECK(caps->sandbox);
	CHECK(strcmp(caps->cgroup, "v1") == 0 || strcmp(caps->cgroup, "v2") == 0 ||
		strcmp(caps->cgroup, "none") == 0);
	if (strcmp(caps->cgroup, "none") == 0 || !caps->seccomp || !caps->userfaultfd)
		CHECK(caps->detail[0] != '\0');
	fixture_stop(&f);
}

void test_start_of_a_missing_program_is_told(void)
{
	struct ramet_err err = {0};
	struct loop *loop;
	struct spawn_client *client = NULL;
	unsigned fds = suite_count_fds();
	REQUIRE_OK(loop_create(&loop, &err), &err);
	struct spawn_options options = {.spawn_path = "/nonexistent/ramet-spawn"};
	CHECK_INT(spawn_client_start(loop, &options, NULL, NULL, &client, &err), RAMET_ENOTFOUND);
	CHECK(strstr(err.msg, "/nonexistent/ramet-spawn") != NULL);
	options.spawn_path = "/bin/false"; /* ends without a word */
	CHECK_INT(spawn_client_start(loop, &options, NULL, NULL, &client, &err), RAMET_EPEER);
	CHECK(client == NULL);
	loop_destroy(loop);
	CHECK_INT(suite_count_fds(), fds);
}

/* and ramet-spawn lives on */
void test_request_that_is_too_large_is_refused(void)
{
	struct fixture f;
	struct host h;
	struct ramet_err err = {0};
	const size_t len = 2u << 20;
	auto_free char *large = malloc(len);
	REQUIRE(large && fixture_start(&f, 2));
	memset(large, 'x', len - 1);
	large[len - 1] = '\0';
	const char *const argv[] = {"/bin/true", NULL};
	const char *const env[] = {large, NULL};
	const struct spawn_host host = {.inst = 1,
		.argv = argv,
		.env = env,
		.tenant = {TEST_UID, TEST_UID, "test"},
		.control_fd = STDIN_FILENO,
		.log_fd = STDERR_FILENO};
	CHECK_INT(spawn_host(f.client, &host, NULL, NULL, NULL, &err), RAMET_ELIMIT);
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "look"}));
	host_close(&h);
	fixture_stop(&f);
}

void test_exec_failure_is_told(void)
{
	static const char *const argv[] = {"/nonexistent/host", NULL};
	struct fixture f;
	struct host h;
	REQUIRE(fixture_start(&f, 2));
	REQUIRE(host_begin(&f, &h, &(struct host_options){.argv = argv}));
	CHECK(!host_started(&h));
	CHECK_INT(h.result.err.code, RAMET_EIO);
	CHECK_INT(h.result.err.sys, ENOENT);
	CHECK(strstr(h.result.err.msg, "/nonexistent/host") != NULL);
	CHECK_INT(h.result.pid, 0);
	host_close(&h);

	REQUIRE(host_begin(
		&f, &h, &(struct host_options){.what = "look", .dir = "/nonexistent/dir"}));
	CHECK(!host_started(&h));
	CHECK(strstr(h.result.err.msg, "directory") != NULL);
	host_close(&h);
	CHECK_INT(f.exits, 0);

	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "exit"})); /* it still serves */
	host_close(&h);
	fixture_stop(&f);
}

void test_many_requests_in_flight(void)
{
	struct fixture f;
	struct host hosts[12];
	char codes[12][8];
	REQUIRE(fixture_start(&f, 4)); /* fewer than are wanted at once */
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
		snprintf(codes[i], sizeof(codes[i]), "%u", i);
		struct host_options options = {
			.what = "exit", .arg = codes[i], .uid = i % 2 ? OTHER_UID : TEST_UID};
		REQUIRE(host_begin(&f, &hosts[i], &options));
	}
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
		CHECK(host_started(&hosts[i]));
		CHECK(host_finish(&hosts[i]));
		CHECK_INT(hosts[i].how.status, i);
		host_close(&hosts[i]);
	}
	fixture_stop(&f);
}

static void never_called(void *user, struct spawn_result *result)
{
	(void)result;
	*(bool *)user = true;
}

static bool instances_are_zero(void *arg)
{
	const struct spawn_result *stats = arg;
	return stats->pid == 1 && stats->instances == 0;
}

static struct fixture *polled;

/* asks again until told that nothing runs; pid 1 marks an answer */
static void on_stats(void *user, struct spawn_result *result)
{
	struct spawn_result *stats = user;
	*stats = *result;
	stats->pid = 1;
	if (stats->instances)
		(void)spawn_stats(polled->client, on_stats, stats, NULL, NULL);
}

void test_forgotten_host_is_killed_silently(void)
{
	struct fixture f;
	struct spawn_result stats = {0};
	struct ramet_err err = {0};
	bool called = false;
	int ends[2];
	const char *const argv[] = {program("spawn_probe"), "serve", NULL};
	REQUIRE(fixture_start(&f, 2));
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	struct spawn_host host = {.inst = 1,
		.argv = argv,
		.tenant = {TEST_UID, TEST_UID, "t"},
		.control_fd = ends[1],
		.log_fd = STDERR_FILENO};
	uint64_t req;
	REQUIRE_OK(spawn_host(f.client, &host, never_called, &called, &req, &err), &err);
	spawn_forget(f.client, req);
	polled = &f;
	REQUIRE_OK(spawn_stats(f.client, on_stats, &stats, NULL, &err), &err);
	CHECK(fixture_wait(&f, instances_are_zero, &stats));
	CHECK(!called);
	CHECK_INT(f.exits, 0);
	close(ends[0]);
	close(ends[1]);
	fixture_stop(&f);
}

void test_store_paths_go_both_ways(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	char in[PATH_MAX], out[PATH_MAX], path[PATH_MAX];
	REQUIRE(fixture_start(&f, 1));
	snprintf(path, sizeof(path), "%s/apps/a.py", f.store);
	REQUIRE_OK(spawn_path_inside(f.client, path, in, sizeof(in), &err), &err);
	CHECK_STR(in, "/ramet/apps/a.py");
	REQUIRE_OK(spawn_path_outside(f.client, in, out, sizeof(out), &err), &err);
	CHECK_STR(out, path);
	snprintf(path, sizeof(path), "%sx/apps", f.store); /* only looks like it */
	REQUIRE_OK(spawn_path_inside(f.client, path, in, sizeof(in), &err), &err);
	CHECK_STR(in, path);
	REQUIRE_OK(spawn_path_outside(f.client, "/rametx", out, sizeof(out), &err), &err);
	CHECK_STR(out, "/rametx");
	CHECK_INT(spawn_path_outside(f.client, "/ramet/apps", out, 8, &err), RAMET_ELIMIT);
	fixture_stop(&f);
}

/* a ramet-spawn of one's own, to say to it what the client never would */
static int raw_start(pid_t *ret_pid)
{
	int ends[2];
	struct ramet_err err = {0};
	const char *const argv[] = {
		program("ramet-spawn"), "--sandboxes", "1", "--stubs", "0", "--log", "error", NULL};
	if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0))
		return -1;
	int rc = exec_helper(argv, &ends[1], 1, ret_pid, &err);
	close(ends[1]);
	return suite_check_ok(rc, &err, "exec_helper", __FILE__, __LINE__) ? ends[0] : -1;
}

static void expect_end(const char *bytes, size_t len)
{
	pid_t pid = 0;
	int status = 0;
	struct ramet_err err = {0};
	uint64_t deadline = now_ns() + WAIT_S * NSEC_PER_SEC;
	auto_close int fd = raw_start(&pid);
	REQUIRE(fd >= 0);
	CHECK_INT(frame_write(fd, bytes, len, NULL, 0, deadline, &err), 0);
	int rc = 0;
	while (rc == 0) { /* hello, then the end */
		auto_free unsigned char *data = NULL;
		size_t got;
		rc = frame_read(fd, SPAWN_MAX_FRAME, &data, &got, NULL, NULL, deadline, &err);
	}
	CHECK_INT(rc, RAMET_EPEER);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
}

void test_garbage_ends_ramet_spawn(void)
{
	static const char unknown[] = "\x81\xa1t\xa5"
				      "hello";
	static const char no_number[] = "\x81\xa1t\xa5"
					"clone";
	expect_end("\xc1garbage", 8);
	expect_end(unknown, sizeof(unknown) - 1);
	expect_end(no_number, sizeof(no_number) - 1);
}
