/* The init of a sandbox. It ignores SIGCHLD, so that the kernel reaps the orphans it inherits, and
 * sleeps: what matters is that its end is the end of every process in its PID namespace. */
#include "runtime/spawn/sandbox_init.h"
#include "base/cleanup.h"
#include "runtime/spawn/sandbox_proto.h"
#include "runtime/spawn/sandbox_root.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READY_TIMEOUT_MS 5000

/* The parent may have died before the death signal was asked for. */
static int parent_lives(void)
{
	struct pollfd pfd = {.fd = SANDBOX_SOCKET_FD};
	return poll(&pfd, 1, 0) == 0;
}

static int init_mounts(struct sandbox_reply *reply)
{
	/* Read-only, because a tenant may be uid 0: writing /proc/sys asks for no capability. */
	if (mount("proc", "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return sandbox_fail(reply, "mount", "/proc");
	if (mount("tmp", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=25%") < 0)
		return sandbox_fail(reply, "mount", "/tmp");
	return 0;
}

static _Noreturn void init_main(int ready)
{
	struct sandbox_reply reply = {0};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "ramet-init");
	if (!parent_lives() || init_mounts(&reply) < 0) {
		(void)!write(ready, &reply, sizeof(reply));
		_exit(EXIT_FAILURE);
	}
	if (write(ready, &reply, sizeof(reply)) != sizeof(reply))
		_exit(EXIT_FAILURE);
	syscall(SYS_close_range, 0u, ~0u, 0u);
	for (;;)
		pause();
}

/* The init's own reply; pipes keep writes of this size whole. */
static int init_wait(int ready, struct sandbox_reply *reply)
{
	struct pollfd pfd = {.fd = ready, .events = POLLIN};
	int n = poll(&pfd, 1, READY_TIMEOUT_MS);
	if (n == 0)
		errno = ETIMEDOUT;
	if (n != 1 || read(ready, reply, sizeof(*reply)) != sizeof(*reply))
		return sandbox_fail(reply, "wait for", "the sandbox's init");
	return reply->error ? -1 : 0;
}

void sandbox_init_start(const int ready[2], struct sandbox_reply *reply)
{
	unsigned long flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PARENT | SIGCHLD;
	pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
	if (pid == 0)
		init_main(ready[1]);
	if (pid < 0) {
		(void)sandbox_fail(reply, "clone", "the sandbox's init");
		return;
	}
	if (init_wait(ready[0], reply) < 0)
		kill(pid, SIGKILL); /* its parent reaps it */
	else
		reply->pid = pid;
}
