/* Cases: open files, the working directory, umask. */
#include "tests/rfork/state.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- a file open for reading, at an offset --- */

static int file_fd;

static int file_setup(void)
{
	file_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	return file_fd >= 0 && lseek(file_fd, 4097, SEEK_SET) == 4097 ? STATE_OK : STATE_BROKEN;
}

static const char *file_check(void)
{
	char at[8], byte;
	STATE_EXPECT_INT(lseek(file_fd, 0, SEEK_CUR), 4097);
	STATE_EXPECT_INT(fcntl(file_fd, F_GETFD), FD_CLOEXEC);
	STATE_EXPECT_INT(pread(file_fd, at, sizeof(at), 0), sizeof(at));
	STATE_EXPECT(memcmp(at, "\177ELF", 4) == 0);
	STATE_EXPECT_INT(read(file_fd, &byte, 1), 1);
	STATE_EXPECT_INT(lseek(file_fd, -1, SEEK_CUR), 4097);
	return NULL;
}

/* --- descriptors of one open file share its offset, others of the same file do not --- */

static int shared_fds[2], own_fd;

static int same_setup(void)
{
	shared_fds[0] = open("/proc/self/exe", O_RDONLY);
	shared_fds[1] = fcntl(shared_fds[0], F_DUPFD_CLOEXEC, 100); /* beyond the stub's numbers */
	own_fd = open("/proc/self/exe", O_RDONLY);
	return own_fd >= 0 && shared_fds[1] >= 100 && lseek(shared_fds[0], 7, SEEK_SET) == 7 &&
			lseek(own_fd, 7, SEEK_SET) == 7
		? STATE_OK
		: STATE_BROKEN;
}

static const char *same_check(void)
{
	STATE_EXPECT_INT(lseek(shared_fds[0], 9, SEEK_SET), 9);
	STATE_EXPECT_INT(lseek(shared_fds[1], 0, SEEK_CUR), 9);
	STATE_EXPECT_INT(lseek(own_fd, 0, SEEK_CUR), 7);
	STATE_EXPECT_INT(fcntl(shared_fds[0], F_GETFD), 0);
	STATE_EXPECT_INT(fcntl(shared_fds[1], F_GETFD), FD_CLOEXEC);
	return NULL;
}

/* --- directories, harmless devices, another descriptor of stdout --- */

static int dir_fd, null_fd, random_fd, path_fd, stdout_fd;

static int nodes_setup(void)
{
	dir_fd = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	random_fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	path_fd = open("/usr/bin", O_PATH | O_CLOEXEC);
	stdout_fd = dup(1);
	return dir_fd >= 0 && null_fd >= 0 && random_fd >= 0 && path_fd >= 0 && stdout_fd >= 0
		? STATE_OK
		: STATE_BROKEN;
}

static const char *nodes_check(void)
{
	struct stat a, b;
	char bytes[8];
	STATE_EXPECT_INT(faccessat(dir_fd, "bin", X_OK, 0), 0);
	STATE_EXPECT_INT(write(null_fd, "x", 1), 1);
	STATE_EXPECT_INT(read(random_fd, bytes, sizeof(bytes)), sizeof(bytes));
	STATE_EXPECT_INT(faccessat(path_fd, "env", X_OK, 0), 0);
	STATE_EXPECT(fstat(1, &a) == 0 && fstat(stdout_fd, &b) == 0);
	STATE_EXPECT_INT(a.st_ino, b.st_ino);
	return NULL;
}

/* --- the working directory --- */

static int cwd_setup(void)
{
	return chdir("/usr/share") == 0 ? STATE_OK : STATE_BROKEN;
}

static const char *cwd_check(void)
{
	char cwd[PATH_MAX];
	STATE_EXPECT(getcwd(cwd, sizeof(cwd)) != NULL);
	if (strcmp(cwd, "/usr/share") != 0)
		return state_wrong("the working directory is %s", cwd);
	return NULL;
}

/* --- umask --- */

static int umask_setup(void)
{
	umask(0137);
	return STATE_OK;
}

static const char *umask_check(void)
{
	mode_t mask = umask(0137);
	STATE_EXPECT_INT(mask, 0137);
	return NULL;
}

/* --- a file open for writing --- */

static int writing_fd;
static char writing_path[64];

static int writing_setup(void)
{
	snprintf(writing_path, sizeof(writing_path), "/tmp/ramet-state.%d", getpid());
	writing_fd = open(writing_path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	return writing_fd >= 0 ? STATE_OK : STATE_BROKEN;
}

static int deleted_setup(void)
{
	writing_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return writing_fd >= 0 ? STATE_OK : STATE_NOT_HERE;
}

static int locked_setup(void)
{
	writing_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	return flock(writing_fd, LOCK_SH) == 0 ? STATE_OK : STATE_NOT_HERE;
}

static int device_setup(void)
{
	writing_fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	return writing_fd >= 0 ? STATE_OK : STATE_NOT_HERE;
}

static int mapped_setup(void)
{
	writing_fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, writing_fd, 0) != MAP_FAILED
		? STATE_OK
		: STATE_BROKEN;
}

static int proc_setup(void)
{
	writing_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	return writing_fd >= 0 ? STATE_OK : STATE_BROKEN;
}

static const char *open_check(void)
{
	STATE_EXPECT(fcntl(writing_fd, F_GETFD) == FD_CLOEXEC);
	return NULL;
}

static const char *writing_check(void)
{
	static int checks; /* before the capture, and after it */
	STATE_EXPECT_INT(write(writing_fd, "x", 1), 1);
	if (++checks == 2)
		STATE_EXPECT_INT(unlink(writing_path), 0);
	return NULL;
}

const struct state_case state_files[] = {
	{.name = "file at an offset",
		.setup = file_setup,
		.check_child = file_check,
		.check_parent = file_check,
		.fault = "safepoint.offsets"},
	{.name = "descriptors of one open file",
		.setup = same_setup,
		.check_child = same_check,
		.check_parent = same_check,
		.fault = "safepoint.same"},
	{.name = "directories and devices",
		.setup = nodes_setup,
		.check_child = nodes_check,
		.check_parent = nodes_check,
		.fault = "safepoint.fds"},
	{.name = "working directory",
		.setup = cwd_setup,
		.check_child = cwd_check,
		.check_parent = cwd_check,
		.fault = "capture.cwd"},
	{.name = "umask",
		.setup = umask_setup,
		.check_child = umask_check,
		.check_parent = umask_check,
		.fault = "capture.umask"},
	{.name = "file open for writing",
		.setup = writing_setup,
		.check_parent = writing_check,
		.refused = "a file open for writing"},
	{.name = "file that was deleted",
		.setup = deleted_setup,
		.check_parent = open_check,
		.refused = "a file that was deleted"},
	{.name = "file with a lock",
		.setup = locked_setup,
		.check_parent = open_check,
		.refused = "it holds a lock"},
	{.name = "device",
		.setup = device_setup,
		.check_parent = open_check,
		.refused = "a device (/dev/ptmx)"},
	{.name = "device that is mapped",
		.setup = mapped_setup,
		.check_parent = open_check,
		.refused = "is a device (/dev/zero)"},
	{.name = "file of proc",
		.setup = proc_setup,
		.check_parent = open_check,
		.refused = "a file of /proc"},
	{.name = NULL},
};
