/* See pid_space.h. */
#include "tests/rfork/pid_space.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void run_init(int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("proc", "/proc", "proc", 0, NULL) < 0 || write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	for (;;)
		pause();
}

bool pid_space_open(struct pid_space *space)
{
	int ready[2];
	char byte;
	*space = (struct pid_space){.pidfd = -1};
	if (pipe2(ready, O_CLOEXEC) < 0)
		return false;
	auto_close int end = ready[0];
	space->init = (pid_t)syscall(
		SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
	if (space->init == 0)
		run_init(ready[1]);
	close(ready[1]);
	if (space->init > 0 && read(end, &byte, 1) == 1)
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

static int home = -1, mounts = -1, directory = -1;

bool pid_space_enter(const struct pid_space *space)
{
	home = (int)syscall(SYS_pidfd_open, getpid(), 0);
	mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	directory = open(".", O_PATH | O_CLOEXEC);
	/* a thread that shares its directory with others, as with ThreadSanitizer's own, may not */
	return home >= 0 && unshare(CLONE_FS) == 0 &&
		setns(space->pidfd, CLONE_NEWPID | CLONE_NEWNS) == 0;
}

bool pid_space_leave(void)
{
	auto_close int back = steal_fd(&home);
	auto_close int files = steal_fd(&mounts);
	auto_close int cwd = steal_fd(&directory);
	return setns(files, CLONE_NEWNS) == 0 && setns(back, CLONE_NEWPID) == 0 && fchdir(cwd) == 0;
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
