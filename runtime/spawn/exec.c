/* fork and exec, with the outcome of exec told through a pipe that a successful one closes. */
#include "runtime/spawn/exec.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE_FD 4 /* in the child */
#define HIGH_FD 10

void exec_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_exec(const char *const *argv, int socket, int outcome)
{
	exec_signals();
	int high = fcntl(outcome, F_DUPFD_CLOEXEC, HIGH_FD);
	int sock = fcntl(socket, F_DUPFD_CLOEXEC, HIGH_FD);
	if (high >= 0 && sock >= 0 && dup2(sock, EXEC_SOCKET_FD) >= 0 &&
		dup3(high, PIPE_FD, O_CLOEXEC) >= 0 &&
		syscall(SYS_close_range, PIPE_FD + 1u, ~0u, 0u) == 0)
		execv(argv[0], (char *const *)argv);
	int error = errno;
	(void)!write(PIPE_FD, &error, sizeof(error));
	_exit(127);
}

int exec_helper(const char *const *argv, int socket, pid_t *ret_pid, struct ramet_err *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	auto_close int in = ends[0];
	auto_close int out = ends[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (pid == 0)
		child_exec(argv, socket, out);
	close_reset(&out);
	int error = 0;
	ssize_t n;
	do
		n = read(in, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	if (n == 0) {
		*ret_pid = pid;
		return 0;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = error;
	return err_errno(err, error == ENOENT ? RAMET_ENOTFOUND : RAMET_EIO, "execute %s", argv[0]);
}
