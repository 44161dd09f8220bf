/* Python hosts for tests. */
#include "tests/runtime_python/python_world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "runtime/host/host.h"
#include "runtime/host_proto.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS ((int)suite_patience(20000))
#define MAX_ENV 16

const char *python_interpreter(void)
{
	const char *given = getenv("RAMET_TEST_PYTHON");
	return given && *given ? given : "/usr/bin/python3";
}

bool python_has(const char *module)
{
	char command[128];
	int status = -1;
	snprintf(command, sizeof(command), "import %s", module);
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		if (null >= 0)
			dup2(null, 2);
		execl(python_interpreter(), "python3", "-c", command, NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- hosts --- */

static _Noreturn void child(const char *python, const char *const *env, int control, int output)
{
	const char *bin = getenv("RAMET_BIN");
	char engine[512];
	char preload[512];
	char fault[128];
	const char *vars[MAX_ENV] = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8", preload};
	char *argv[] = {(char *)(uintptr_t)python, engine, NULL};
	unsigned n = 4;
	snprintf(engine, sizeof(engine), "%s/../python/ramet_host/__main__.py", bin ? bin : ".");
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s/../lib/libramet-host.so.0",
		bin ? bin : ".");
	if (getenv("RAMET_FAULT")) {
		snprintf(fault, sizeof(fault), "RAMET_FAULT=%s", getenv("RAMET_FAULT"));
		vars[n++] = fault;
	}
	for (; env && *env && n < MAX_ENV - 1; env++) {
		bool ours = strncmp(*env, "LD_PRELOAD=", 11) == 0;
		vars[ours ? 3 : n++] = *env;
	}
	int null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(control, 10) < 0 || dup2(output, 1) < 0 || dup2(1, 2) < 0 ||
		dup2(null, 0) < 0 || dup2(10, HOST_CONTROL_FD) < 0)
		_exit(126);
	close_range(HOST_CONTROL_FD + 1, ~0u, 0);
	execve(python, argv, (char *const *)(uintptr_t)vars);
	_exit(127);
}

static int spawn(
	struct host_world *w, const char *python, const char *const *env, struct ramet_err *err)
{
	int pair[2];
	int out[2];
	*w = (struct host_world){.control = -1, .output = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	w->control = pair[0];
	auto_close int theirs = pair[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	w->output = out[0];
	auto_close int their_output = out[1];
	w->pid = fork();
	if (w->pid == 0)
		child(python, env, theirs, their_output);
	return w->pid < 0 ? err_errno(err, RAMET_EIO, "fork") : 0;
}

int python_start(struct host_world *w, const char *python, const char *const *env,
	struct host_answer *ret_ready, struct ramet_err *err)
{
	struct host_answer answer = {.nfds = 0};
	int rc = spawn(w, python, env, err);
	if (rc == 0)
		rc = host_read(w->control, &answer, err);
	if (rc == 0 && strcmp(answer.type, "ready") != 0)
		rc = err_set(err, RAMET_EPROTO, "the first message is %s", answer.type);
	if (rc == 0 && ret_ready)
		*ret_ready = answer;
	else
		host_answer_fini(&answer);
	return rc;
}

bool python_open(struct host_world *w, const char *const *handlers)
{
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	int rc = python_start(w, python_interpreter(), NULL, NULL, &err);
	if (rc == 0)
		rc = host_load(w->control, handlers, &answer, &err);
	if (rc == 0 && strcmp(answer.type, "loaded") != 0)
		rc = err_set(&err, RAMET_EIO, "the answer is %s: %s", answer.type,
			answer_error(&answer, "message"));
	host_answer_fini(&answer);
	return suite_check_ok(rc, &err, "start a Python host", __FILE__, __LINE__);
}

bool python_call(int control, const char *function, const char *text, struct host_answer *ret)
{
	const struct host_request request = {.function = function, .text = text};
	struct ramet_err err = {0};
	int rc = host_call(control, &request, ret, &err);
	return suite_check_ok(rc, &err, function, __FILE__, __LINE__);
}

bool python_output(int fd, const char *text, char *said, size_t cap)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	size_t have = 0;
	said[0] = 0;
	while (!strstr(said, text)) {
		if (poll(&pfd, 1, TIMEOUT_MS) != 1)
			return false;
		ssize_t n = read(fd, said + have, cap - 1 - have);
		if (n <= 0)
			return false;
		have += (size_t)n;
		said[have] = 0;
	}
	return true;
}

/* --- seeds --- */

bool python_seed_start(struct python_seed *s, const char *const *handlers)
{
	*s = (struct python_seed){
		.fork = {.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}}};
	return python_open(&s->host, handlers);
}

bool python_seed_capture(struct python_seed *s)
{
	const struct fork_setup setup = {0};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	int rc = host_say(s->host.control, "capture", &err);
	if (rc == 0)
		rc = host_read(s->host.control, &answer, &err);
	if (rc == 0 && (strcmp(answer.type, "captured") != 0 || answer.nfds != 2))
		rc = err_set(&err, RAMET_EREFUSED, "%s: %s", answer.type,
			answer_error(&answer, "message"));
	if (rc == 0) {
		s->fork.request = (struct capture_request){.pidfd = steal_fd(&answer.fds[0]),
			.ready_fd = steal_fd(&answer.fds[1]),
			.state = answer_uint(&answer, "state"),
			.timeout_ms = TIMEOUT_MS};
		rc = fork_world_capture(&s->fork, &err);
	}
	host_answer_fini(&answer);
	if (rc == 0)
		rc = fork_world_build(&s->fork, &setup, &err);
	return suite_check_ok(rc, &err, "capture a Python host", __FILE__, __LINE__);
}

bool python_seed_open(struct python_seed *s, const char *const *handlers)
{
	return python_seed_start(s, handlers) && python_seed_capture(s);
}

void python_seed_close(struct python_seed *s)
{
	fork_world_close(&s->fork);
	CHECK_INT(WEXITSTATUS(host_end(&s->host)), RAMET_HOST_LOST);
}

/* --- clones --- */

static int make_clone(
	struct python_seed *s, int sandbox, struct python_clone *ret, struct ramet_err *err)
{
	int pair[2];
	int out[2];
	*ret = (struct python_clone){.control = -1, .output = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	ret->control = pair[0];
	auto_close int theirs = pair[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	ret->output = out[0];
	auto_close int their_output = out[1];
	const struct template_clone clone = {.sandbox_pidfd = sandbox,
		.next_pidfd = -1,
		.control_fd = theirs,
		.log_fd = their_output};
	int rc = template_clone_send(s->fork.tmpl, &clone, err);
	return rc < 0 ? rc : template_clone_wait(s->fork.tmpl, &ret->pid, err);
}

bool python_clone_start(struct python_seed *s, int sandbox, struct python_clone *ret)
{
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	int rc = make_clone(s, sandbox, ret, &err);
	if (rc == 0)
		rc = host_read(ret->control, &answer, &err);
	if (rc == 0 && strcmp(answer.type, "started") != 0)
		rc = err_set(&err, RAMET_EPROTO, "the first message is %s", answer.type);
	host_answer_fini(&answer);
	return suite_check_ok(rc, &err, "start a clone", __FILE__, __LINE__);
}

int python_clone_end(struct python_clone *clone)
{
	int status = -1;
	close_reset(&clone->control);
	if (clone->pid > 0)
		waitpid(clone->pid, &status, 0);
	close_reset(&clone->output);
	return status;
}
