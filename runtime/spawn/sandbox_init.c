/* The init of a sandbox. It ignores SIGCHLD, so that the kernel reaps the orphans it inherits, and
 * sleeps: what matters is that its end is the end of every process in its PID namespace.
 *
 * It shares the memory of ramet-sandbox (CLONE_VM), which saves two thirds of what a sandbox costs:
 * no page tables to copy, and none to take down. All inits use one stack, one after the other: an
 * init leaves it for good with the write that tells its parent so (sandbox_park()). */
#include "runtime/spawn/sandbox_init.h"
#include "base/cleanup.h"
#include "runtime/spawn/arch/sandbox_park.h"
#include "runtime/spawn/sandbox_proto.h"
#include "runtime/spawn/sandbox_root.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READY_TIMEOUT_MS 5000
#define STACK_BYTES 65536

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

struct birth {
	int ready; /* the pipe's end to write to */
	struct sandbox_reply reply;
};

static int init_main(void *user)
{
	struct birth *birth = user;
	unsigned ready = (unsigned)birth->ready;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "ramet-init");
	bool good = parent_lives() && init_mounts(&birth->reply) == 0;
	if (ready > 0)
		syscall(SYS_close_range, 0u, ready - 1, 0u);
	syscall(SYS_close_range, ready + 1, ~0u, 0u);
	sandbox_park(birth->ready, &birth->reply, sizeof(birth->reply), good);
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
	static char stack[STACK_BYTES] __attribute__((aligned(64)));
	static struct birth birth;
	int flags = CLONE_VM | CLONE_NEWPID | CLONE_NEWNS | CLONE_PARENT | SIGCHLD;
	birth = (struct birth){.ready = ready[1]};
	pid_t pid = clone(init_main, stack + sizeof(stack), flags, &birth);
	if (pid < 0) {
		(void)sandbox_fail(reply, "clone", "the sandbox's init");
		return;
	}
	if (init_wait(ready[0], reply) < 0)
		kill(pid, SIGKILL); /* its parent reaps it */
	else
		reply->pid = pid;
}
