/* fork and exec, with the outcome of exec told through a pipe that a successful one closes. */
#include "runtime/spawn/exec.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGH_FD (EXEC_SOCKET_FD + EXEC_MAX_FDS + 1)

void exec_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All are first moved out of the way of each other. */
static bool child_descriptors(const int *fds, unsigned nfds, int outcome, int pipe_fd)
{
	int high[EXEC_MAX_FDS + 1];
	for (unsigned i = 0; i <= nfds; i++) {
		high[i] = fcntl(i < nfds ? fds[i] : outcome, F_DUPFD_CLOEXEC, HIGH_FD);
		if (high[i] < 0)
			return false;
	}
	for (unsigned i = 0; i < nfds; i++)
		if (dup2(high[i], EXEC_SOCKET_FD + (int)i) < 0)
			return false;
	return dup3(high[nfds], pipe_fd, O_CLOEXEC) >= 0 &&
		syscall(SYS_close_range, (unsigned)pipe_fd + 1, ~0u, 0u) == 0;
}

static _Noreturn void child_exec(
	const char *const *argv, const int *fds, unsigned nfds, int outcome)
{
	int pipe_fd = EXEC_SOCKET_FD + (int)nfds;
	exec_signals();
	if (child_descriptors(fds, nfds, outcome, pipe_fd))
		execv(argv[0], (char *const *)argv);
	int error = errno;
	(void)!write(pipe_fd, &error, sizeof(error));
	_exit(127);
}

int exec_helper(const char *const *argv, const int *fds, unsigned nfds, pid_t *ret_pid,
	struct ramet_err *err)
{
	int ends[2];
	if (nfds > EXEC_MAX_FDS)
		return err_set(err, RAMET_EINVAL, "%u descriptors", nfds);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	auto_close int in = ends[0];
	auto_close int out = ends[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (pid == 0)
		child_exec(argv, fds, nfds, out);
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
