/* Python hosts with threads of their own, captured as they are: waiting, sleeping, running,
 * queueing for the interpreter. */
#include "base/cleanup.h"
#include "base/err.h"
#include "tests/lib/suite.h"
#include "tests/rfork/pid_space.h"
#include "tests/runtime_python/python_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLONES 8

static const char *const handlers[] = {"with_threads.py:condition", "with_threads.py:answers",
	"with_threads.py:advance", "with_threads.py:bookkeeping", "with_threads.py:native",
	"with_threads.py:end", NULL};

/* threads run on in the process at the other end, host or clone */
static void check_threads(int control)
{
	CHECK_STR(ask(control, "condition", ""), "true");
	CHECK_STR(ask(control, "answers", "21"), "42");
	CHECK_STR(ask(control, "advance", ""), "true");
	CHECK_STR(ask(control, "bookkeeping", ""), "[true, true, true, true, true, true, true]");
	CHECK_STR(ask(control, "condition", ""), "true");
}

static void test_threads_run_on(void)
{
	struct python_seed s;
	struct python_clone clones[CLONES];
	unsigned fds = suite_count_fds();
	REQUIRE(python_seed_open(&s, handlers));
	for (unsigned i = 0; i < CLONES; i++)
		REQUIRE(python_clone_start(&s, -1, &clones[i]));
	for (unsigned i = 0; i < CLONES; i++)
		check_threads(clones[i].control);
	check_threads(s.host.control);
	for (unsigned i = 0; i < CLONES; i++) {
		CHECK_STR(ask(clones[i].control, "end", ""), "[true, [1]]");
		python_clone_end(&clones[i]);
	}
	CHECK_STR(ask(s.host.control, "end", ""), "[true, [1]]");
	python_seed_close(&s);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_threads_run_before_the_first_call(void)
{
	char said[256];
	struct python_seed s;
	struct python_clone clone;
	REQUIRE(python_seed_open(&s, handlers));
	REQUIRE(python_clone_start(&s, -1, &clone));
	CHECK(python_output(clone.output, "a thread runs in the clone\n", said, sizeof(said)));
	python_clone_end(&clone);
	python_seed_close(&s);
}

/* with PID namespaces, as in service, threads keep the ids that the kernel gave them */
static void test_ids_stay_in_a_namespace(void)
{
	struct pid_space spaces[2];
	struct python_seed s;
	struct python_clone clone;
	char native[32];
	for (int i = 0; i < 2; i++)
		REQUIRE(pid_space_open(&spaces[i]));
	REQUIRE(pid_space_enter(&spaces[0]));
	bool up = python_seed_start(&s, handlers);
	REQUIRE(pid_space_leave() && up);
	snprintf(native, sizeof(native), "%s", ask(s.host.control, "native", ""));
	CHECK(atoi(native) > 2);
	REQUIRE(python_seed_capture(&s));
	REQUIRE(python_clone_start(&s, spaces[1].pidfd, &clone));
	CHECK_STR(ask(clone.control, "native", ""), native);
	check_threads(clone.control);
	python_clone_end(&clone);
	python_seed_close(&s);
	for (int i = 0; i < 2; i++)
		pid_space_close(&spaces[i]);
}

SUITE_MAIN("python_threads", TEST(test_threads_run_on),
	TEST(test_threads_run_before_the_first_call), TEST(test_ids_stay_in_a_namespace))
