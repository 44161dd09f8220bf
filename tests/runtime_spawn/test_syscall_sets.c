/* What each set of system calls refuses and what it leaves, tried in a process that is under it. */
#include "runtime/spawn/syscall_filter.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK (64u << 10)
#define NOT_TRIED (-1)

enum attempt {
	READ_A_FILE,
	WRITE_A_FILE,
	MAKE_A_FILE,
	SOCKET,
	EXECUTE,
	THREAD,
	CHILD,
	KILL_ANOTHER,
	NEW_NAMESPACE,
	TRACE,
	MAP_CODE,
	CLOCK,
	LINK,
	ATTEMPTS
};

static int code_of(long result)
{
	return result < 0 ? errno : 0;
}

static int child_of(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags, NULL, NULL, NULL, 0);
	if (pid == 0)
		_exit(0);
	int code = code_of(pid);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, __WALL);
	return code;
}

/* on a stack of its own, and gone at once */
static int returns(void *arg)
{
	(void)arg;
	return 0;
}

static int thread(void)
{
	static unsigned char stack[STACK];
	int pid = clone(returns, stack + STACK, CLONE_VM | SIGCHLD, NULL);
	int code = code_of(pid);
	if (pid > 0)
		waitpid(pid, NULL, __WALL);
	return code;
}

static int execute(void)
{
	char *const argv[] = {"true", NULL};
	char *const env[] = {NULL};
	pid_t pid = fork();
	if (pid == 0) {
		execve("/bin/true", argv, env);
		_exit(errno);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static int map_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? errno : code_of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int open_as(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	int code = code_of(fd);
	if (fd >= 0)
		close(fd);
	return code;
}

static int tried(enum attempt attempt)
{
	struct timespec ts;
	switch (attempt) {
	case READ_A_FILE:
		return open_as("/etc/passwd", O_RDONLY);
	case WRITE_A_FILE:
		return open_as("/dev/null", O_WRONLY);
	case MAKE_A_FILE:
		return open_as("/tmp", O_TMPFILE | O_RDWR);
	case SOCKET:
		return code_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	case EXECUTE:
		return execute();
	case THREAD:
		return thread();
	case CHILD:
		return child_of(SIGCHLD);
	case KILL_ANOTHER:
		return code_of(kill(getppid(), 0));
	case NEW_NAMESPACE:
		return child_of(CLONE_NEWUSER | SIGCHLD);
	case TRACE:
		return code_of(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
	case MAP_CODE:
		return map_code();
	case CLOCK:
		return code_of(syscall(SYS_clock_gettime, CLOCK_REALTIME, &ts));
	case LINK:
		return code_of(symlink("/nowhere", "/tmp/ramet-nothing/link"));
	default:
		return NOT_TRIED;
	}
}

/* what each attempt gave in a process under this set */
static bool try_all(enum syscall_set set, int codes[ATTEMPTS])
{
	struct syscall_filter filter = {0};
	struct ramet_err err = {0};
	int *seen = mmap(NULL, ATTEMPTS * sizeof(int), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED || syscall_filter_build(set, &filter, &err) < 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall_filter_load(&filter) < 0)
			_exit(1);
		for (int i = 0; i < ATTEMPTS; i++)
			seen[i] = tried((enum attempt)i);
		_exit(0);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	for (int i = 0; i < ATTEMPTS; i++)
		codes[i] = seen[i];
	munmap(seen, ATTEMPTS * sizeof(int));
	syscall_filter_fini(&filter);
	return status == 0;
}

static void check_all(enum syscall_set set, const int expected[ATTEMPTS])
{
	int codes[ATTEMPTS];
	REQUIRE(try_all(set, codes));
	for (int i = 0; i < ATTEMPTS; i++)
		if (!CHECK_INT(codes[i], expected[i]))
			fprintf(stderr, "attempt %d under set %d\n", i, (int)set);
}

static void test_code_of_an_app_is_refused_what_it_has_no_use_of(void)
{
	const int expected[ATTEMPTS] = {[NEW_NAMESPACE] = EPERM, [TRACE] = EPERM, [LINK] = ENOENT};
	check_all(SYSCALLS_ANY, expected);
}

static void test_isolates_have_what_engines_need(void)
{
	const int expected[ATTEMPTS] = {[WRITE_A_FILE] = EPERM,
		[MAKE_A_FILE] = EPERM,
		[SOCKET] = EPERM,
		[EXECUTE] = EPERM,
		[THREAD] = EPERM,
		[KILL_ANOTHER] = EPERM,
		[NEW_NAMESPACE] = EPERM,
		[TRACE] = EPERM,
		[LINK] = EPERM};
	check_all(SYSCALLS_ISOLATES, expected);
}

static void test_their_host_can_begin(void)
{
	const int expected[ATTEMPTS] = {[WRITE_A_FILE] = EPERM,
		[MAKE_A_FILE] = EPERM,
		[SOCKET] = EPERM,
		[THREAD] = EPERM,
		[KILL_ANOTHER] = EPERM,
		[NEW_NAMESPACE] = EPERM,
		[TRACE] = EPERM,
		[LINK] = EPERM};
	check_all(SYSCALLS_ISOLATES_BEGIN, expected);
}

SUITE_MAIN("syscall_sets", TEST(test_code_of_an_app_is_refused_what_it_has_no_use_of),
	TEST(test_isolates_have_what_engines_need), TEST(test_their_host_can_begin))
