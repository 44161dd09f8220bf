/* The descriptor policy, applied to /proc/<pid>/fd of the frozen shadow. */
#include "rfork/capture_fds.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "rfork/capture_socket.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_KEPT_FD 62

static int read_fdinfo(
	pid_t pid, int fd, uint64_t *ret_pos, uint32_t *ret_flags, struct ramet_err *err)
{
	char path[64], line[128];
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	auto_fclose FILE *f = fopen(path, "re");
	if (!f)
		return err_errno(err, RAMET_EIO, "open %s", path);
	*ret_pos = 0;
	*ret_flags = 0;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "pos:", 4) == 0)
			*ret_pos = strtoull(line + 4, NULL, 10);
		else if (strncmp(line, "flags:", 6) == 0)
			*ret_flags = (uint32_t)strtoul(line + 6, NULL, 8);
	}
	return 0;
}

static int refuse_fd(int fd, const char *target, const char *what, struct ramet_err *err)
{
	return err_set(err, RAMET_EREFUSED,
		"capture refused: descriptor %d is %s (%s), which a fork cannot carry to another "
		"node; close it before the "
		"import ends, or open it in the handler",
		fd, what, target);
}

static int capture_fd(pid_t pid, int fd, struct descriptor_build *b, struct ramet_err *err)
{
	char path[64], target[512];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n < 0 || stat(path, &st) < 0)
		return err_errno(err, RAMET_EIO, "look at %s", path);
	target[n] = '\0';
	uint64_t pos;
	uint32_t flags;
	int rc = read_fdinfo(pid, fd, &pos, &flags, err);
	if (rc < 0)
		return rc;
	if (S_ISSOCK(st.st_mode)) {
		char what[200];
		capture_socket_describe(pid, fd, what, sizeof(what));
		return refuse_fd(fd, target, what, err);
	}
	if (!S_ISREG(st.st_mode))
		return refuse_fd(
			fd, target, S_ISFIFO(st.st_mode) ? "a pipe" : "not a regular file", err);
	if ((flags & O_ACCMODE) != O_RDONLY)
		return refuse_fd(fd, target, "a file open for writing", err);
	if (st.st_nlink == 0)
		return refuse_fd(fd, target, "a file that was deleted", err);
	if (fd > MAX_KEPT_FD)
		return refuse_fd(fd, target, "numbered higher than 62", err);
	if (!fault_hit("capture.fds"))
		descriptor_build_fd(b, fd, flags, pos, target);
	return 0;
}

int capture_fds(pid_t pid, const struct safepoint_state *state, struct descriptor_build *b,
	struct ramet_err *err)
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
		int rc = capture_fd(pid, (int)fd, b, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
