/* Running other programs: see tools.h. */
#include "cmd/ramet-wasm/tools.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOOL_BYTES (4ull << 30) /* of memory, and of a file */
#define TOOL_SECONDS 600 /* of a CPU */
#define BY_SIGNAL 128
#define SAID_BYTES 16384 /* the beginning of what it says: the first error is what matters */

struct said {
	char text[SAID_BYTES];
	size_t len;
};

/* what a module makes a compiler do ends */
static void set_limits(void)
{
	static const struct {
		int resource;
		rlim_t most;
	} limits[] = {
		{RLIMIT_AS, TOOL_BYTES}, {RLIMIT_FSIZE, TOOL_BYTES}, {RLIMIT_CPU, TOOL_SECONDS}};
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit limit;
		if (getrlimit(limits[i].resource, &limit) < 0 || limit.rlim_max < limits[i].most)
			continue;
		limit.rlim_cur = limits[i].most;
		(void)setrlimit(limits[i].resource, &limit);
	}
}

static _Noreturn void child(const char *dir, const char *const *argv, int output)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (chdir(dir) < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
		_exit(126);
	if (setenv("TMPDIR", dir, 1) < 0) /* what a killed compiler leaves is removed, too */
		_exit(126);
	set_limits();
	execvp(argv[0], (char *const *)argv);
	_exit(errno == ENOENT ? 127 : 126);
}

static void end_group(int signal)
{
	(void)signal;
	(void)kill(0, SIGKILL);
}

/* A compiler has processes of its own: this one, in a group with all of them, ends them when ours
 * is killed, as it is when a deployment is given up. */
static _Noreturn void guard(const char *dir, const char *const *argv, int output, pid_t parent)
{
	int status = 0;
	if (setpgid(0, 0) < 0 || signal(SIGTERM, end_group) == SIG_ERR ||
		prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(126);
	pid_t pid = fork();
	if (pid == 0)
		child(dir, argv, output);
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			_exit(126);
	_exit(pid < 0			      ? 126
			: WIFSIGNALED(status) ? BY_SIGNAL + WTERMSIG(status)
					      : WEXITSTATUS(status));
}

static void read_all(int fd, struct said *said)
{
	char rest[4096];
	said->len = 0;
	for (;;) {
		bool room = said->len < sizeof(said->text) - 1;
		ssize_t n = read(fd, room ? said->text + said->len : rest,
			room ? sizeof(said->text) - 1 - said->len : sizeof(rest));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (room)
			said->len += (size_t)n;
	}
	said->text[said->len] = '\0';
}

/* its exit status, BY_SIGNAL and more: a signal ended it */
static int run(const char *dir, const char *const *argv, struct said *said, int *ret_status,
	struct ramet_err *err)
{
	int out[2];
	int status = 0;
	pid_t self = getpid();
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	auto_close int reads = out[0];
	int writes = out[1];
	pid_t pid = fork();
	if (pid == 0)
		guard(dir, argv, writes, self);
	close(writes);
	if (pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	read_all(reads, said);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_errno(err, RAMET_EIO, "wait for %s", argv[0]);
	if (!WIFEXITED(status))
		return err_set(err, RAMET_EIO, "%s was killed", argv[0]);
	*ret_status = WEXITSTATUS(status);
	return 0;
}

/* the line that says what is wrong, or the first one */
static void pick_line(const struct said *said, char *dst, size_t cap)
{
	const char *line = strstr(said->text, "error: ");
	line = line ? line + strlen("error: ") : said->text;
	snprintf(dst, cap, "%.*s", (int)strcspn(line, "\n"), line);
}

static int missing(const char *program, struct ramet_err *err)
{
	bool compiler = strcmp(program, "cc") == 0;
	return err_set(err, RAMET_ENOTSUP,
		"this node has no %s, which WebAssembly is compiled with: install %s on it "
		"(Debian: apt install %s)",
		program, compiler ? "a C compiler" : "wabt", compiler ? "gcc libc6-dev" : "wabt");
}

int tools_run(const char *what, const char *dir, const char *const *argv, struct ramet_err *err)
{
	struct said said;
	char line[TOOLS_SAID_MAX];
	int status = 0;
	int rc = run(dir, argv, &said, &status, err);
	if (rc < 0 || status == 0)
		return rc;
	if (status == 127)
		return missing(argv[0], err);
	pick_line(&said, line, sizeof(line));
	if (status > BY_SIGNAL)
		return err_set(err, RAMET_EUSER, "%s: %s was ended by signal %d%s%s", what, argv[0],
			status - BY_SIGNAL, line[0] ? ": " : "", line);
	return err_set(err, RAMET_EUSER, "%s: %s", what, line[0] ? line : argv[0]);
}

/* the first line that a program says about itself */
static int version_of(const char *program, char *dst, size_t cap, struct ramet_err *err)
{
	const char *const argv[] = {program, "--version", NULL};
	struct said said;
	int status = 0;
	int rc = run("/", argv, &said, &status, err);
	if (rc < 0)
		return rc;
	if (status == 127)
		return missing(program, err);
	if (status != 0)
		return err_set(err, RAMET_ENOTSUP, "%s --version ends with status %d: %.200s",
			program, status, said.text);
	snprintf(dst, cap, "%.*s", (int)strcspn(said.text, "\n"), said.text);
	return 0;
}

int tools_find(struct tools *ret_tools, struct ramet_err *err)
{
	char wabt[64];
	char compiler[256];
	int rc = version_of("wasm2c", wabt, sizeof(wabt), err);
	if (rc == 0 && strcmp(wabt, TOOLS_WABT) != 0)
		rc = err_set(err, RAMET_ENOTSUP,
			"this node's wasm2c is of wabt %.32s, and Ramet needs " TOOLS_WABT
			", whose C it knows",
			wabt);
	if (rc == 0)
		rc = version_of("cc", compiler, sizeof(compiler), err);
	if (rc == 0)
		snprintf(ret_tools->versions, sizeof(ret_tools->versions), "wabt %s, %s", wabt,
			compiler);
	return rc;
}
