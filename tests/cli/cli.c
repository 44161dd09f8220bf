/* Running the command line in a test. */
#include "tests/cli/cli.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 32

extern char **environ;

static void take(int fd, char dst[CLI_MAX_OUTPUT])
{
	ssize_t n = pread(fd, dst, CLI_MAX_OUTPUT - 1, 0);
	dst[n > 0 ? n : 0] = '\0';
	close(fd);
}

void cli_run(struct cli *cli, ...)
{
	char path[512];
	char *argv[MAX_ARGS + 2] = {path};
	int argc = 1, status = 0;
	pid_t pid;
	va_list ap;
	const char *bin = getenv("RAMET_BIN");
	snprintf(path, sizeof(path), "%s/ramet", bin ? bin : ".");
	va_start(ap, cli);
	for (char *arg = va_arg(ap, char *); arg && argc < MAX_ARGS; arg = va_arg(ap, char *))
		argv[argc++] = arg;
	va_end(ap);

	int out = memfd_create("stdout", MFD_CLOEXEC), err = memfd_create("stderr", MFD_CLOEXEC);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	int failed = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (failed)
		status = 127 << 8;
	else
		waitpid(pid, &status, 0);
	cli->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	take(out, cli->out);
	take(err, cli->err);
}
