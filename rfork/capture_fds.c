/* The descriptor policy, applied to /proc/<pid>/fd of the frozen shadow. */
#include "rfork/capture_fds.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "rfork/capture_socket.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int refuse_fd(int fd, const char *target, const char *what, struct ramet_err *err)
{
	return err_set(err, RAMET_EREFUSED,
		"capture refused: descriptor %d is %s (%s), which a fork cannot carry to another "
		"node; close it before the "
		"import ends, open it in the handler, or have clones without it (close_on_fork)",
		fd, what, target);
}

/* "anon_inode:[eventfd]" and the like, in words where there are any */
static const char *describe(const char *target, const struct stat *st)
{
	static const char *const known[][2] = {{"anon_inode:inotify", "an inotify watch"},
		{"anon_inode:[io_uring]", "an io_uring"}, {"anon_inode:[pidfd]", "a pidfd"},
		{"pidfd:", "a pidfd"}, {"anon_inode:[userfaultfd]", "a userfaultfd"},
		{"anon_inode:[perf_event]", "a performance counter"},
		{"anon_inode:[fanotify]", "a fanotify watch"},
		{"anon_inode:[landlock-ruleset]", "a landlock rule set"}, {"mnt:[", "a namespace"},
		{"/secretmem", "secret memory"}, {"/dev/pts/", "a terminal"},
		{"/dev/tty", "a terminal"}};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strncmp(target, known[i][0], strlen(known[i][0])) == 0)
			return known[i][1];
	if (S_ISFIFO(st->st_mode))
		return target[0] == '/' ? "a named pipe" : "a pipe";
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		return "a device";
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	return st->st_nlink == 0 ? "a file that was deleted" : "a file open for writing";
}

static int capture_fd(
	pid_t pid, int fd, const struct capture_account *account, struct ramet_err *err)
{
	char path[64], target[512], what[200];
	struct stat st;
	const struct account_fd *said = capture_account_fd(account, fd);
	if (said && said->kind != ACCOUNT_REFUSED && said->kind < ACCOUNT_KINDS)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n < 0 || stat(path, &st) < 0)
		return err_errno(err, RAMET_EIO, "look at %s", path);
	target[n] = '\0';
	if (said && said->why[0])
		return refuse_fd(fd, target, said->why, err);
	if (!S_ISSOCK(st.st_mode))
		return refuse_fd(fd, target, describe(target, &st), err);
	capture_socket_describe(pid, fd, what, sizeof(what));
	return refuse_fd(fd, target, what, err);
}

int capture_fds(pid_t pid, const struct safepoint_state *state,
	const struct capture_account *account, struct ramet_err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	auto_closedir DIR *dir = opendir(path);
	if (!dir)
		return err_errno(err, RAMET_EIO, "open %s", path);
	struct dirent *e;
	while ((e = readdir(dir))) {
		char *end;
		long fd = strtol(e->d_name, &end, 10);
		if (*end || end == e->d_name || fd <= 2 || fd == state->process.control_fd ||
			fd == state->ready_fd)
			continue;
		int rc = capture_fd(pid, (int)fd, account, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
