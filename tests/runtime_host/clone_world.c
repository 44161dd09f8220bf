/* Captured hosts for tests, whole: ramet-host, shadow, seed, template, clones that serve. */
#include "tests/runtime_host/clone_world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "runtime/host/host.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS ((int)suite_patience(20000))

/* --- the host --- */

bool clone_world_take(struct clone_world *w, struct host_answer *answer)
{
	if (!CHECK(strcmp(answer->type, "captured") == 0) || !CHECK(answer->nfds == 2))
		return false;
	w->fork.request = (struct capture_request){.pidfd = steal_fd(&answer->fds[0]),
		.ready_fd = steal_fd(&answer->fds[1]),
		.state = answer_uint(answer, "state"),
		.timeout_ms = TIMEOUT_MS};
	CHECK(answer_uint(answer, "stall") > 0);
	return true;
}

bool clone_world_build(struct clone_world *w)
{
	const struct fork_setup setup = {
		.filter = w->filter, .filter_len = w->filter_len, .landlock = w->landlock};
	struct ramet_err err = {0};
	int rc = fork_world_capture(&w->fork, &err);
	if (rc == 0)
		rc = fork_world_build(&w->fork, &setup, &err);
	return suite_check_ok(rc, &err, "make a template", __FILE__, __LINE__);
}

bool clone_world_start(struct clone_world *w)
{
	struct ramet_err err = {0};
	*w = (struct clone_world){
		.fork = {.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}}};
	int rc = host_start(&w->host, &err);
	if (rc == 0)
		rc = host_load_all(w->host.control, &err);
	return suite_check_ok(rc, &err, "start a host", __FILE__, __LINE__);
}

bool clone_world_capture(struct clone_world *w)
{
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	int rc = host_say(w->host.control, "capture", &err);
	if (rc == 0)
		rc = host_read(w->host.control, &answer, &err);
	if (!suite_check_ok(rc, &err, "capture", __FILE__, __LINE__))
		return false;
	bool captured = clone_world_take(w, &answer);
	host_answer_fini(&answer);
	return captured && clone_world_build(w);
}

bool clone_world_open(struct clone_world *w)
{
	return clone_world_start(w) && clone_world_capture(w);
}

void clone_world_close(struct clone_world *w)
{
	fork_world_close(&w->fork);
	CHECK_INT(WEXITSTATUS(host_end(&w->host)), RAMET_HOST_LOST);
}

/* --- its clones --- */

int clone_make(struct clone_world *w, struct clone *ret, struct ramet_err *err)
{
	int pair[2];
	auto_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	auto_close int theirs = pair[1];
	const struct template_clone clone = {
		.sandbox_pidfd = -1, .next_pidfd = -1, .control_fd = theirs, .log_fd = null};
	*ret = (struct clone){.control = pair[0]};
	int rc = template_clone_send(w->fork.tmpl, &clone, err);
	return rc < 0 ? rc : template_clone_wait(w->fork.tmpl, &ret->pid, err);
}

bool clone_start(struct clone_world *w, struct clone *ret)
{
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	uint64_t before = now_ns();
	int rc = clone_make(w, ret, &err);
	if (rc == 0)
		rc = host_read(ret->control, &answer, &err);
	if (suite_check_ok(rc, &err, "start a clone", __FILE__, __LINE__)) {
		CHECK_STR(answer.type, "started");
		CHECK(before < answer_uint(&answer, "first"));
		CHECK(answer_uint(&answer, "first") < answer_uint(&answer, "hooks"));
		CHECK(answer_uint(&answer, "hooks") <= now_ns());
	}
	host_answer_fini(&answer);
	return rc == 0;
}

int clone_end(struct clone *clone)
{
	int status = -1;
	close_reset(&clone->control);
	waitpid(clone->pid, &status, 0);
	return status;
}

void clone_check(struct clone_world *w, const char *function, const char *expected)
{
	struct clone clone = {.control = -1};
	REQUIRE(clone_start(w, &clone));
	CHECK_STR(ask(clone.control, function, ""), expected);
	CHECK_INT(WEXITSTATUS(clone_end(&clone)), RAMET_HOST_LOST);
}
