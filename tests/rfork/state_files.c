/* Cases: open files, the working directory, umask. */
#include "tests/rfork/state.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
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

static int writing_setup(void)
{
	writing_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return writing_fd >= 0 ? STATE_OK : STATE_NOT_HERE;
}

static const char *writing_check(void)
{
	STATE_EXPECT_INT(write(writing_fd, "x", 1), 1);
	return NULL;
}

const struct state_case state_files[] = {
	{.name = "file at an offset",
		.setup = file_setup,
		.check_child = file_check,
		.check_parent = file_check,
		.fault = "capture.fds"},
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
	{.name = NULL},
};
