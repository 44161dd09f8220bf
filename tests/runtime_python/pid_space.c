/* See pid_space.h. */
#include "tests/runtime_python/pid_space.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

bool pid_space_open(struct pid_space *space)
{
	*space = (struct pid_space){.pidfd = -1};
	space->init = (pid_t)syscall(
		SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
	if (space->init == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	if (space->init > 0)
		space->pidfd = (int)syscall(SYS_pidfd_open, space->init, 0);
	return space->pidfd >= 0;
}

void pid_space_close(struct pid_space *space)
{
	close_reset(&space->pidfd);
	if (space->init > 0) {
		kill(space->init, SIGKILL);
		waitpid(space->init, NULL, 0);
	}
}

bool pid_space_enter(const struct pid_space *space)
{
	return setns(space->pidfd, CLONE_NEWPID) == 0;
}

bool pid_space_leave(void)
{
	auto_close int fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	return fd >= 0 && setns(fd, CLONE_NEWPID) == 0;
}

pid_t pid_space_inner(pid_t pid)
{
	char path[48];
	char line[128];
	long inner = -1;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "NSpid:", 6) == 0 && strrchr(line, '\t'))
			inner = strtol(strrchr(line, '\t'), NULL, 10);
	if (f)
		fclose(f);
	return (pid_t)inner;
}
