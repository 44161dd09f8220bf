/* Clones of captured hosts: state, randomness, deadlines, crashes, and what refuses them. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/host/host.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/clone_world.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_clones_have_what_was_initialised(void)
{
	struct clone_world w;
	unsigned fds = suite_count_fds();
	REQUIRE(clone_world_open(&w));
	clone_check(&w, "sum", "499500");
	clone_check(&w, "sum", "499500"); /* not what its sibling wrote */
	CHECK_STR(ask(w.host.control, "sum", ""), "499500");
	CHECK_STR(ask(w.host.control, "sum", ""), "499501");
	clone_world_close(&w);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_clones_get_randomness_of_their_own(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	char said[3][256];
	REQUIRE(clone_world_open(&w));
	for (int i = 0; i < 2; i++) {
		REQUIRE(clone_start(&w, &clone));
		snprintf(said[i], sizeof(said[i]), "%s", ask(clone.control, "seed", ""));
		clone_end(&clone);
	}
	snprintf(said[2], sizeof(said[2]), "%s", ask(w.host.control, "seed", ""));
	CHECK_INT(strspn(said[2], "0"), 64); /* the host was never seeded */
	for (int i = 0; i < 3; i++) {
		const char *one = said[i];
		const char *other = said[(i + 1) % 3];
		CHECK(strncmp(one, other, 64) != 0); /* what ramet_after_clone() got */
		CHECK(strcmp(one + 64, other + 64) != 0); /* random() */
	}
	clone_world_close(&w);
}

static void test_deadline_holds_in_clones(void)
{
	const struct host_request request = {
		.function = "spin", .deadline_ns = now_ns() + 20000000};
	struct clone_world w;
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(clone_world_open(&w));
	REQUIRE(clone_start(&w, &clone));
	REQUIRE_OK(host_call(clone.control, &request, &answer, &err), &err);
	CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
	host_answer_fini(&answer);
	CHECK_STR(ask(clone.control, "echo", "on"), "on");
	CHECK_INT(host_say(clone.control, "exit", &err), 0);
	CHECK_INT(clone_end(&clone), 0);
	clone_world_close(&w);
}

static void check_crash_in_clone(struct clone_world *w, const char *how, int signal)
{
	const struct host_request request = {.function = "crash", .text = how};
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(clone_start(w, &clone));
	REQUIRE_OK(host_call(clone.control, &request, &answer, &err), &err);
	CHECK_STR(answer.type, "crash");
	CHECK_INT(answer_uint(&answer, "signal"), signal);
	host_answer_fini(&answer);
	CHECK_INT(WTERMSIG(clone_end(&clone)), signal);
}

static void test_crash_costs_one_clone(void)
{
	struct clone_world w;
	REQUIRE(clone_world_open(&w));
	check_crash_in_clone(&w, "segv", SIGSEGV);
	check_crash_in_clone(&w, "overflow", SIGSEGV);
	check_crash_in_clone(&w, "abort", SIGABRT);
	clone_check(&w, "sum", "499500");
	clone_world_close(&w);
}

static void test_memory_given_back_is_zero_in_clones(void)
{
	struct clone_world w;
	REQUIRE(clone_world_open(&w));
	clone_check(&w, "dontneed", "12288 53248");
	CHECK_STR(ask(w.host.control, "dontneed", ""), "12288 53248");
	clone_check(&w, "dontneed", "12288 53248");
	clone_world_close(&w);
}

static void test_control_socket_of_clones_is_not_inherited(void)
{
	struct clone_world w;
	REQUIRE(clone_world_open(&w));
	clone_check(&w, "inherited", "0");
	clone_world_close(&w);
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
	unsigned char both[512] = {
		11, 0, 0, 0, 0x81, 0xa1, 't', 0xa7, 'c', 'a', 'p', 't', 'u', 'r', 'e'};
	REQUIRE(clone_world_start(&w));
	host_pack_call(&call, &request);
	REQUIRE(call.len < 256);
	both[15] = (unsigned char)call.len;
	memcpy(both + 19, call.data, call.len);
	CHECK_INT(send(w.host.control, both, 19 + call.len, MSG_NOSIGNAL), 19 + call.len);
	REQUIRE_OK(host_read(w.host.control, &answer, &err), &err);
	REQUIRE(clone_world_take(&w, &answer));
	host_answer_fini(&answer);
	REQUIRE_OK(host_read(w.host.control, &answer, &err), &err);
	CHECK_INT(answer_uint(&answer, "id"), 77);
	CHECK_STR(answer_data(&answer, &len), "mine");
	host_answer_fini(&answer);
	REQUIRE(clone_world_build(&w));
	REQUIRE(clone_start(&w, &clone));
	CHECK_STR(ask(clone.control, "echo", "its own"), "its own");
	clone_end(&clone);
	clone_world_close(&w);
}

static void test_refused_capture_leaves_the_host(void)
{
	struct clone_world w;
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(clone_world_start(&w));
	(void)ask(w.host.control, "refuse", "snapshot");
	CHECK_INT(host_say(w.host.control, "capture", &err), 0);
	REQUIRE_OK(host_read(w.host.control, &answer, &err), &err);
	CHECK_STR(answer.type, "refused");
	CHECK_STR(answer_error(&answer, "code"), "EREFUSED");
	CHECK_STR(answer_error(&answer, "kind"), "refused");
	CHECK(strstr(answer_error(&answer, "message"), "ramet_before_snapshot()") != NULL);
	host_answer_fini(&answer);
	(void)ask(w.host.control, "refuse", "nothing");
	REQUIRE(clone_world_capture(&w));
	clone_check(&w, "sum", "499500");
	clone_world_close(&w);
}

static void test_clone_whose_hook_fails_does_not_run(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	REQUIRE(clone_world_start(&w));
	(void)ask(w.host.control, "refuse", "clone");
	REQUIRE(clone_world_capture(&w));
	REQUIRE_OK(clone_make(&w, &clone, &err), &err);
	REQUIRE_OK(host_read(clone.control, &answer, &err), &err);
	CHECK_STR(answer.type, "failed");
	CHECK(strstr(answer_error(&answer, "message"), "ramet_after_clone") != NULL);
	host_answer_fini(&answer);
	CHECK_INT(WEXITSTATUS(clone_end(&clone)), RAMET_HOST_CLONE);
	clone_world_close(&w);
}

SUITE_MAIN("host_clone", TEST(test_clones_have_what_was_initialised),
	TEST(test_clones_get_randomness_of_their_own), TEST(test_deadline_holds_in_clones),
	TEST(test_crash_costs_one_clone), TEST(test_memory_given_back_is_zero_in_clones),
	TEST(test_control_socket_of_clones_is_not_inherited),
	TEST(test_calls_behind_the_capture_are_kept), TEST(test_refused_capture_leaves_the_host),
	TEST(test_clone_whose_hook_fails_does_not_run))
