/* Reaping: SIGCHLD as a descriptor, then wait4() until no child has ended, because signals merge.
 */
#include "runtime/spawn/reaper.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct reaper {
	struct loop_watch watch;
	int fd;
	struct idmap children;
};

/* all that have ended; false: there are no children at all */
static bool reap(struct reaper *reaper)
{
	for (;;) {
		int wstatus;
		struct rusage usage;
		pid_t pid = wait4(-1, &wstatus, WNOHANG, &usage);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return pid == 0;
		struct idmap_node *node = idmap_find(&reaper->children, (uint64_t)pid);
		if (!node)
			continue;
		struct child *child = idmap_entry(node, struct child, node);
		idmap_remove(&reaper->children, node);
		child->pid = 0;
		child->fn(child, wstatus, &usage);
	}
}

static void drop_signals(const struct reaper *reaper)
{
	struct signalfd_siginfo info;
	while (read(reaper->fd, &info, sizeof(info)) > 0)
		;
}

static void on_signal(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	struct reaper *reaper = container_of(watch, struct reaper, watch);
	drop_signals(reaper);
	(void)reap(reaper);
}

int reaper_create(struct loop *loop, struct reaper **ret_reaper, struct ramet_err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_errno(err, RAMET_EIO, "block SIGCHLD");
	AUTO(reaper_destroy) struct reaper *reaper = calloc(1, sizeof(*reaper));
	if (!reaper)
		return err_nomem(err);
	reaper->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK); /* -1: destroy copes */
	if (reaper->fd < 0)
		return err_errno(err, RAMET_EIO, "signalfd");
	int rc = loop_watch_add(loop, &reaper->watch, reaper->fd, EPOLLIN, on_signal, err);
	if (rc < 0)
		return rc;
	*ret_reaper = steal_ptr(&reaper);
	return 0;
}

void reaper_destroy(struct reaper *reaper)
{
	if (!reaper)
		return;
	loop_watch_remove(&reaper->watch);
	close_reset(&reaper->fd);
	free(reaper);
}

void reaper_add(struct reaper *reaper, struct child *child, pid_t pid,
	void (*fn)(struct child *child, int wstatus, const struct rusage *usage))
{
	child->pid = pid;
	child->fn = fn;
	idmap_add(&reaper->children, &child->node, (uint64_t)pid);
}

void reaper_forget(struct reaper *reaper, struct child *child)
{
	if (child->pid)
		idmap_remove(&reaper->children, &child->node);
	child->pid = 0;
}

void child_signal(const struct child *child, int signal)
{
	if (child->pid > 0)
		kill(child->pid, signal);
}

void child_kill(const struct child *child)
{
	child_signal(child, SIGKILL);
}

bool reaper_drain(struct reaper *reaper, unsigned timeout_ms)
{
	uint64_t deadline = now_ns() + timeout_ms * NSEC_PER_MSEC;
	while (reap(reaper)) {
		uint64_t now = now_ns();
		if (now >= deadline)
			return false;
		struct pollfd pfd = {.fd = reaper->fd, .events = POLLIN};
		(void)poll(&pfd, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1);
		drop_signals(reaper);
	}
	return true;
}
