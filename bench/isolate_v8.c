/* JavaScript: contexts of engine_js.so beside those of a bare V8, which runs in a process of its
 * own (v8_bare.cc) and times itself. */
#include "bench/isolate.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static struct {
	FILE *to, *from;
	pid_t pid;
} v8;

static int spawn_v8(const int in[2], const int out[2], struct ramet_err *err)
{
	char *const argv[] = {BENCH_BIN "/bench_v8", BENCH_APPS "/isolate.js", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	errno = posix_spawn(&v8.pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return errno ? err_errno(err, RAMET_EIO, "start %s", argv[0]) : 0;
}

static int start_v8(struct ramet_err *err)
{
	int in[2], out[2];
	if (pipe2(in, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(in[0]);
		close(in[1]);
		return err_errno(err, RAMET_EIO, "pipe");
	}
	int rc = spawn_v8(in, out, err);
	close(in[0]);
	close(out[1]);
	v8.to = fdopen(in[1], "w");
	v8.from = fdopen(out[0], "r");
	return rc < 0 || (v8.to && v8.from) ? rc : err_nomem(err);
}

static void stop_v8(void)
{
	if (v8.to)
		fclose(v8.to); /* which ends it */
	if (v8.from)
		fclose(v8.from);
	if (v8.pid > 0)
		(void)waitpid(v8.pid, NULL, 0);
}

static int ask(const char *symbol, double input, unsigned calls, double *ret_output, double *ret_us,
	struct ramet_err *err)
{
	fprintf(v8.to, "%s %.17g %u\n", symbol, input, calls);
	if (fflush(v8.to) != 0 || fscanf(v8.from, "%lf %lf", ret_us, ret_output) != 2)
		return err_set(err, RAMET_ELOST, "the bare V8 has ended");
	return 0;
}

static int bare_one(
	const char *symbol, double input, double *ret_output, double *ret_us, struct ramet_err *err)
{
	return ask(symbol, input, 0, ret_output, ret_us, err);
}

static int bare_many(
	const char *symbol, double input, unsigned calls, double *ret_us, struct ramet_err *err)
{
	double output = 0;
	return ask(symbol, input, calls, &output, ret_us, err);
}

static const struct isolate_bare bare = {.label = "v8",
	.what = "Context::New, the same module compiled and evaluated, its echo of a number",
	.one = bare_one,
	.many = bare_many};

int isolate_v8(struct ramet_err *err)
{
	static struct plugin plugin;
	static const struct plugin_app app = {
		.dir = BENCH_APPS,
		.handlers = {"isolate.js:echo", "isolate.js:sum"},
		.count = 2,
	};
	static const struct isolate_idle idle = {
		"v8", "js", BENCH_APPS, "isolate.js:echo", NULL, 200};
	int rc = plugin_exists("js", err);
	if (rc < 0)
		return isolate_skip("v8_start", rc, err);
	rc = isolate_idle(&idle, err);
	if (rc == 0)
		rc = plugin_open("js", &app, &plugin, err);
	if (rc < 0)
		return rc;
	(void)signal(SIGPIPE, SIG_IGN);
	rc = start_v8(err);
	if (rc == 0)
		rc = isolate_start(&plugin, &bare, err);
	if (rc == 0)
		rc = isolate_calls(&plugin, &bare, err);
	stop_v8();
	return rc;
}
