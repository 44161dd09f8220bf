/* Captured hosts and their clones, whole: ramet-host, shadow, seed, template, instances that serve.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "runtime/host/host.h"
#include "tests/lib/suite.h"
#include "tests/rfork/fork_world.h"
#include "tests/runtime_host/host_world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct clone {
	pid_t pid;
	int control;
};

struct clone_world {
	struct host_world host;
	struct fork_world fork; /* the seed and its template */
};

/* --- the host --- */

static bool take_captured(struct clone_world *w, struct host_answer *answer)
{
	if (!CHECK(strcmp(answer->type, "captured") == 0) || !CHECK(answer->nfds == 2))
		return false;
	w->fork.request = (struct capture_request){.pidfd = steal_fd(&answer->fds[0]),
		.ready_fd = steal_fd(&answer->fds[1]),
		.state = answer_uint(answer, "state"),
		.timeout_ms = 20000};
	CHECK(answer_uint(answer, "stall") > 0);
	return true;
}

static bool make_template(struct clone_world *w)
{
	const struct fork_setup setup = {0};
	struct ramet_err err = {0};
	int rc = fork_world_capture(&w->fork, &err);
	if (rc == 0)
		rc = fork_world_build(&w->fork, &setup, &err);
	return suite_check_ok(rc, &err, "make a template", __FILE__, __LINE__);
}

/* a host with every function; its clones come later */
static bool open_host(struct clone_world *w)
{
	struct ramet_err err = {0};
	*w = (struct clone_world){
		.fork = {.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}}};
	int rc = host_start(&w->host, &err);
	if (rc == 0)
		rc = host_load_all(w->host.control, &err);
	return suite_check_ok(rc, &err, "start a host", __FILE__, __LINE__);
}

static bool capture(struct clone_world *w)
{
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	int rc = host_say(w->host.control, "capture", &err);
	if (rc == 0)
		rc = host_read(w->host.control, &answer, &err);
	if (!suite_check_ok(rc, &err, "capture", __FILE__, __LINE__))
		return false;
	bool captured = take_captured(w, &answer);
	host_answer_fini(&answer);
	return captured && make_template(w);
}

static bool open_world(struct clone_world *w)
{
	return open_host(w) && capture(w);
}

static void close_world(struct clone_world *w)
{
	fork_world_close(&w->fork);
	CHECK_INT(WEXITSTATUS(host_end(&w->host)), RAMET_HOST_LOST);
}

/* --- its clones --- */

static int make_clone(struct clone_world *w, struct clone *ret, struct ramet_err *err)
{
	int pair[2];
	auto_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	auto_close int theirs = pair[1];
	const struct template_clone clone = {
		.sandbox_pidfd = -1, .control_fd = theirs, .log_fd = null};
	*ret = (struct clone){.control = pair[0]};
	int rc = template_clone_send(w->fork.tmpl, &clone, err);
	return rc < 0 ? rc : template_clone_wait(w->fork.tmpl, &ret->pid, err);
}

/* a clone that has said that it runs */
static bool start_clone(struct clone_world *w, struct clone *ret)
{
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	uint64_t before = now_ns();
	int rc = make_clone(w, ret, &err);
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

static int end_clone(struct clone *clone)
{
	int status = -1;
	close_reset(&clone->control);
	waitpid(clone->pid, &status, 0);
	return status;
}

/* one call in a clone of its own */
static void check_in_clone(struct clone_world *w, const char *function, const char *expected)
{
	struct clone clone = {.control = -1};
	REQUIRE(start_clone(w, &clone));
	CHECK_STR(ask(clone.control, function, ""), expected);
	CHECK_INT(WEXITSTATUS(end_clone(&clone)), RAMET_HOST_LOST);
}

/* --- tests --- */

static void test_clones_have_what_was_initialised(void)
{
	struct clone_world w;
	unsigned fds = suite_count_fds();
	REQUIRE(open_world(&w));
	check_in_clone(&w, "sum", "499500");
	check_in_clone(&w, "sum", "499500"); /* not what its sibling wrote */
	CHECK_STR(ask(w.host.control, "sum", ""), "499500");
	CHECK_STR(ask(w.host.control, "sum", ""), "499501");
	close_world(&w);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_clones_get_randomness_of_their_own(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	char said[3][256];
	REQUIRE(open_world(&w));
	for (int i = 0; i < 2; i++) {
		REQUIRE(start_clone(&w, &clone));
		snprintf(said[i], sizeof(said[i]), "%s", ask(clone.control, "seed", ""));
		end_clone(&clone);
	}
	snprintf(said[2], sizeof(said[2]), "%s", ask(w.host.control, "seed", ""));
	CHECK_INT(strspn(said[2], "0"), 64); /* the host was never seeded */
	for (int i = 0; i < 3; i++) {
		const char *one = said[i];
		const char *other = said[(i + 1) % 3];
		CHECK(strncmp(one, other, 64) != 0); /* what ramet_after_clone() got */
		CHECK(strcmp(one + 64, other + 64) != 0); /* random() */
	}
	close_world(&w);
}

static void test_deadline_holds_in_clones(void)
{
	const struct host_request request = {
		.function = "spin", .deadline_ns = now_ns() + 20000000};
	struct clone_world w;
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(open_world(&w));
	REQUIRE(start_clone(&w, &clone));
	REQUIRE_OK(host_call(clone.control, &request, &answer, &err), &err);
	CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
	host_answer_fini(&answer);
	CHECK_STR(ask(clone.control, "echo", "on"), "on");
	CHECK_INT(host_say(clone.control, "exit", &err), 0);
	CHECK_INT(end_clone(&clone), 0);
	close_world(&w);
}

static void check_crash_in_clone(struct clone_world *w, const char *how, int signal)
{
	const struct host_request request = {.function = "crash", .text = how};
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(start_clone(w, &clone));
	REQUIRE_OK(host_call(clone.control, &request, &answer, &err), &err);
	CHECK_STR(answer.type, "crash");
	CHECK_INT(answer_uint(&answer, "signal"), signal);
	host_answer_fini(&answer);
	CHECK_INT(WTERMSIG(end_clone(&clone)), signal);
}

static void test_crash_costs_one_clone(void)
{
	struct clone_world w;
	REQUIRE(open_world(&w));
	check_crash_in_clone(&w, "segv", SIGSEGV);
	check_crash_in_clone(&w, "overflow", SIGSEGV);
	check_crash_in_clone(&w, "abort", SIGABRT);
	check_in_clone(&w, "sum", "499500");
	close_world(&w);
}

static void test_memory_given_back_is_zero_in_clones(void)
{
	struct clone_world w;
	REQUIRE(open_world(&w));
	check_in_clone(&w, "dontneed", "12288 53248");
	CHECK_STR(ask(w.host.control, "dontneed", ""), "12288 53248");
	check_in_clone(&w, "dontneed", "12288 53248");
	close_world(&w);
}

static void test_control_socket_of_clones_is_not_inherited(void)
{
	struct clone_world w;
	REQUIRE(open_world(&w));
	check_in_clone(&w, "inherited", "0");
	close_world(&w);
}

/* A call sent right behind the capture is the host's, and no clone's. */
static void test_calls_behind_the_capture_are_kept(void)
{
	const struct host_request request = {.id = 77, .function = "echo", .text = "mine"};
	CLEANUP(buf_fini) struct buf call = {0};
	struct clone_world w;
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	size_t len;
	unsigned char both[512] = {11, 0, 0, 0, 0x81, 0xa1, 't', 0xa7};
	REQUIRE(open_host(&w));
	host_pack_call(&call, &request);
	REQUIRE(call.len < 256);
	memcpy(both + 8, "capture", 7);
	both[15] = (unsigned char)call.len;
	memcpy(both + 19, call.data, call.len);
	CHECK_INT(send(w.host.control, both, 19 + call.len, MSG_NOSIGNAL), 19 + call.len);
	REQUIRE_OK(host_read(w.host.control, &answer, &err), &err);
	REQUIRE(take_captured(&w, &answer));
	host_answer_fini(&answer);
	REQUIRE_OK(host_read(w.host.control, &answer, &err), &err);
	CHECK_INT(answer_uint(&answer, "id"), 77);
	CHECK_STR(answer_data(&answer, &len), "mine");
	host_answer_fini(&answer);
	REQUIRE(make_template(&w));
	REQUIRE(start_clone(&w, &clone));
	CHECK_STR(ask(clone.control, "echo", "its own"), "its own");
	end_clone(&clone);
	close_world(&w);
}

static void test_refused_capture_leaves_the_host(void)
{
	struct clone_world w;
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(open_host(&w));
	(void)ask(w.host.control, "refuse", "snapshot");
	CHECK_INT(host_say(w.host.control, "capture", &err), 0);
	REQUIRE_OK(host_read(w.host.control, &answer, &err), &err);
	CHECK_STR(answer.type, "refused");
	CHECK_STR(answer_error(&answer, "code"), "EREFUSED");
	CHECK_STR(answer_error(&answer, "kind"), "refused");
	CHECK(strstr(answer_error(&answer, "message"), "ramet_before_snapshot()") != NULL);
	host_answer_fini(&answer);
	(void)ask(w.host.control, "refuse", "nothing");
	REQUIRE(capture(&w));
	check_in_clone(&w, "sum", "499500");
	close_world(&w);
}

static void test_clone_whose_hook_fails_does_not_run(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(open_host(&w));
	(void)ask(w.host.control, "refuse", "clone");
	REQUIRE(capture(&w));
	REQUIRE_OK(make_clone(&w, &clone, &err), &err);
	CHECK_INT(host_read(clone.control, &answer, &err), RAMET_EPEER);
	host_answer_fini(&answer);
	CHECK_INT(WEXITSTATUS(end_clone(&clone)), RAMET_HOST_CLONE);
	close_world(&w);
}

SUITE_MAIN("host_clone", TEST(test_clones_have_what_was_initialised),
	TEST(test_clones_get_randomness_of_their_own), TEST(test_deadline_holds_in_clones),
	TEST(test_crash_costs_one_clone), TEST(test_memory_given_back_is_zero_in_clones),
	TEST(test_control_socket_of_clones_is_not_inherited),
	TEST(test_calls_behind_the_capture_are_kept), TEST(test_refused_capture_leaves_the_host),
	TEST(test_clone_whose_hook_fails_does_not_run))
