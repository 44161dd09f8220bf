/* The child of a cold start, from fork to exec. It is forked twice: only a process that is forked
 * after joining a PID namespace is in it, and one may not leave it again in a user namespace; so a
 * short-lived process joins and forks, and CLONE_PARENT makes the host ramet-spawn's own child. */
#include "runtime/spawn/cold.h"
#include "base/cleanup.h"
#include "rfork/landlock.h"
#include "runtime/spawn/cgroup.h"
#include "runtime/spawn/exec.h"
#include "runtime/spawn/privileges.h"
#include "runtime/spawn/tenant.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CONTROL_FD 3 /* HOST_CONTROL_FD */
#define OUTCOME_FD 4
#define HIGH_FD 10
#define TREE_CLONE 1u /* OPEN_TREE_CLONE */
#define MOVE_EMPTY_PATH 4u /* MOVE_MOUNT_F_EMPTY_PATH */

#define COLD_STEPS(X) \
	X(NONE, "start it") \
	X(CGROUP, "join its cgroup") \
	X(TENANT, "join its tenant's namespaces") \
	X(DESCRIPTORS, "set up its descriptors") \
	X(FIND_DIR, "find its directory") \
	X(SANDBOX, "join its sandbox") \
	X(BIND_DIR, "bind its directory") \
	X(ENTER_DIR, "enter its directory") \
	X(PRIVILEGES, "give up privileges") \
	X(LANDLOCK, "give up all files but for reading (Landlock)") \
	X(SECCOMP, "load the system-call filter") \
	X(EXEC, "execute it")
enum cold_step {
#define COLD_STEP_ENUM(name, text) COLD_##name,
	COLD_STEPS(COLD_STEP_ENUM)
#undef COLD_STEP_ENUM
};

struct cold_failure {
	uint32_t step; /* enum cold_step */
	int32_t error;
};

/* --- in the child: async-signal-safe only --- */

/* Moves what the host gets to where it gets it. All are first moved out of the way of each other.
 */
static int child_descriptors(const struct cold_start *start, int *io_outcome)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int from[] = {null, start->log_fd, start->log_fd, start->control_fd, *io_outcome};
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, HIGH_FD);
		if (from[i] < 0)
			return -1;
	}
	*io_outcome = from[OUTCOME_FD];
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		if (dup3(from[i], (int)i, i == OUTCOME_FD ? O_CLOEXEC : 0) < 0)
			return -1;
	}
	*io_outcome = OUTCOME_FD;
	if (setrlimit(RLIMIT_NOFILE, start->nofile) < 0)
		return -1;
	return (int)syscall(SYS_close_range, OUTCOME_FD + 1u, ~0u, 0u);
}

static int make_parents(const char *path)
{
	char part[PATH_MAX];
	for (size_t i = 1; i < sizeof(part) && path[i - 1]; i++) {
		if (path[i] && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -1;
	}
	return 0;
}

static int child_bind(const char *dir, int tree)
{
	if (strncmp(dir, "/run/", 5) == 0 &&
		mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") < 0)
		return -1;
	if (make_parents(dir) < 0 ||
		syscall(SYS_move_mount, tree, "", AT_FDCWD, dir, MOVE_EMPTY_PATH) < 0)
		return -1;
	return mount(
		NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
}

/* Where in the file system it runs. Its PID namespace it was born in. */
static enum cold_step child_enter(const struct cold_start *start)
{
	int tree = -1;
	if (start->bind) {
		tree = (int)syscall(SYS_open_tree, AT_FDCWD, start->bind, TREE_CLONE | O_CLOEXEC);
		if (tree < 0)
			return COLD_FIND_DIR;
	}
	if (start->sandbox_pidfd >= 0 && setns(start->sandbox_pidfd, CLONE_NEWNS) < 0)
		return COLD_SANDBOX;
	if (tree >= 0 && child_bind(start->dir, tree) < 0)
		return COLD_BIND_DIR;
	return chdir(start->dir) < 0 ? COLD_ENTER_DIR : COLD_NONE;
}

static int child_drop(const struct cold_start *start)
{
	if (privileges_drop(start->uid, start->gid, start->clear_groups) < 0)
		return -1;
	/* a change of uid clears both */
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	return 0;
}

/* privileges_drop() has set no_new_privs */
static int child_give_up_files(void)
{
	struct landlock_attr attr;
	long version = syscall(LANDLOCK_NR_CREATE, NULL, 0, LANDLOCK_ASK_VERSION);
	if (version < 1)
		return 0; /* a kernel without it */
	size_t len = landlock_attr(version, 1, &attr);
	auto_close int rules = (int)syscall(LANDLOCK_NR_CREATE, &attr, len, 0);
	return rules < 0 ? -1 : (int)syscall(LANDLOCK_NR_RESTRICT, rules, 0);
}

static enum cold_step child_prepare(const struct cold_start *start, int *io_outcome)
{
	if (cgroup_enter(start->group, 0) < 0)
		return COLD_CGROUP;
	exec_signals();
	setsid();
	umask(022);
	if (start->tenant_pidfd >= 0 && setns(start->tenant_pidfd, TENANT_NAMESPACES) < 0)
		return COLD_TENANT;
	enum cold_step step = child_enter(start);
	if (step != COLD_NONE)
		return step;
	if (child_descriptors(start, io_outcome) < 0)
		return COLD_DESCRIPTORS;
	if (child_drop(start) < 0)
		return COLD_PRIVILEGES;
	if (start->landlock && child_give_up_files() < 0)
		return COLD_LANDLOCK;
	return syscall_filter_load(start->seccomp) < 0 ? COLD_SECCOMP : COLD_EXEC;
}

static _Noreturn void child_main(const struct cold_start *start, int outcome)
{
	struct cold_failure failure;
	failure.step = child_prepare(start, &outcome);
	if (failure.step == COLD_EXEC)
		execve(start->argv[0], (char *const *)start->argv, (char *const *)start->env);
	failure.error = errno;
	(void)!write(outcome, &failure, sizeof(failure));
	_exit(127);
}

struct birth {
	int32_t pid;
	struct cold_failure failure; /* pid 0 */
};

/* Libraries notice a fork by their process id (OpenSSL's random numbers do). A clone is the second
 * process of its sandbox, so a host is never that one. */
static void skip_pid(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static _Noreturn void middle_main(const struct cold_start *start, int birth, int outcome)
{
	struct birth out = {.failure.step = COLD_NONE};
	if (start->sandbox_pidfd >= 0 && setns(start->sandbox_pidfd, CLONE_NEWPID) < 0) {
		out.failure = (struct cold_failure){COLD_SANDBOX, errno};
	} else {
		unsigned long flags = CLONE_PARENT | SIGCHLD;
		if (start->sandbox_pidfd >= 0)
			skip_pid();
		out.pid = (int32_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
		if (out.pid == 0)
			child_main(start, outcome);
		if (out.pid < 0)
			out = (struct birth){.failure = {COLD_NONE, errno}};
	}
	close(outcome); /* from now on only the child holds it: its end is told at once */
	(void)!write(birth, &out, sizeof(out));
	_exit(0);
}

/* --- in ramet-spawn --- */

static int failed(const struct cold_failure *failure, const char *name, struct ramet_err *err)
{
	static const char *const texts[] = {
#define COLD_STEP_TEXT(name, text) text,
		COLD_STEPS(COLD_STEP_TEXT)
#undef COLD_STEP_TEXT
	};
	bool ending = failure->step == COLD_NONE && failure->error == ENOMEM;
	ending = ending || (failure->step == COLD_SANDBOX && failure->error == ESRCH);
	errno = failure->error;
	return err_errno(err, ending ? RAMET_EAGAIN : RAMET_EIO, "host %s: cannot %s", name,
		failure->step < ARRAY_LEN(texts) ? texts[failure->step] : "start");
}

static int read_birth(int fd, const char *name, pid_t *ret_pid, struct ramet_err *err)
{
	struct birth in;
	ssize_t n;
	do
		n = read(fd, &in, sizeof(in));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(in))
		return err_set(err, RAMET_EIO, "host %s: the process that forks it died", name);
	if (in.pid <= 0)
		return failed(&in.failure, name, err);
	*ret_pid = in.pid;
	return 0;
}

int cold_start(
	const struct cold_start *start, pid_t *ret_pid, int *ret_outcome, struct ramet_err *err)
{
	int birth[2], outcome[2];
	if (pipe2(birth, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	auto_close int birth_in = birth[0];
	auto_close int birth_out = birth[1];
	if (pipe2(outcome, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	auto_close int outcome_in = outcome[0];
	auto_close int outcome_out = outcome[1];
	pid_t middle = fork(); /* the reaper finds it, and nobody asks */
	if (middle < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (middle == 0)
		middle_main(start, birth_out, outcome_out);
	close_reset(&birth_out);
	int rc = read_birth(birth_in, start->argv[0], ret_pid, err);
	if (rc == 0)
		*ret_outcome = steal_fd(&outcome_in);
	return rc;
}

int cold_outcome(int outcome, const char *name, struct ramet_err *err)
{
	struct cold_failure failure;
	ssize_t n;
	do
		n = read(outcome, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return RAMET_EAGAIN;
	if (n == 0)
		return 0;
	if (n != sizeof(failure))
		return err_errno(err, RAMET_EIO, "host %s: its outcome is not known", name);
	int rc = failed(&failure, name, err);
	return rc == RAMET_EAGAIN ? err->code = RAMET_EIO : rc;
}
