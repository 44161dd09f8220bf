/* How processes end, and that nothing is left. */
#include "tests/runtime_spawn/fixture.h"
#include "tests/runtime_spawn/tests.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_to(struct fixture *f, const char *what, const char *arg, int status, int signal)
{
	struct host h;
	REQUIRE(host_begin(f, &h, &(struct host_options){.what = what, .arg = arg}));
	CHECK(host_started(&h));
	CHECK(h.result.pid > 0);
	CHECK(host_finish(&h));
	CHECK_INT(h.how.status, status);
	CHECK_INT(h.how.signal, signal);
	CHECK(h.how.maxrss_kb > 0);
	host_close(&h);
}

void test_exit_status_and_signals(void)
{
	struct fixture f;
	REQUIRE(fixture_start(&f, 2));
	run_to(&f, "exit", "0", 0, 0);
	run_to(&f, "exit", "7", 7, 0);
	run_to(&f, "exit", "255", 255, 0);
	run_to(&f, "signal", "11", -1, SIGSEGV);
	run_to(&f, "signal", "15", -1, SIGTERM);
	CHECK_INT(f.exits, 5);
	fixture_stop(&f);
}

/* waits until it says that it runs */
static bool serves(struct host *h)
{
	char byte = 0;
	struct pollfd pfd = {.fd = h->control, .events = POLLIN};
	return CHECK(poll(&pfd, 1, WAIT_S * 1000) == 1) && read(h->control, &byte, 1) == 1 &&
		byte == 'r';
}

void test_kill_reaches_orphans(void)
{
	struct fixture f;
	struct host h;
	REQUIRE(fixture_start(&f, 2));
	REQUIRE(host_begin(&f, &h, &(struct host_options){.what = "serve"}));
	REQUIRE(host_started(&h));
	CHECK(serves(&h));
	spawn_kill(f.client, h.inst);
	spawn_kill(f.client, h.inst);
	spawn_kill(f.client, 4711); /* no such instance */
	CHECK(host_finish(&h));
	CHECK_INT(h.how.signal, SIGKILL);
	CHECK(wait_gone(h.pidfd));
	host_close(&h);
	/* its output ends only when the process it left behind is dead too: host_finish() waits for
	 * that */
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "orphan"}));
	host_close(&h);
	fixture_stop(&f);
}

/* the process that dies: starts two hosts and tells the pids, the node and the store */
struct doomed {
	pid_t spawn, hosts[2];
	char node[32], store[64];
};

static _Noreturn void be_doomed(int out)
{
	struct fixture f;
	struct host h[2];
	struct doomed tell = {0};
	bool ok = fixture_start(&f, 2);
	for (int i = 0; ok && i < 2; i++) {
		ok = host_begin(&f, &h[i],
			     &(struct host_options){.what = "serve", .group = "doomed"}) &&
			host_started(&h[i]) && serves(&h[i]);
		tell.hosts[i] = h[i].result.pid;
	}
	if (ok) {
		tell.spawn = spawn_client_pid(f.client);
		memcpy(tell.node, f.node, sizeof(tell.node));
		memcpy(tell.store, f.store, sizeof(tell.store));
		(void)!write(out, &tell, sizeof(tell));
	}
	if (!ok)
		_exit(1);
	for (;;)
		pause();
}

void test_end_of_rametd_ends_everything(void)
{
	int ends[2];
	struct doomed told = {0};
	unsigned mounts = count_mounts();
	REQUIRE(pipe(ends) == 0);
	pid_t pid = fork();
	if (pid == 0)
		be_doomed(ends[1]);
	close(ends[1]);
	CHECK_INT(read(ends[0], &told, sizeof(told)), sizeof(told));
	int spawn = (int)syscall(SYS_pidfd_open, told.spawn, 0);
	int hosts[2];
	for (int i = 0; i < 2; i++)
		hosts[i] = (int)syscall(SYS_pidfd_open, told.hosts[i], 0);
	CHECK(spawn >= 0 && hosts[0] >= 0 && hosts[1] >= 0);
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK(wait_gone(hosts[0]) && wait_gone(hosts[1]) && wait_gone(spawn));
	CHECK_INT(count_cgroups(told.node), 0);
	CHECK_INT(count_mounts(), mounts);
	for (int i = 0; i < 2; i++)
		close(hosts[i]);
	close(spawn);
	close(ends[0]);
	CHECK_INT(rmdir(told.store), 0);
}

static bool is_lost(void *arg)
{
	return ((struct fixture *)arg)->lost > 0;
}

static void on_done(void *user, struct spawn_result *result)
{
	*(struct ramet_err *)user = result->err;
}

void test_end_of_ramet_spawn_is_told(void)
{
	struct fixture f;
	struct host h;
	struct ramet_err err = {0}, answer = {0};
	REQUIRE(fixture_start(&f, 2));
	REQUIRE(host_begin(&f, &h, &(struct host_options){.what = "serve", .group = "left"}));
	REQUIRE(host_started(&h));
	CHECK(serves(&h));
	kill(spawn_client_pid(f.client), SIGKILL);
	CHECK_INT(
		spawn_stats(f.client, on_done, &answer, NULL, &err) == 0 || err.code == RAMET_EPEER,
		1);
	CHECK(fixture_wait(&f, is_lost, &f));
	CHECK_INT(f.lost, 1);
	CHECK_INT(f.exits, 0);
	CHECK_INT(f.why_lost.code, RAMET_EPEER);
	CHECK(err.code || answer.code == RAMET_EPEER);
	CHECK(wait_gone(h.pidfd));
	CHECK_INT(spawn_stats(f.client, on_done, &answer, NULL, &err), RAMET_ECLOSED);
	spawn_kill(f.client, h.inst);
	host_close(&h);
	/* a killed ramet-spawn cannot remove its cgroups: the next of the same name does */
	spawn_client_stop(f.client);
	f.client = NULL;
	struct spawn_options options = {.spawn_path = program("ramet-spawn"), .node_name = f.node};
	REQUIRE_OK(spawn_client_start(f.loop, &options, NULL, NULL, &f.client, &err), &err);
	fixture_stop(&f);
}

void test_two_hundred_hosts_leak_nothing(void)
{
	struct fixture f;
	struct host h;
	unsigned mounts = count_mounts();
	REQUIRE(fixture_start(&f, 4));
	pid_t spawn = spawn_client_pid(f.client);
	REQUIRE(host_run(&f, &h, &(struct host_options){.what = "exit", .group = "many"}));
	host_close(&h);
	unsigned fds = count_fds(spawn), ours = suite_count_fds();
	for (int i = 0; i < 200; i++) {
		REQUIRE(host_run(&f, &h, &(struct host_options){.what = "exit", .group = "many"}));
		host_close(&h);
	}
	/* sandboxes that are ready hold one each, and those of hosts that just ended may not be
	 * reaped yet */
	CHECK(count_fds(spawn) <= fds + 8);
	CHECK(count_children(spawn) <= 4 + 1 + 2 + 1 + 8); /* sandboxes, helper, stubs, tenant */
	CHECK_INT(suite_count_fds(), ours);
	CHECK_INT(count_mounts(), mounts);
	fixture_stop(&f);
}
