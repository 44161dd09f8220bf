/* Functions that crash: the host's last message, and what it dies of. */
#include "tests/lib/suite.h"
#include "tests/runtime_host/host_world.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct crash {
	uint64_t signal, address;
	int status; /* wait status */
};

/* what a call of `crash` with this input ends in */
static void crash_of(const char *how, struct crash *ret)
{
	const struct host_request request = {.function = "crash", .text = how};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	char said[64] = "";
	*ret = (struct crash){0};
	REQUIRE_OK(host_start(&w, &err), &err);
	REQUIRE_OK(host_load_all(w.control, &err), &err);
	REQUIRE_OK(host_call(w.control, &request, &answer, &err), &err);
	CHECK_STR(answer.type, "crash");
	ret->signal = answer_uint(&answer, "signal");
	ret->address = answer_uint(&answer, "address");
	host_answer_fini(&answer);
	CHECK_INT(host_read(w.control, &answer, &err), RAMET_EPEER); /* nothing more */
	host_answer_fini(&answer);
	CHECK(read(w.output, said, sizeof(said) - 1) > 0);
	CHECK(strncmp(said, "about to crash\n", 15) == 0);
	ret->status = host_end(&w);
}

static void test_segfault_tells_its_address(void)
{
	struct crash crash;
	crash_of("segv", &crash);
	CHECK_INT(crash.signal, SIGSEGV);
	CHECK_INT(crash.address, 0x1238);
	CHECK(WIFSIGNALED(crash.status));
	CHECK_INT(WTERMSIG(crash.status), SIGSEGV);
}

static void test_abort_has_no_address(void)
{
	struct crash crash;
	crash_of("abort", &crash);
	CHECK_INT(crash.signal, SIGABRT);
	CHECK_INT(crash.address, 0);
	CHECK(WIFSIGNALED(crash.status));
	CHECK_INT(WTERMSIG(crash.status), SIGABRT);
}

static void test_stack_overflow_is_told_from_another_stack(void)
{
	struct crash crash;
	crash_of("overflow", &crash);
	CHECK_INT(crash.signal, SIGSEGV);
	CHECK(crash.address > 4096);
	CHECK(WIFSIGNALED(crash.status));
	CHECK_INT(WTERMSIG(crash.status), SIGSEGV);
}

static void test_crash_of_a_child_is_not_the_hosts(void)
{
	char expected[8];
	struct ramet_err err = {0};
	struct host_world w;
	snprintf(expected, sizeof(expected), "%d", SIGABRT);
	REQUIRE_OK(host_start(&w, &err), &err);
	REQUIRE_OK(host_load_all(w.control, &err), &err);
	CHECK_STR(ask(w.control, "crash", "child"), expected);
	CHECK_STR(ask(w.control, "echo", "unharmed"), "unharmed");
	CHECK_INT(host_say(w.control, "exit", &err), 0);
	CHECK_INT(host_end(&w), 0);
}

SUITE_MAIN("host_crash", TEST(test_segfault_tells_its_address), TEST(test_abort_has_no_address),
	TEST(test_stack_overflow_is_told_from_another_stack),
	TEST(test_crash_of_a_child_is_not_the_hosts))
