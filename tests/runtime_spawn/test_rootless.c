/* The same without root: a child process gives root up and runs a host. */
#include "tests/runtime_spawn/fixture.h"
#include "tests/runtime_spawn/tests.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* exit code: 0 all well with sandbox, 1 not, 3 without sandbox but well */
static int run_rootless(void)
{
	struct fixture f;
	struct host h;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 1;
	if (!fixture_start(&f, 1))
		return 1;
	bool sandbox = spawn_client_caps(f.client)->sandbox;
	bool told = spawn_client_caps(f.client)->detail[0] != '\0';
	if (!host_run(&f, &h, &(struct host_options){.what = "look", .uid = NOBODY}))
		return 1;
	bool ok = atoi(host_value(&h, "uid")) == NOBODY;
	ok = ok && strcmp(host_value(&h, "CapEff"), "0000000000000000") == 0;
	ok = ok && strcmp(host_value(&h, "fds"), "0 1 2 3") == 0;
	ok = ok && (!sandbox || atoi(host_value(&h, "processes")) == 2);
	host_close(&h);
	/* another tenant's uid cannot be had */
	ok = ok && host_begin(&f, &h, &(struct host_options){.what = "exit", .uid = TEST_UID});
	ok = ok && !host_started(&h) && h.result.err.code == RAMET_EPERM;
	host_close(&h);
	fixture_stop(&f);
	return ok && told ? (sandbox ? 0 : 3) : 1;
}

void test_rootless_host(void)
{
	int status = 0;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(run_rootless());
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == 3)
		suite_skip("no sandbox without root here; a plain host ran");
	else
		CHECK_INT(WEXITSTATUS(status), 0);
}
