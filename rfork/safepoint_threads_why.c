/* /proc/self/task/<tid>/status, read without stdio's files: other threads may hold any lock. */
#include "rfork/safepoint_threads_why.h"

#include "rfork/safepoint_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARK_BIT (1ull << 32) /* of signal 33 */

static const char *field(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at ? at + strlen(name) : NULL;
}

void safepoint_threads_look(struct safepoint_threads_why *why)
{
	char path[64], text[4096];
	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)why->tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	const char *name = field(text, "Name:\t"), *state = field(text, "\nState:\t"),
		   *blocked = field(text, "\nSigBlk:\t");
	if (name)
		snprintf(why->name, sizeof(why->name), "%.*s", (int)strcspn(name, "\n"), name);
	why->state = state ? *state : '\0';
	why->blocked = blocked ? strtoull(blocked, NULL, 16) : 0;
}

bool safepoint_threads_ended(pid_t tid)
{
	struct safepoint_threads_why why = {.tid = tid};
	safepoint_threads_look(&why);
	return why.state == 'Z' || why.state == 'X';
}

static const char *reason(const struct safepoint_threads_why *why)
{
	if (!why->tid)
		return "/proc does not show the threads of this process; is it another PID "
		       "namespace's?";
	if (why->blocked & PARK_BIT)
		return "it blocks signal 33, which the C library never does for long; end it "
		       "before "
		       "the import ends, or start it in the handler";
	if (why->state == 'D')
		return "it is in a system call that cannot be interrupted (vfork() until the "
		       "child's "
		       "exec, a file system that does not answer)";
	if (why->state == 't' || why->state == 'T')
		return "it is stopped, or traced by a debugger";
	return "it did not get to run";
}

int safepoint_threads_refuse(
	const struct safepoint_threads_why *why, int error, struct ramet_err *err)
{
	if (!err)
		return RAMET_EREFUSED;
	err->code = RAMET_EREFUSED;
	err->sys = error == -ETIMEDOUT || error == -E2BIG ? 0 : -error;
	if (error == -ETIMEDOUT)
		snprintf(err->msg, sizeof(err->msg),
			"capture refused: thread %d (%s) did not stop within %llu ms: %s",
			(int)why->tid, why->name, (unsigned long long)why->patience_ms,
			reason(why));
	else if (error == -E2BIG)
		snprintf(err->msg, sizeof(err->msg),
			"capture refused: the process has more than %d threads; thread %d (%s) is "
			"one too many",
			SAFEPOINT_MAX_THREADS, (int)why->tid, why->name);
	else
		snprintf(err->msg, sizeof(err->msg),
			"capture refused: thread %d (%s) cannot be sent a signal: %s",
			(int)why->tid, why->name, strerror(-error));
	return RAMET_EREFUSED;
}
