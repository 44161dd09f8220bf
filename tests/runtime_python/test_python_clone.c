/* Captured Python hosts and their clones: state, random numbers, what refuses a capture. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "runtime/host/host.h"
#include "tests/lib/suite.h"
#include "tests/rfork/pid_space.h"
#include "tests/runtime_python/python_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHORT_NS 30000000ull
#define SAID 512

static const char *const handlers[] = {"state.py:total", "state.py:numbers", "state.py:openssl",
	"state.py:frozen", "state.py:write", "state.py:fail", "state.py:spin", "state.py:threads",
	"state.py:keep", NULL};
static const char *const events_handlers[] = {
	"events.py:asynchronous", "events.py:locked", "events.py:lines", NULL};
static const char *const numpy_handlers[] = {"with_numpy.py:trace", "with_numpy.py:array",
	"with_numpy.py:bytes_of", "with_numpy.py:numpy_numbers", "with_numpy.py:other_generator",
	NULL};

/* one call in a clone of its own */
static bool ask_clone(struct python_seed *s, int sandbox, const char *function, char said[SAID])
{
	struct python_clone clone;
	said[0] = 0;
	if (!python_clone_start(s, sandbox, &clone))
		return false;
	snprintf(said, SAID, "%s", ask(clone.control, function, ""));
	CHECK_INT(WEXITSTATUS(python_clone_end(&clone)), RAMET_HOST_LOST);
	return said[0] != 0;
}

static void check_in_clone(struct python_seed *s, const char *function, const char *expected)
{
	char said[SAID];
	CHECK(ask_clone(s, -1, function, said));
	CHECK_STR(said, expected);
}

/* --- state --- */

static void test_clones_have_what_was_initialised(void)
{
	struct python_seed s;
	unsigned fds = suite_count_fds();
	REQUIRE(python_seed_start(&s, handlers));
	CHECK_STR(ask(s.host.control, "total", ""), "499501");
	REQUIRE(python_seed_capture(&s));
	for (int i = 0; i < 3; i++)
		check_in_clone(&s, "total", "499502"); /* not what a sibling wrote */
	CHECK_STR(ask(s.host.control, "total", ""), "499502"); /* the host goes on */
	CHECK_STR(ask(s.host.control, "total", ""), "499503");
	python_seed_close(&s);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_garbage_collection_and_threads_work_in_clones(void)
{
	struct python_seed s;
	REQUIRE(python_seed_open(&s, handlers));
	check_in_clone(&s, "frozen", "[true, true, true]");
	check_in_clone(&s, "threads", "[0, 1, 2, 3]");
	python_seed_close(&s);
}

static void test_event_loops_and_locks_work_in_clones(void)
{
	struct python_seed s;
	REQUIRE(python_seed_open(&s, events_handlers));
	for (int i = 0; i < 2; i++) {
		check_in_clone(&s, "asynchronous", "[\"on time\", true, 7]");
		check_in_clone(&s, "locked", "[true, true]");
		check_in_clone(&s, "lines", "\"import asyncio\"");
	}
	CHECK_STR(ask(s.host.control, "locked", ""), "[true, true]");
	CHECK_STR(ask(s.host.control, "lines", ""), "\"import asyncio\"");
	python_seed_close(&s);
}

static void test_output_of_clones_is_their_own(void)
{
	char said[SAID];
	struct python_seed s;
	struct python_clone clone;
	REQUIRE(python_seed_open(&s, handlers));
	REQUIRE(python_clone_start(&s, -1, &clone));
	CHECK_STR(ask(clone.control, "write", ""), "null");
	CHECK(python_output(clone.output, "\n", said, sizeof(said)));
	CHECK_STR(said, "from a clone\n");
	python_clone_end(&clone);
	python_seed_close(&s);
}

static void test_errors_and_deadlines_in_clones(void)
{
	const struct host_request spin = {.function = "spin", .deadline_ns = now_ns() + SHORT_NS};
	struct ramet_err err = {0};
	struct python_seed s;
	struct python_clone clone;
	struct host_answer answer = {.nfds = 0};
	REQUIRE(python_seed_open(&s, handlers));
	REQUIRE(python_clone_start(&s, -1, &clone));
	REQUIRE(python_call(clone.control, "fail", "", &answer));
	CHECK_STR(answer_error(&answer, "message"), "in a clone");
	CHECK(strstr(answer_error(&answer, "traceback"), "in fail") != NULL);
	host_answer_fini(&answer);
	REQUIRE_OK(host_call(clone.control, &spin, &answer, &err), &err);
	CHECK_STR(answer_error(&answer, "code"), "EDEADLINE");
	CHECK_STR(answer_error(&answer, "type"), "DeadlineExceeded");
	host_answer_fini(&answer);
	CHECK_STR(ask(clone.control, "write", ""), "null");
	CHECK_INT(host_say(clone.control, "exit", &err), 0);
	CHECK_INT(python_clone_end(&clone), 0);
	python_seed_close(&s);
}

/* --- random numbers --- */

/* the n-th element of a JSON list of scalars */
static void element(const char *list, unsigned n, char ret[64])
{
	const char *at = list + 1;
	while (n-- && strchr(at, ','))
		at = strchr(at, ',') + 1;
	snprintf(ret, 64, "%.*s", (int)strcspn(at, ",]"), at);
}

/* all sources of the function's list differ between two clones, and from the host */
static void check_numbers(struct python_seed *s, const char *function, unsigned count)
{
	char said[3][SAID];
	char one[64];
	char other[64];
	for (int i = 0; i < 2; i++)
		REQUIRE(ask_clone(s, -1, function, said[i]));
	snprintf(said[2], SAID, "%s", ask(s->host.control, function, ""));
	for (unsigned pair = 0; pair < 3; pair++) {
		for (unsigned n = 0; n < count; n++) {
			element(said[pair], n, one);
			element(said[(pair + 1) % 3], n, other);
			if (!CHECK(strlen(one) > 4 && strcmp(one, other) != 0))
				printf("  source %u of %s: %s\n", n, function, one);
		}
	}
}

static void test_random_numbers_differ_between_clones(void)
{
	struct python_seed s;
	REQUIRE(python_seed_open(&s, handlers));
	check_numbers(&s, "numbers", 6);
	python_seed_close(&s);
}

/* OpenSSL notices a fork by its process id, and these have all the same: that of the host. */
static void test_openssl_differs_where_process_ids_do_not(void)
{
	struct pid_space spaces[3];
	struct python_seed s;
	char said[3][SAID] = {"", "", ""};
	for (int i = 0; i < 3; i++)
		REQUIRE(pid_space_open(&spaces[i]));
	REQUIRE(pid_space_enter(&spaces[0]));
	bool up = python_seed_start(&s, handlers);
	REQUIRE(pid_space_leave() && up);
	CHECK_INT(pid_space_inner(s.host.pid), 2);
	(void)ask(s.host.control, "openssl", "");
	REQUIRE(python_seed_capture(&s));
	for (int i = 1; i < 3; i++) {
		struct python_clone clone;
		REQUIRE(python_clone_start(&s, spaces[i].pidfd, &clone));
		CHECK_INT(pid_space_inner(clone.pid), 2);
		snprintf(said[i], SAID, "%s", ask(clone.control, "openssl", ""));
		python_clone_end(&clone);
	}
	snprintf(said[0], SAID, "%s", ask(s.host.control, "openssl", ""));
	CHECK_INT(strlen(said[0]), 18);
	CHECK(strcmp(said[0], said[1]) != 0);
	CHECK(strcmp(said[1], said[2]) != 0);
	CHECK(strcmp(said[2], said[0]) != 0);
	python_seed_close(&s);
	for (int i = 0; i < 3; i++)
		pid_space_close(&spaces[i]);
}

#ifdef RAMET_FAULT_POINTS
static void test_random_numbers_repeat_without_the_cure(void)
{
	struct python_seed s;
	char said[2][SAID];
	char numbers[2][64];
	setenv("RAMET_FAULT", "python.reseed", 1);
	bool up = python_seed_open(&s, handlers);
	unsetenv("RAMET_FAULT");
	REQUIRE(up);
	for (int i = 0; i < 2; i++) {
		REQUIRE(ask_clone(&s, -1, "numbers", said[i]));
		element(said[i], 0, numbers[i]);
	}
	CHECK_STR(numbers[0], numbers[1]);
	python_seed_close(&s);
}
#define FAULT_TESTS , TEST(test_random_numbers_repeat_without_the_cure)
#else
#define FAULT_TESTS
#endif

static bool lacks_numpy(void)
{
	if (python_has("numpy"))
		return false;
	suite_skip("%s has no numpy", python_interpreter());
	return true;
}

static void test_numpy_in_clones(void)
{
	struct python_seed s;
	struct python_clone clone;
	struct host_answer answer = {.nfds = 0};
	size_t len = 0;
	if (lacks_numpy())
		return;
	REQUIRE(python_seed_open(&s, numpy_handlers));
	check_in_clone(&s, "trace", "1240.0");
	check_numbers(&s, "numpy_numbers", 3);
	REQUIRE(python_clone_start(&s, -1, &clone));
	REQUIRE(python_call(clone.control, "array", "", &answer));
	CHECK_STR(answer_error(&answer, "type"), "TypeError");
	CHECK(strstr(answer_error(&answer, "message"), "ndarray") != NULL);
	host_answer_fini(&answer);
	REQUIRE(python_call(clone.control, "bytes_of", "", &answer));
	CHECK(answer_ok(&answer));
	const double *row = (const double *)(const void *)answer_data(&answer, &len);
	double three = 0;
	CHECK_INT(len, 4 * sizeof(double));
	if (len == 4 * sizeof(double))
		memcpy(&three, row + 3, sizeof(three));
	CHECK(three == 3.0);
	host_answer_fini(&answer);
	python_clone_end(&clone);
	python_seed_close(&s);
}

/* a generator whose state is not written to in place */
static void test_numpy_with_another_generator(void)
{
	struct python_seed s;
	if (lacks_numpy())
		return;
	REQUIRE(python_seed_start(&s, numpy_handlers));
	CHECK_STR(ask(s.host.control, "other_generator", ""), "\"PCG64\"");
	REQUIRE(python_seed_capture(&s));
	check_numbers(&s, "numpy_numbers", 3);
	python_seed_close(&s);
}

/* --- what refuses a capture --- */

static void test_connected_socket_is_refused_by_name(void)
{
	struct ramet_err err = {0};
	struct python_seed s;
	struct host_answer answer = {.nfds = 0};
	char named[96];
	REQUIRE(python_seed_start(&s, handlers));
	snprintf(named, sizeof(named), "descriptor %s is a TCP socket connected to 127.0.0.1:",
		ask(s.host.control, "keep", "\"socket\""));
	CHECK_INT(host_say(s.host.control, "capture", &err), 0);
	REQUIRE_OK(host_read(s.host.control, &answer, &err), &err);
	REQUIRE(strcmp(answer.type, "captured") == 0 && answer.nfds == 2);
	s.fork.request = (struct capture_request){.pidfd = steal_fd(&answer.fds[0]),
		.ready_fd = steal_fd(&answer.fds[1]),
		.state = answer_uint(&answer, "state"),
		.timeout_ms = 20000};
	host_answer_fini(&answer);
	CHECK_INT(fork_world_capture(&s.fork, &err), RAMET_EREFUSED);
	if (!CHECK(strstr(err.msg, named) != NULL))
		printf("  the message is: %s\n", err.msg);
	CHECK_STR(ask(s.host.control, "keep", "\"nothing\""), "null");
	REQUIRE(python_seed_capture(&s)); /* now it can be */
	check_in_clone(&s, "total", "499501");
	python_seed_close(&s);
}

/* Without libramet-host's madvise() memory that is given back would not be zeros in clones. */
static void test_capture_needs_the_preloaded_library(void)
{
	static const char *const env[] = {"LD_PRELOAD=", NULL};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	REQUIRE_OK(python_start(&w, python_interpreter(), env, NULL, &err), &err);
	REQUIRE_OK(host_load(w.control, handlers, &answer, &err), &err);
	host_answer_fini(&answer);
	CHECK_INT(host_say(w.control, "capture", &err), 0);
	REQUIRE_OK(host_read(w.control, &answer, &err), &err);
	CHECK_STR(answer.type, "refused");
	CHECK(strstr(answer_error(&answer, "message"), "LD_PRELOAD") != NULL);
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "total", ""), "499501");
	CHECK_INT(WEXITSTATUS(host_end(&w)), RAMET_HOST_LOST);
}

SUITE_MAIN("python_clone", TEST(test_clones_have_what_was_initialised),
	TEST(test_garbage_collection_and_threads_work_in_clones),
	TEST(test_event_loops_and_locks_work_in_clones), TEST(test_output_of_clones_is_their_own),
	TEST(test_errors_and_deadlines_in_clones), TEST(test_random_numbers_differ_between_clones),
	TEST(test_openssl_differs_where_process_ids_do_not), TEST(test_numpy_in_clones),
	TEST(test_numpy_with_another_generator), TEST(test_connected_socket_is_refused_by_name),
	TEST(test_capture_needs_the_preloaded_library) FAULT_TESTS)
