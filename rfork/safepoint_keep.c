/* The parts of a host's account, in their order. */
#include "rfork/safepoint_keep.h"

#include "rfork/safepoint_account.h"
#include "rfork/safepoint_fault.h"
#include "rfork/safepoint_fds.h"
#include "rfork/safepoint_limits.h"
#include "rfork/safepoint_shared.h"
#include "rfork/safepoint_signals.h"
#include "rfork/safepoint_text.h"
#include "rfork/safepoint_timers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fds fds;
static unsigned close_on_fork;

void safepoint_close_on_fork(unsigned kinds)
{
	close_on_fork = kinds;
}

/* A clone is not the parent of its parent's children: whoever waits for one would wait in vain. */
static int refuse_children(struct ramet_err *err)
{
	struct text text;
	char path[64], children[64] = "", name[32] = "ended";
	siginfo_t info = {0};
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
		return 0; /* ECHILD */
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", gettid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!read(fd, children, sizeof(children) - 1);
		close(fd);
	}
	long pid = info.si_pid ? info.si_pid : strtol(children, NULL, 10);
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	if (text_open(&text, path)) {
		(void)text_line(&text, name, sizeof(name));
		text_close(&text);
	}
	err->code = RAMET_EREFUSED;
	err->sys = 0;
	snprintf(err->msg, sizeof(err->msg),
		"capture refused: the process has a child process, %ld (%s), which clones would "
		"not have; wait for it before the import ends, or start it in the handler",
		pid, name);
	return err->code;
}

int keep_save(struct safepoint_state *state, bool *ret_any, struct ramet_err *err)
{
	const int except[2] = {state->process.control_fd, -1};
	bool timers = false, signals = false, limits = false;
	struct account_range *ranges = NULL;
	uint32_t nranges = 0;
	int rc = refuse_children(err);
	shared_begin();
	if (rc == 0)
		rc = fds_save(&fds, except, close_on_fork, err);
	if (rc == 0)
		rc = shared_save(&fds, &ranges, &nranges, err);
	if (rc == 0)
		rc = timers_save(&timers, err);
	if (rc == 0)
		rc = signals_save(&signals, err);
	if (rc < 0) {
		keep_drop();
		return rc;
	}
	limits_save(&limits);
	state->fds = (uint64_t)(uintptr_t)fds.items;
	state->nfds = fds.count;
	state->ranges = (uint64_t)(uintptr_t)ranges;
	state->nranges = nranges;
	*ret_any = fds.count || nranges || timers || signals || limits;
	return 0;
}

void keep_drop(void)
{
	account_drop();
}

int keep_restore(struct ramet_err *err)
{
	int rc = shared_restore(&fds, err);
	if (rc == 0)
		rc = fds_restore(&fds, err);
	if (rc == 0)
		rc = shared_finish(err);
	if (rc == 0 && !safepoint_fault_hit("safepoint.limits"))
		limits_restore();
	return rc;
}

int keep_restore_events(struct ramet_err *err)
{
	int rc = safepoint_fault_hit("safepoint.signals") ? 0 : signals_restore(err);
	if (rc == 0 && !safepoint_fault_hit("safepoint.timers"))
		rc = timers_restore(err);
	account_drop();
	return rc;
}
