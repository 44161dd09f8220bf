#include "tests/calls/call_cluster.h"

#include "base/clock.h"
#include "base/err.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEASE_NS (20 * NSEC_PER_SEC) /* it takes a few calls, unless something is broken */

extern char **environ;

static int run_ramet(char *const argv[])
{
	const char *bin = getenv("RAMET_BIN");
	posix_spawn_file_actions_t actions;
	char program[512];
	pid_t pid = 0;
	int status = -1;
	if (!CHECK(bin != NULL))
		return 0;
	snprintf(program, sizeof(program), "%s/ramet", bin);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	CHECK_INT(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return CHECK(WIFEXITED(status)) && CHECK_INT(WEXITSTATUS(status), 0);
}

static bool bring_up(struct call_cluster *c, unsigned nodes)
{
	char count[16];
	snprintf(c->dir, sizeof(c->dir), "/tmp/ramet-calls-XXXXXX");
	if (!CHECK(mkdtemp(c->dir) != NULL))
		return false;
	snprintf(count, sizeof(count), "%u", nodes);
	snprintf(c->socket, sizeof(c->socket), "%s/node1/client.sock", c->dir);
	char *const argv[] = {"ramet", "up", "--nodes", count, "--dir", c->dir, NULL};
	c->up = run_ramet(argv);
	if (!c->up)
		rmdir(c->dir);
	return c->up;
}

int call_cluster_open(struct call_cluster *c, unsigned nodes)
{
	struct ramet_err err = {0};
	memset(c, 0, sizeof(*c));
	if (geteuid() != 0) {
		suite_skip("needs root");
		return 0;
	}
	c->fds = suite_count_fds();
	const char *standing = getenv("RAMET_CALLS_SOCKET");
	if (standing)
		snprintf(c->socket, sizeof(c->socket), "%s", standing);
	else if (!bring_up(c, nodes))
		exit(1); /* nothing else could be tested */
	return suite_check_ok(
		ramet_open(c->socket, &c->ramet, &err), &err, "ramet_open", __FILE__, __LINE__);
}

void call_cluster_down(struct call_cluster *c)
{
	char *const argv[] = {"ramet", "down", "--dir", c->dir, NULL};
	if (c->up)
		run_ramet(argv);
	c->up = false;
}

void call_cluster_close(struct call_cluster *c)
{
	ramet_close(c->ramet);
	call_cluster_down(c);
	if (c->dir[0])
		CHECK_INT(access(c->dir, F_OK), -1); /* `ramet down` removes it */
	CHECK_INT(suite_count_fds(), c->fds);
}

int call_deploy(struct call_cluster *c, const char *lang, const char *function,
	const struct ramet_deploy_options *options)
{
	struct ramet_deploy_options ours = options ? *options : ramet_deploy_options_default();
	struct ramet_err err = {0};
	ours.name = ours.handler = function;
	const char *file = strcmp(lang, "native") == 0 ? CALL_LIBS "/libcall_functions.so"
						       : CALL_SOURCES "/functions.py";
	return suite_check_ok(ramet_deploy(c->ramet, file, &ours, NULL, &err), &err, function,
		__FILE__, __LINE__);
}

bool call_was_leased(const struct ramet_result *result)
{
	return result && strchr(result->call, '.') != NULL;
}

pid_t call_lease(struct ramet *ramet, const char *function)
{
	uint64_t deadline = now_ns() + LEASE_NS;
	while (now_ns() < deadline) {
		struct ramet_result *result = call_expect(ramet, function, "0", 0);
		if (!result)
			return 0;
		pid_t pid = call_was_leased(result) ? result->pid : 0;
		ramet_result_free(result);
		if (pid)
			return pid;
	}
	CHECK(!"calls do not go through a lease");
	return 0;
}

struct ramet_call_options call_there(void)
{
	struct ramet_call_options options = ramet_call_options_default();
	options.node = CALL_NODE;
	return options;
}

struct ramet_call *call_begin(struct ramet *ramet, const char *function, const char *json,
	const struct ramet_call_options *options)
{
	const struct ramet_call_options ours = call_there();
	struct ramet_call *call = NULL;
	struct ramet_err err = {0};
	suite_check_ok(ramet_call_async(ramet, function, json, strlen(json),
			       options ? options : &ours, &call, &err),
		&err, function, __FILE__, __LINE__);
	return call;
}

struct ramet_result *call_end(struct ramet_call *call, int code)
{
	struct ramet_result *result = NULL;
	struct ramet_err err = {0};
	if (!call)
		return NULL;
	int rc = ramet_wait(call, 30000, &result, &err);
	if (!CHECK_INT(rc, code))
		printf("    %s\n", err.msg);
	ramet_call_free(call);
	return result;
}

struct ramet_result *call_expect(
	struct ramet *ramet, const char *function, const char *json, int code)
{
	return call_end(call_begin(ramet, function, json, NULL), code);
}
