/* What state_threads*.c cannot say of threads: captures in a row, and captures by another thread
 * than the main one. */
#include "base/err.h"
#include "tests/lib/suite.h"
#include "tests/rfork/fork_world.h"
#include "tests/rfork/state_world.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAPTURES 100

static void check_here(struct state_world *w, int control)
{
	for (const struct state_case *const *c = w->cases; *c; c++) {
		const char *wrong = state_ask(w, control, *c);
		if (wrong[0])
			printf("  %s: %s\n", (*c)->name, wrong);
		CHECK(wrong[0] == '\0');
	}
}

static void test_captures_in_a_row(void)
{
	const struct state_case *const cases[] = {state_find("threads come and go"),
		state_find("a thread sleeps"), state_find("a thread's alternate stack and mask"),
		NULL};
	struct ramet_err err = {0};
	struct state_world w;
	REQUIRE(cases[0] && cases[1] && cases[2]);
	REQUIRE(state_world_start(&w, STATE_LOCAL, cases, NULL));
	for (unsigned i = 0; i < CAPTURES; i++) {
		struct state_clone clone;
		REQUIRE_OK(state_world_capture(&w, &err), &err);
		REQUIRE_OK(state_clone_start(&w, &clone, &err), &err);
		check_here(&w, clone.control);
		state_clone_end(&clone);
		fork_world_unbuild(&w.fork);
		image_put(w.fork.image);
		w.fork.image = NULL;
	}
	check_here(&w, w.host.control);
	state_world_close(&w);
}

static uint64_t count_threads(int control)
{
	uint64_t question = 0, threads = 0;
	CHECK_INT(write(control, &question, sizeof(question)), sizeof(question));
	CHECK_INT(read(control, &threads, sizeof(threads)), sizeof(threads));
	return threads;
}

static void check_second_thread(const char *main_thread, uint64_t in_host, uint64_t in_clone)
{
	const char *const argv[] = {"thread_host", main_thread, NULL};
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	int status = 0;
	REQUIRE_OK(fork_world_open(&w, argv, &err), &err);
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	CHECK_INT(count_threads(clone.control), in_clone);
	CHECK_INT(WEXITSTATUS(fork_clone_end(&clone)), 5);
	CHECK_INT(count_threads(w.control), in_host);
	CHECK_INT(shutdown(w.control, SHUT_RDWR), 0);
	CHECK_INT(waitpid(w.pid, &status, 0), w.pid);
	CHECK_INT(WEXITSTATUS(status), 5);
	w.pid = 0;
	fork_world_close(&w);
}

static void test_second_thread_captures(void)
{
	check_second_thread("waits", 2, 2);
}

static void test_main_thread_has_ended(void)
{
	check_second_thread("ended", 2, 1);
}

SUITE_MAIN("threads", TEST(test_captures_in_a_row), TEST(test_second_thread_captures),
	TEST(test_main_thread_has_ended))
