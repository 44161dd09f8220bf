/* Hosts with process state, their seeds and clones, for tests. */
#include "tests/rfork/state_world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "runtime/spawn/privileges.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS ((int)suite_patience(20000))
#define AHEAD_S 3600
#define MAX_CASES 128

static const char *fault_set_now;

static void set_fault(const char *name)
{
	if (fault_set_now)
		fault_set(fault_set_now, 0, 0);
	fault_set_now = name;
	if (!name) {
		unsetenv("RAMET_FAULT");
		return;
	}
	fault_set(name, 0, 1u << 30);
	setenv("RAMET_FAULT", name, 1);
}

/* --- the host --- */

/* Its monotonic and boottime clocks run ahead of ours, as on another machine. With a thread beside
 * it, which ThreadSanitizer starts, a process gets its new clocks when it executes a program. */
static int shift_clocks(void)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "1 %d 0\n7 %d 0\n", AHEAD_S, AHEAD_S);
	if (unshare(CLONE_NEWTIME) < 0)
		return -1;
	int offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	int space = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (write(offsets, text, (size_t)len) != len)
		return -1;
	return setns(space, CLONE_NEWTIME) == 0 || errno == EUSERS ? 0 : -1;
}

/* as ramet-spawn starts a host */
static int enter_service(const void *arg)
{
	const struct state_world *w = arg;
	if (w->where == STATE_REMOTE && shift_clocks() < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || privileges_drop(0, 0, true) < 0)
		return -1;
	return syscall_filter_load(&w->filter);
}

static int load_cases(struct state_world *w, struct ramet_err *err)
{
	const char *handlers[MAX_CASES + 1] = {NULL};
	struct host_answer answer;
	for (unsigned i = 0; i < MAX_CASES && w->cases[i]; i++)
		handlers[i] = w->cases[i]->name;
	int rc = host_load(w->host.control, handlers, &answer, err);
	if (rc == 0 && strcmp(answer.type, "loaded") != 0)
		rc = err_set(
			err, RAMET_EIO, "%s: %s", answer.type, answer_error(&answer, "message"));
	host_answer_fini(&answer);
	return rc;
}

/* what a host said before it ended */
static void print_output(const struct state_world *w)
{
	char text[4096];
	struct pollfd pfd = {.fd = w->host.output, .events = POLLIN};
	while (poll(&pfd, 1, 100) == 1 && pfd.revents & POLLIN) {
		ssize_t n = read(w->host.output, text, sizeof(text));
		if (n <= 0)
			return;
		printf("%.*s", (int)n, text);
	}
}

bool state_world_start(struct state_world *w, enum state_where where,
	const struct state_case *const *cases, const char *fault)
{
	struct ramet_err err = {0};
	*w = (struct state_world){.where = where,
		.cases = cases,
		.host = {.control = -1, .output = -1},
		.fork = {.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}}};
	const struct host_program program = {
		.name = "state_host", .before_exec = enter_service, .arg = w};
	set_fault(fault);
	/* threads of a busy machine may not get to run; those that never stop are not waited for */
	setenv("RAMET_PARK_MS", cases[0]->refused ? "1000" : "20000", 1);
	int rc = syscall_filter_build(SYSCALLS_ANY, &w->filter, &err);
	bool spaced = cases[0]->flags & STATE_PIDS;
	if (spaced && !CHECK(pid_space_open(&w->space) && pid_space_enter(&w->space)))
		return false;
	if (rc == 0 || rc == RAMET_ENOTSUP)
		rc = host_start_program(&w->host, &program, &err);
	if (spaced && !CHECK(pid_space_leave()))
		return false;
	if (rc == 0)
		rc = load_cases(w, &err);
	if (rc < 0) {
		print_output(w);
		printf("  the host ended: %#x\n", host_end(&w->host));
	}
	return suite_check_ok(rc, &err, cases[0]->name, __FILE__, __LINE__);
}

static int ask_for_shadow(struct state_world *w, struct ramet_err *err)
{
	struct host_answer answer = {.nfds = 0};
	CLEANUP(buf_fini) struct buf b = {0};
	unsigned close = 0;
	for (unsigned i = 0; w->cases[i]; i++)
		close |= w->cases[i]->close_on_fork;
	wire_map(&b, 2);
	wire_kstr(&b, "t", "capture");
	wire_kuint(&b, "close", close);
	int rc = host_send(w->host.control, &b, err);
	if (rc == 0)
		rc = host_read(w->host.control, &answer, err);
	if (rc == 0 && strcmp(answer.type, "refused") == 0)
		rc = err_set(err, RAMET_EREFUSED, "%s", answer_error(&answer, "message"));
	else if (rc == 0 && (strcmp(answer.type, "captured") != 0 || answer.nfds != 2))
		rc = err_set(err, RAMET_EPROTO, "the answer is %s", answer.type);
	if (rc == 0)
		w->fork.request = (struct capture_request){.pidfd = steal_fd(&answer.fds[0]),
			.ready_fd = steal_fd(&answer.fds[1]),
			.host = w->host.pid,
			.state = answer_uint(&answer, "state"),
			.timeout_ms = TIMEOUT_MS};
	host_answer_fini(&answer);
	return rc;
}

int state_world_capture(struct state_world *w, struct ramet_err *err)
{
	struct fork_setup setup = {.filter = w->filter.filter, .filter_len = w->filter.len};
	int rc = ask_for_shadow(w, err);
	if (rc == 0)
		rc = fork_world_capture(&w->fork, err);
	if (rc == 0 && w->where == STATE_REMOTE) {
		/* the first node's loop is this thread's, which does other things for seconds: not
		 * dead */
		const struct transport_options patient = {
			.peer_timeout_ms = TIMEOUT_MS, .handshake_ms = TIMEOUT_MS};
		const struct pager_options options = {.provider = "mem", .transport = &patient};
		if (!CHECK(world_init_of(&w->second, w->fork.image, &options)) ||
			!CHECK(world_add_peer(&w->second)))
			return err_set(err, RAMET_EIO, "no second node");
		setup.image = w->second.image;
		setup.uffd = true;
		setup.clocks_ahead_ns = AHEAD_S * (int64_t)NSEC_PER_SEC;
	}
	return rc < 0 ? rc : fork_world_build(&w->fork, &setup, err);
}

void state_world_close(struct state_world *w)
{
	fork_world_unbuild(&w->fork);
	if (w->second.loop)
		world_fini(&w->second);
	fork_world_close(&w->fork);
	host_end(&w->host);
	if (w->space.init)
		pid_space_close(&w->space);
	syscall_filter_fini(&w->filter);
	set_fault(NULL);
}

/* --- messages, while the first node goes on serving pages --- */

static int await(struct state_world *w, int control, struct ramet_err *err)
{
	const uint64_t deadline = now_ns() + (uint64_t)TIMEOUT_MS * NSEC_PER_MSEC;
	while (now_ns() < deadline) {
		struct pollfd pfds[2] = {{.fd = control, .events = POLLIN},
			{.fd = w->second.loop ? loop_fd(w->second.loop) : -1, .events = POLLIN}};
		if (poll(pfds, 2, 100) < 0)
			return err_errno(err, RAMET_EIO, "poll");
		if (pfds[0].revents)
			return 0;
		if (w->second.loop && loop_turn(w->second.loop, 0, err) < 0)
			return err->code;
	}
	return err_set(err, RAMET_ETIMEOUT, "no answer in %d ms", TIMEOUT_MS);
}

const char *state_ask(struct state_world *w, int control, const struct state_case *c)
{
	static char text[1024];
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	CLEANUP(buf_fini) struct buf b = {0};
	size_t len = 0;
	host_pack_call(&b, &(struct host_request){.function = c->name});
	int rc = host_send(control, &b, &err);
	if (rc == 0)
		rc = await(w, control, &err);
	if (rc == 0)
		rc = host_read(control, &answer, &err);
	if (rc < 0)
		snprintf(text, sizeof(text), "no answer: %s", err.msg);
	else if (strcmp(answer.type, "result") != 0)
		snprintf(text, sizeof(text), "%s", answer.type);
	else
		snprintf(text, sizeof(text), "%s",
			answer_ok(&answer) ? answer_data(&answer, &len)
					   : answer_error(&answer, "message"));
	host_answer_fini(&answer);
	return text;
}

/* --- clones --- */

unsigned state_clones(void)
{
	const char *fewer = getenv("RAMET_STATE_CLONES");
	unsigned long n = fewer ? strtoul(fewer, NULL, 10) : STATE_CLONES;
	return n > 0 && n < STATE_CLONES ? (unsigned)n : STATE_CLONES;
}

int state_clone_send(struct state_world *w, struct state_clone *ret, struct ramet_err *err)
{
	int pair[2];
	auto_close int log = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (log < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	auto_close int theirs = pair[1];
	*ret = (struct state_clone){.control = pair[0], .uffd = -1};
	if (w->space.init && !pid_space_open(&ret->space))
		return err_errno(err, RAMET_EIO, "PID namespace");
	const struct template_clone clone = {.sandbox_pidfd = w->space.init ? ret->space.pidfd : -1,
		.next_pidfd = -1,
		.control_fd = theirs,
		.log_fd = log,
		.drop = true};
	int rc = template_clone_send(w->fork.tmpl, &clone, err);
	if (rc == 0 && w->fork.uffd >= 0)
		rc = template_read_fork(w->fork.uffd, TIMEOUT_MS, &ret->uffd, err);
	if (rc == 0)
		rc = template_clone_wait(w->fork.tmpl, &ret->pid, err);
	if (rc < 0 || ret->uffd < 0)
		return rc;
	rc = pager_child_add(w->second.seed, 1, ret->uffd, NULL, NULL, &ret->child, err);
	if (rc == 0)
		ret->uffd = -1;
	return rc;
}

int state_clone_wait(struct state_world *w, struct state_clone *clone, struct ramet_err *err)
{
	struct host_answer answer = {.nfds = 0};
	int rc = await(w, clone->control, err);
	if (rc == 0)
		rc = host_read(clone->control, &answer, err);
	if (rc == 0 && strcmp(answer.type, "started") != 0)
		rc = err_set(err, RAMET_EREFUSED, "%s: %s", answer.type,
			strcmp(answer.type, "failed") == 0 ? answer_error(&answer, "message") : "");
	host_answer_fini(&answer);
	return rc;
}

int state_clone_start(struct state_world *w, struct state_clone *ret, struct ramet_err *err)
{
	int rc = state_clone_send(w, ret, err);
	return rc < 0 ? rc : state_clone_wait(w, ret, err);
}

void state_clone_end(struct state_clone *clone)
{
	close_reset(&clone->control);
	if (clone->pid > 0) {
		kill(clone->pid, SIGKILL);
		waitpid(clone->pid, NULL, 0);
	}
	if (clone->child)
		pager_child_remove(clone->child);
	close_reset(&clone->uffd);
	if (clone->space.init)
		pid_space_close(&clone->space);
	*clone = (struct state_clone){.control = -1, .uffd = -1};
}
