/* See bare_process.h. */
#include "bench/bare_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int spawn(struct bare_process *bare, const char *program, const char *file, const int in[2],
	const int out[2], struct ramet_err *err)
{
	char *const argv[] = {(char *)program, (char *)file, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	errno = posix_spawn(&bare->pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return errno ? err_errno(err, RAMET_EIO, "start %s", program) : 0;
}

int bare_process_start(
	struct bare_process *bare, const char *program, const char *file, struct ramet_err *err)
{
	int in[2], out[2];
	*bare = (struct bare_process){0};
	(void)signal(SIGPIPE, SIG_IGN);
	if (pipe2(in, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(in[0]);
		close(in[1]);
		return err_errno(err, RAMET_EIO, "pipe");
	}
	int rc = spawn(bare, program, file, in, out, err);
	close(in[0]);
	close(out[1]);
	bare->to = fdopen(in[1], "w");
	bare->from = fdopen(out[0], "r");
	return rc < 0 || (bare->to && bare->from) ? rc : err_nomem(err);
}

void bare_process_stop(struct bare_process *bare)
{
	if (bare->to)
		fclose(bare->to); /* which ends it */
	if (bare->from)
		fclose(bare->from);
	if (bare->pid > 0)
		(void)waitpid(bare->pid, NULL, 0);
}

int bare_process_ask(struct bare_process *bare, const char *symbol, double input, unsigned calls,
	double *ret_output, double *ret_us, struct ramet_err *err)
{
	fprintf(bare->to, "%s %.17g %u\n", symbol, input, calls);
	if (fflush(bare->to) != 0 || fscanf(bare->from, "%lf %lf", ret_us, ret_output) != 2)
		return err_set(err, RAMET_ELOST, "the bare engine has ended");
	return 0;
}
