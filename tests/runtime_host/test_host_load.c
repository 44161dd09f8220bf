/* ready, load and the end of a host: what it says, and how it exits. */
#include "runtime/host/host.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/host_world.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_ready_names_the_engine(void)
{
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	char engine[32] = "";
	REQUIRE_OK(host_spawn(&w, &(struct host_program){.name = "ramet-host"}, &err), &err);
	REQUIRE_OK(host_read(w.control, &answer, &err), &err);
	CHECK_STR(answer.type, "ready");
	CHECK_INT(wire_get_str(answer.body, "engine", engine, sizeof(engine), &err), 0);
	CHECK_STR(engine, "native");
	host_answer_fini(&answer);
	CHECK_INT(WEXITSTATUS(host_end(&w)), RAMET_HOST_LOST);
}

static void test_exit_ends_with_status_0(void)
{
	struct ramet_err err = {0};
	struct host_world w;
	unsigned fds = suite_count_fds();
	REQUIRE_OK(host_start(&w, &err), &err);
	REQUIRE_OK(host_load_all(w.control, &err), &err);
	CHECK_INT(host_say(w.control, "exit", &err), 0);
	struct host_answer answer;
	CHECK_INT(host_read(w.control, &answer, &err), RAMET_EPEER);
	host_answer_fini(&answer);
	CHECK_INT(host_end(&w), 0);
	CHECK_INT(suite_count_fds(), fds);
}

/* one handler that cannot be loaded: the error, and the host ends */
static void check_failed(
	const char *handler, const char *code, const char *first, const char *second)
{
	const char *const handlers[] = {"libhost_functions.so:echo", handler, NULL};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	REQUIRE_OK(host_start(&w, &err), &err);
	REQUIRE_OK(host_load(w.control, handlers, &answer, &err), &err);
	CHECK_STR(answer.type, "failed");
	CHECK_STR(answer_error(&answer, "code"), code);
	CHECK_STR(answer_error(&answer, "kind"), "user");
	const char *message = answer_error(&answer, "message");
	if (!CHECK(strstr(message, first) && strstr(message, second)))
		printf("  the message is: %s\n", message);
	host_answer_fini(&answer);
	CHECK_INT(WEXITSTATUS(host_end(&w)), RAMET_HOST_LOAD);
}

static void test_missing_file_is_named(void)
{
	check_failed("libnone.so:handle", "EUSER", "libnone.so", "No such file");
}

static void test_missing_symbol_is_named_with_its_file(void)
{
	check_failed("libhost_functions.so:absent", "ENOTFOUND", "libhost_functions.so", "absent");
}

static void test_handler_without_symbol_is_refused(void)
{
	check_failed("libhost_functions.so", "EINVAL", "libhost_functions.so", "libname.so:symbol");
}

static void test_failed_init_is_told(void)
{
	check_failed("libhost_broken.so:handle", "EUSER", "libhost_broken.so", "returned 5");
}

/* --- init --- */

static void check_init(const char *init, const char *type, const char *says)
{
	static const char *const handlers[] = {"libhost_functions.so:prepared", NULL};
	const struct host_config config = {.init = init};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer;
	REQUIRE_OK(host_start(&w, &err), &err);
	REQUIRE_OK(host_load_with(w.control, handlers, &config, &answer, &err), &err);
	CHECK_STR(answer.type, type);
	if (strcmp(type, "loaded") == 0)
		CHECK_STR(ask(w.control, "prepared", ""), says);
	else if (!strstr(answer_error(&answer, "message"), says))
		CHECK_STR(answer_error(&answer, "message"), says);
	host_answer_fini(&answer);
	host_end(&w);
}

static void test_init_is_called_once(void)
{
	check_init("", "loaded", "0");
	check_init("libhost_functions.so:prepare", "loaded", "1");
}

static void test_failed_init_of_the_app_is_told(void)
{
	check_init("libhost_functions.so:prepare_badly", "failed",
		"init libhost_functions.so:prepare_badly returned 7");
	check_init("libhost_functions.so:absent", "failed", "init: libhost_functions.so has no");
	check_init("libnone.so:prepare", "failed", "init: cannot load");
	check_init("prepare", "failed", "libname.so:symbol");
}

/* --- what rametd would not send --- */

/* bytes instead of a message: the host says so on stderr and exits with RAMET_HOST_PROTOCOL */
static void check_protocol(const void *bytes, size_t len, bool load_first)
{
	struct ramet_err err = {0};
	struct host_world w;
	char said[512] = "";
	REQUIRE_OK(host_start(&w, &err), &err);
	if (load_first)
		REQUIRE_OK(host_load_all(w.control, &err), &err);
	CHECK_INT(send(w.control, bytes, len, MSG_NOSIGNAL), len);
	shutdown(w.control, SHUT_WR);
	struct host_answer answer;
	CHECK_INT(host_read(w.control, &answer, &err), RAMET_EPEER);
	host_answer_fini(&answer);
	CHECK(read(w.output, said, sizeof(said) - 1) > 0);
	CHECK(strstr(said, "ramet host:") != NULL);
	int status = host_end(&w);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), RAMET_HOST_PROTOCOL);
}
#define CHECK_PROTOCOL(bytes, load) check_protocol(bytes, sizeof(bytes) - 1, load)

static void test_garbage_ends_the_host(void)
{
	CHECK_PROTOCOL("\xff\xff\xff\xff", false); /* a length */
	CHECK_PROTOCOL("\0\0\0\0", false); /* an empty frame */
	CHECK_PROTOCOL("\x10\0\0\0abc", false); /* a frame cut short */
	CHECK_PROTOCOL("\x03\0\0\0\xc1\xc1\xc1", false); /* no msgpack */
	CHECK_PROTOCOL("\x01\0\0\0\x80", false); /* no type */
	CHECK_PROTOCOL("\x05\0\0\0\x81\xa1t\xa1x", false); /* an unknown one */
	CHECK_PROTOCOL("\x09\0\0\0\x81\xa1t\xa4loadx", false); /* bytes behind the message */
	CHECK_PROTOCOL("\x08\0\0\0\x81\xa1t\xa4load", false); /* no functions */
}

static void test_messages_out_of_order_end_the_host(void)
{
	CHECK_PROTOCOL("\x08\0\0\0\x81\xa1t\xa4"
		       "call",
		false);
	CHECK_PROTOCOL("\x0b\0\0\0\x81\xa1t\xa7"
		       "capture",
		false);
	/* not before a capture: they would be in the seed */
	CHECK_PROTOCOL("\x12\0\0\0\x82\xa1t\xa7"
		       "secrets\xa5"
		       "items\x80",
		true);
	CHECK_PROTOCOL("\x08\0\0\0\x81\xa1t\xa4load", true);
}

static void test_closed_control_socket_ends_the_host(void)
{
	struct ramet_err err = {0};
	struct host_world w;
	REQUIRE_OK(host_start(&w, &err), &err);
	REQUIRE_OK(host_load_all(w.control, &err), &err);
	int status = host_end(&w);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), RAMET_HOST_LOST);
}

SUITE_MAIN("host_load", TEST(test_ready_names_the_engine), TEST(test_exit_ends_with_status_0),
	TEST(test_missing_file_is_named), TEST(test_missing_symbol_is_named_with_its_file),
	TEST(test_handler_without_symbol_is_refused), TEST(test_failed_init_is_told),
	TEST(test_init_is_called_once), TEST(test_failed_init_of_the_app_is_told),
	TEST(test_garbage_ends_the_host), TEST(test_messages_out_of_order_end_the_host),
	TEST(test_closed_control_socket_ends_the_host))
