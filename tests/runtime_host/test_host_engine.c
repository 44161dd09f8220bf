/* libramet-host itself: which engines it takes, in which order it calls them, and what it makes of
 * their answers. */
#include "runtime/host/host.h"
#include "runtime/host_proto.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/host_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct ramet_engine {
	char calls[256]; /* the slots that were called, a letter each */
};
static struct ramet_engine engine;

static void note(char slot)
{
	size_t len = strlen(engine.calls);
	engine.calls[len] = slot;
	engine.calls[len + 1] = 0;
}

static int fake_init(int deadline_signal, char *detail, size_t cap,
	struct ramet_engine **ret_engine, struct ramet_err *err)
{
	(void)deadline_signal;
	(void)err;
	snprintf(detail, cap, "made by a test");
	note('i');
	*ret_engine = &engine;
	return 0;
}

static int fake_load(struct ramet_engine *e, const struct ramet_engine_load *load,
	struct ramet_engine_error *ret_error)
{
	(void)e;
	(void)load;
	(void)ret_error;
	note('l');
	return 0;
}

/* function 0 tells the calls so far; 1 fails with a text that is too long and no text; 2 returns
 * too much; 3 fails without saying why */
static int fake_call(struct ramet_engine *e, const struct ramet_engine_call *call,
	struct ramet_engine_result *ret_result, struct ramet_engine_error *ret_error)
{
	static char text[3 * HOST_ERROR_MAX];
	note('c');
	if (call->function == 0) {
		*ret_result = (struct ramet_engine_result){e->calls, strlen(e->calls), false};
		return 0;
	}
	if (call->function == 2) {
		*ret_result = (struct ramet_engine_result){text, HOST_MAX_PAYLOAD + 1ull, true};
		return 0;
	}
	if (call->function == 3)
		return RAMET_EUSER;
	memset(text, 0xff, sizeof(text));
	*ret_error = (struct ramet_engine_error){.code = RAMET_EUSER,
		.kind = RAMET_ENGINE_USER,
		.type = {"T", 1},
		.message = {text, sizeof(text)},
		.traceback = {text, sizeof(text)}};
	return RAMET_EUSER;
}

static void fake_done(struct ramet_engine *e)
{
	(void)e;
	note('d');
}

static void fake_interrupt(struct ramet_engine *e)
{
	(void)e;
}

static void fake_wait_begin(struct ramet_engine *e)
{
	(void)e;
	note('(');
}

static void fake_wait_end(struct ramet_engine *e)
{
	(void)e;
	note(')');
}

static int fake_before_snapshot(struct ramet_engine *e, struct ramet_err *err)
{
	(void)e;
	(void)err;
	return 0;
}

static int fake_after_clone(struct ramet_engine *e,
	const unsigned char seed[RAMET_ENGINE_SEED_BYTES], struct ramet_err *err)
{
	(void)e;
	(void)seed;
	(void)err;
	return 0;
}

static const struct ramet_engine_ops fake = {
	.name = "fake",
	.abi = RAMET_ENGINE_ABI,
	.init = fake_init,
	.load = fake_load,
	.call = fake_call,
	.done = fake_done,
	.interrupt = fake_interrupt,
	.wait_begin = fake_wait_begin,
	.wait_end = fake_wait_end,
	.before_snapshot = fake_before_snapshot,
	.after_clone = fake_after_clone,
};

static void test_engines_that_cannot_work_are_refused(void)
{
	struct ramet_err err = {0};
	struct ramet_engine_ops other = fake;
	other.abi = RAMET_ENGINE_ABI + 1;
	CHECK_INT(ramet_host_register(&other, &err), RAMET_EVERSION);
	CHECK(strstr(err.msg, "fake") != NULL);
	other = fake;
	other.after_clone = NULL;
	CHECK_INT(ramet_host_register(&other, &err), RAMET_EINVAL);
	other = fake;
	other.wait_end = NULL; /* one without the other */
	CHECK_INT(ramet_host_register(&other, &err), RAMET_EINVAL);
}

/* In a child of the test, where the engine is registered; its control socket, or -1. */
static int start(pid_t *ret_pid)
{
	int pair[2];
	char number[16];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	snprintf(number, sizeof(number), "%d", pair[1]);
	*ret_pid = fork();
	if (*ret_pid == 0) {
		struct ramet_err err;
		setenv("RAMET_CONTROL_FD", number, 1);
		close(pair[0]);
		if (ramet_host_register(&fake, &err) < 0)
			_exit(99);
		_exit(ramet_host_run());
	}
	close(pair[1]);
	return pair[0];
}

static void end(int control, pid_t pid)
{
	int status = -1;
	struct ramet_err err;
	CHECK_INT(host_say(control, "exit", &err), 0);
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	close(control);
}

static int start_loaded(pid_t *ret_pid)
{
	static const char *const handlers[] = {"x:calls", "x:fail", "x:much", "x:silent", NULL};
	struct ramet_err err = {0};
	struct host_answer answer;
	int control = start(ret_pid);
	suite_check_ok(host_read(control, &answer, &err), &err, "ready", __FILE__, __LINE__);
	CHECK_STR(answer.type, "ready");
	host_answer_fini(&answer);
	suite_check_ok(
		host_load(control, handlers, &answer, &err), &err, "load", __FILE__, __LINE__);
	CHECK_STR(answer.type, "loaded");
	host_answer_fini(&answer);
	return control;
}

static void test_slots_are_called_in_order(void)
{
	pid_t pid = 0;
	int control = start_loaded(&pid);
	CHECK_STR(ask(control, "calls", ""), "i()l()c");
	CHECK_STR(ask(control, "calls", ""), "i()l()cd()c");
	end(control, pid);
}

/* the answer to a call of this function; its error's texts are checked by the caller */
static void call_failing(int control, const char *function, struct host_answer *ret)
{
	const struct host_request request = {.function = function};
	struct ramet_err err = {0};
	suite_check_ok(host_call(control, &request, ret, &err), &err, function, __FILE__, __LINE__);
	CHECK(!answer_ok(ret));
}

static void test_texts_of_errors_are_cut_and_mended(void)
{
	struct host_answer answer;
	pid_t pid = 0;
	int control = start_loaded(&pid);
	call_failing(control, "fail", &answer);
	CHECK_STR(answer_error(&answer, "type"), "T");
	CHECK_INT(strspn(answer_error(&answer, "message"), "?"), HOST_ERROR_MAX);
	CHECK_INT(strspn(answer_error(&answer, "traceback"), "?"), HOST_ERROR_MAX);
	host_answer_fini(&answer);
	end(control, pid);
}

static void test_silent_failure_and_too_much_output_are_errors(void)
{
	struct host_answer answer;
	pid_t pid = 0;
	int control = start_loaded(&pid);
	call_failing(control, "silent", &answer);
	CHECK_STR(answer_error(&answer, "code"), "EINTERNAL");
	CHECK_STR(answer_error(&answer, "kind"), "system");
	host_answer_fini(&answer);
	call_failing(control, "much", &answer);
	CHECK_STR(answer_error(&answer, "code"), "ELIMIT");
	CHECK_STR(answer_error(&answer, "kind"), "limit");
	host_answer_fini(&answer);
	end(control, pid);
}

static void test_second_engine_is_refused(void)
{
	struct ramet_err err = {0};
	CHECK_INT(ramet_host_register(&fake, &err), 0);
	CHECK_INT(ramet_host_register(&fake, &err), RAMET_EEXIST);
}

static void test_only_the_interface_is_exported(void)
{
	static const char *const expected[] = {"madvise\n", "mremap\n", "ramet_host_register\n",
		"ramet_host_run\n", "ramet_host_threads\n", NULL};
	char line[256];
	unsigned count = 0;
	FILE *nm = popen("nm -D --defined-only " HOST_LIBRARY " | awk '{print $3}' | sort", "r");
	REQUIRE(nm != NULL);
	for (; fgets(line, sizeof(line), nm); count++) {
		if (!expected[count])
			break;
		CHECK_STR(line, expected[count]);
	}
	CHECK_INT(count, 5);
	CHECK_INT(pclose(nm), 0);
}

/* the one that registers the engine here is the last: the others need a process without */
SUITE_MAIN("host_engine", TEST(test_engines_that_cannot_work_are_refused),
	TEST(test_slots_are_called_in_order), TEST(test_texts_of_errors_are_cut_and_mended),
	TEST(test_silent_failure_and_too_much_output_are_errors),
	TEST(test_only_the_interface_is_exported), TEST(test_second_engine_is_refused))
