/* Verbs against a daemon that only speaks the protocol: what they print, and their exit codes. */
#include "tests/cli/cli.h"
#include "tests/lib/suite.h"
#include "tests/libramet/fake_daemon.h"
#include "tests/libramet/temp_dir.h"

#include <stdlib.h>
#include <sys/wait.h>

struct fixture {
	struct temp_dir dir;
	struct fake_daemon *fake;
};

static struct cli cli;

static int setup(struct fixture *f)
{
	temp_dir_make(&f->dir);
	f->fake = fake_daemon_start(temp_dir_join(&f->dir, "sock"), 1);
	setenv("RAMET_SOCKET", f->dir.joined, 1);
	return f->fake ? 0 : -1;
}

static void teardown(struct fixture *f)
{
	fake_daemon_stop(f->fake);
	temp_dir_remove(&f->dir);
}

static void check_out(const char *text)
{
	if (!strstr(cli.out, text))
		CHECK_STR(cli.out, text);
}

static void check_err(const char *text)
{
	if (!strstr(cli.err, text))
		CHECK_STR(cli.err, text);
}

static void test_invoke(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	cli_check(&cli, 0, "invoke", "echo", "--data", "[1, 2]");
	CHECK_STR(cli.out, "[1, 2]\n");
	cli_check(&cli, 0, "invoke", "--json", "echo", "-d", "{\"a\":\n1}");
	CHECK_STR(cli.out,
		"{\"function\":\"echo\",\"version\":\"0123456789abcdef\",\"call\":null,\"node\":2,"
		"\"instance\":7,\"pid\":4242,\"start\":\"remote-fork\",\"source_node\":1,"
		"\"output\":{\"a\": 1},\"error\":null,\"us\":{\"queue\":1.000,\"start\":88.500,"
		"\"first_instruction\":88.000,\"run\":2500.000,\"total\":3000.000}}\n");
	/* a daemon may say that it is JSON when it is not: the object must be */
	cli_check(&cli, 0, "invoke", "--json", "echo", "--binary", "\xff\x01");
	check_out("\"output_base64\":\"/wE=\"");
	cli_check(&cli, 0, "invoke", "echo", "-o", temp_dir_join(&f.dir, "out"));
	CHECK_STR(cli.out, "");
	CHECK(access(f.dir.joined, R_OK) == 0);
	cli_check(&cli, 0, "invoke", "echo", "--deadline", "1.5s");
	const struct message *call = fake_daemon_last(f.fake, "call");
	uint64_t ms = 0;
	REQUIRE(call != NULL);
	CHECK(wire_get_uint(call->root, "deadline_ms", UINT64_MAX, &ms, NULL) == 0);
	CHECK_INT(ms, 1500);
	cli_check(&cli, 2, "invoke", "echo", "--deadline", "5 apples");
	check_err("--deadline takes a time");
	cli_check(&cli, 2, "invoke", "echo", "--data", "");
	check_err("it is empty");
	cli_check(&cli, 2, "invoke", "echo", "--data", "[1,");
	check_err("it ends too early");
	teardown(&f);
}

static void test_output_without_a_place(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	cli_check(&cli, 4, "invoke", "echo", "-o", "/nonexistent/out");
	check_err("cannot write /nonexistent/out: No such file");
	cli_check(&cli, 4, "invoke", "echo", "-o", f.dir.path);
	cli_check(&cli, 4, "wait", "1.1", "-o", "/nonexistent/out");
	CHECK(fake_daemon_last(f.fake, "call") == NULL); /* nothing was run in vain */
	CHECK(fake_daemon_last(f.fake, "wait") == NULL);
	int status = system("${RAMET_BIN:-.}/ramet invoke echo -d 1 >/dev/full 2>/dev/null");
	CHECK_INT(WEXITSTATUS(status), 4);
	teardown(&f);
}

static void test_failures(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	cli_check(&cli, 1, "invoke", "raise");
	check_err("ValueError: no luck");
	check_err("Traceback");
	check_err("last words");
	CHECK_STR(cli.out, "");
	cli_check(&cli, 1, "invoke", "raise", "--json");
	check_out("\"error\":{\"code\":\"EUSER\",\"kind\":\"user\",\"retryable\":false,"
		  "\"type\":\"ValueError\",\"message\":\"no luck\",");
	cli_check(&cli, 1, "invoke", "crash");
	check_err("signal 11");
	check_err("0x10");
	cli_check(&cli, 6, "invoke", "killed");
	check_err("signal 9 (Killed)\n");
	cli_check(&cli, 6, "invoke", "killed", "--json");
	check_out("\"signal\":9,\"fault_address\":null,");
	cli_check(&cli, 4, "invoke", "missing");
	check_err("no function \"missing\"");
	cli_check(&cli, 6, "invoke", "drop");
	cli_check(&cli, 2, "invoke", "not a name");
	teardown(&f);
}

static void test_detach(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	cli_check(&cli, 0, "wait", "1.1");
	CHECK_STR(cli.out, "\"waited\"\n");
	cli_check(&cli, 4, "wait", "1.2");
	cli_check(&cli, 0, "cancel", "1.1");
	teardown(&f);
}

static void test_burst(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	cli_check(&cli, 0, "burst", "echo", "-n3", "--json");
	check_out("{\"rank\":2,\"size\":3,\"function\":\"echo\"");
	check_out("{\"summary\":{\"n\":3,\"ok\":0,\"failed\":0,\"warm\":0,\"local-fork\":0,"
		  "\"remote-fork\":3,\"cold\":0,\"nodes\":1,\"us\":{\"total\":5000.000}}}");
	unsigned lines = 0;
	for (const char *p = cli.out; *p; p++)
		lines += *p == '\n';
	CHECK_INT(lines, 4);
	cli_check(&cli, 0, "burst", "echo", "-n", "2");
	check_out("RANK");
	check_out("2 instances on 1 node in 5.0 ms");
	cli_check(&cli, 1, "burst", "raise", "-n", "4");
	check_out("EUSER: rank one fails");
	cli_check(&cli, 4, "burst", "missing", "-n", "4");
	teardown(&f);
}

static void test_deploy_and_run(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	temp_dir_write(&f.dir, "my-app.py", "");
	cli_check(&cli, 0, "deploy", temp_dir_join(&f.dir, "my-app.py"), "-e", "A=1");
	check_out("deployed my-app, version 0123456789ab, on node 1");
	check_out("image 17.0 MiB");
	cli_check(&cli, 0, "deploy", f.dir.joined, "--json", "--name", "other");
	check_out("{\"function\":\"other\",\"version\":\"0123456789abcdef\",\"node\":1");
	check_out("\"capture\":12000.000,\"stall\":400.000");
	cli_check(&cli, 1, "deploy", f.dir.joined, "--name", "raise");
	check_err("ImportError: no module named x");
	cli_check(&cli, 4, "deploy", "/nonexistent.py");
	cli_check(&cli, 2, "deploy", f.dir.joined, "--handler", "nope.py:f");

	cli_check(&cli, 0, "run", "-n", "2", f.dir.joined, "--json");
	check_out("\"rank\":1,\"size\":2,\"function\":\"my_app-run-");
	const struct message *removed = fake_daemon_last(f.fake, "remove");
	char name[80] = "";
	REQUIRE(removed != NULL);
	CHECK(wire_get_str(removed->root, "name", name, sizeof(name), NULL) == 0);
	CHECK(strncmp(name, "my_app-run-", 11) == 0);
	cli_check(&cli, 0, "remove", "echo");
	cli_check(&cli, 4, "remove", "missing");
	teardown(&f);
}

static void test_lists(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	cli_check(&cli, 0, "nodes", "--json");
	check_out("{\"node\":1,\"name\":null,\"state\":\"up\",");
	check_out("\"mem\":3221225472,");
	CHECK(strstr(cli.out, "unknown") == NULL);
	check_err("node 3 did not answer");
	cli_check(&cli, 0, "nodes");
	check_out("3.0 GiB");
	cli_check(&cli, 0, "ps", "--json");
	check_out("\"source_node\":null");
	check_out("\"source_node\":1");
	cli_check(&cli, 0, "ps");
	cli_check(&cli, 0, "functions", "--json");
	cli_check(&cli, 0, "seeds");
	cli_check(&cli, 0, "logs");
	check_out("node1/7 echo| two\n");
	cli_check(&cli, 0, "logs", "--json", "--tail", "5");
	check_out("\"text\":\"one\\ntwo\\n\"");
	cli_check(&cli, 0, "doctor", "--json");
	check_out("{\"node\":1,\"name\":\"pager\",\"state\":\"ok\"");
	teardown(&f);
}

static void test_follow(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	cli_check(&cli, 0, "invoke", "echo", "--follow", "--data", "4");
	CHECK_STR(cli.out, "4\n");
	cli_check(&cli, 1, "invoke", "raise", "--follow", "--json");
	check_out("\"code\":\"EUSER\"");
	cli_check(&cli, 4, "invoke", "missing", "--follow");
	teardown(&f);
}

SUITE_MAIN("cli_verbs", TEST(test_invoke), TEST(test_output_without_a_place), TEST(test_failures),
	TEST(test_detach), TEST(test_burst), TEST(test_deploy_and_run), TEST(test_lists),
	TEST(test_follow))
