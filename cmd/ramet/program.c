/* Running another program and waiting for it: fork, exec, its complaints kept for the error. */
#include "cmd/ramet/program.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

static int memory_file(const char *content, struct ramet_err *err)
{
	auto_close int fd = memfd_create("ramet-program", MFD_CLOEXEC);
	size_t len = content ? strlen(content) : 0;
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "memfd_create");
	if (len && write(fd, content, len) != (ssize_t)len)
		return err_errno(err, RAMET_EIO, "write to a memory file");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, RAMET_EIO, "lseek");
	return steal_fd(&fd);
}

static int start(const char *const *argv, int in, int out, pid_t *ret_pid, struct ramet_err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	char *const *args = (char *const *)(const void *)argv; /* not written to */
	int failed = posix_spawnp(ret_pid, argv[0], &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (failed == ENOENT)
		return err_set(err, RAMET_ENOTSUP, "the program \"%s\" is not installed", argv[0]);
	errno = failed;
	return failed ? err_errno(err, RAMET_EIO, "start %s", argv[0]) : 0;
}

static int complain(const char *program, int status, int out, struct ramet_err *err)
{
	char said[300];
	ssize_t n = pread(out, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	for (char *p = said; *p; p++)
		if (*p == '\n')
			*p = p[1] ? ';' : '\0';
	if (WIFSIGNALED(status))
		return err_set(err, RAMET_EIO, "%s was ended by signal %d: %s", program,
			WTERMSIG(status), said);
	return err_set(err, RAMET_EIO, "%s: %s", program, *said ? said : "failed");
}

int program_run(const char *const *argv, const char *input, struct ramet_err *err)
{
	auto_close int in = memory_file(input, err);
	if (in < 0)
		return in;
	auto_close int out = memory_file(NULL, err);
	if (out < 0)
		return out;
	pid_t pid;
	int status = 0;
	int rc = start(argv, in, out, &pid, err);
	if (rc < 0)
		return rc;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_errno(err, RAMET_EIO, "wait for %s", argv[0]);
	return status == 0 ? 0 : complain(argv[0], status, out, err);
}
