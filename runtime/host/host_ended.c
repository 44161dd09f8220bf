/* A call that had to be ended, by its deadline or because it was cancelled: what its caller is
 * told, and what becomes of processes that it has made. They are nobody's any more, and a fork bomb
 * is stopped by nothing but the end of its sandbox: so the host ends, too. */
#include "runtime/host/host_internal.h"

#include "runtime/host/deadline.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool has_children(void)
{
	siginfo_t info;
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* as many processes as may be */
static bool is_crowded(void)
{
	long pid = syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid((pid_t)pid, NULL, 0);
	return pid < 0 && (errno == EAGAIN || errno == ENOMEM);
}

void host_ended(struct host *host, enum deadline_end how, struct ramet_engine_error *error)
{
	static const char full[] = "the deadline of the call has passed, and it has as many "
				   "processes as its limit allows (limits.pids, or the "
				   "node's limits.tenant.pids)";
	host->leaves = host->leaves || error->leaves;
	if (how == DEADLINE_PASSED) {
		error->code = RAMET_EDEADLINE;
		error->kind = RAMET_ENGINE_LIMIT;
	} else if (how == DEADLINE_CANCELLED) {
		error->code = RAMET_ECANCELED;
		error->kind = RAMET_ENGINE_REFUSED;
	}
	if (how == DEADLINE_KEPT || !has_children())
		return;
	host->leaves = true;
	if (how == DEADLINE_PASSED && is_crowded()) {
		error->code = RAMET_ELIMIT;
		error->message = (struct ramet_engine_text){full, strlen(full)};
	}
}

void host_reset(struct host *host, const struct engines_one *one)
{
	if (!host->leaves)
		host->leaves =
			has_children() || !one->ops->reset || one->ops->reset(one->engine) < 0;
}
