/* The command line without a cluster: help, usage errors, exit codes. */
#include "tests/cli/cli.h"
#include "tests/lib/suite.h"
#include "tests/libramet/temp_dir.h"

static const char *const verbs[] = {"up", "down", "deploy", "remove", "run", "invoke", "burst",
	"wait", "cancel", "ps", "nodes", "functions", "seeds", "logs", "doctor"};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void away_from_any_cluster(struct temp_dir *dir)
{
	temp_dir_make(dir);
	setenv("RAMET_DIR", dir->path, 1);
	unsetenv("RAMET_SOCKET");
}

static void test_help(void)
{
	static struct cli cli;
	char usage[64];
	cli_check(&cli, 0, "--help");
	for (size_t i = 0; i < VERBS; i++)
		CHECK(strstr(cli.out, verbs[i]) != NULL);
	for (size_t i = 0; i < VERBS; i++) {
		cli_check(&cli, 0, verbs[i], "--help");
		snprintf(usage, sizeof(usage), "Usage: ramet %s", verbs[i]);
		CHECK(strstr(cli.out, usage) == cli.out);
		CHECK(strstr(cli.out, "--json") != NULL);
	}
	cli_check(&cli, 0, "--version");
	CHECK(strncmp(cli.out, "ramet ", 6) == 0);
}

static void test_usage(void)
{
	static struct cli cli;
	cli_run(&cli, NULL);
	CHECK_INT(cli.code, 2);
	cli_check(&cli, 2, "invok");
	CHECK(strstr(cli.err, "did you mean \"invoke\"") != NULL);
	cli_check(&cli, 2, "invoke", "f", "--dedline", "5");
	CHECK(strstr(cli.err, "did you mean --deadline") != NULL);
	for (size_t i = 0; i < VERBS; i++) {
		cli_check(&cli, 2, verbs[i], "--no-such-option");
		CHECK(strstr(cli.err, "--help") != NULL);
		CHECK_STR(cli.out, "");
	}
	cli_check(&cli, 2, "burst", "f");
	CHECK(strstr(cli.err, "-n N") != NULL);
}

static void test_bad_arguments(void)
{
	static struct cli cli;
	static const char *const bad[][4] = {
		{"invoke"},
		{"invoke", "f", "g"},
		{"invoke", "f", "--deadline", "soon"},
		{"invoke", "f", "--deadline", "-1"},
		{"invoke", "f", "--deadline", "99999999999"},
		{"invoke", "f", "--deadline"},
		{"invoke", "f", "--json=yes"},
		{"invoke", "f", "--detach", "--follow"},
		{"burst", "f", "-n", "0"},
		{"up", "--nodes", "0"},
		{"up", "--transport", "pigeon"},
		{"deploy", "f.py", "--fresh", "never"},
		{"deploy", "f.py", "--mem", "much"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cli_check(&cli, 2, bad[i][0], bad[i][1], bad[i][2], bad[i][3]);
}

static void test_no_cluster(void)
{
	static struct cli cli;
	struct temp_dir dir;
	away_from_any_cluster(&dir);
	static const char *const plain[] = {"ps", "nodes", "functions", "seeds", "logs", "down"};
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		cli_check(&cli, 3, plain[i]);
		CHECK(strstr(cli.err, dir.path) != NULL);
		CHECK_STR(cli.out, "");
	}
	cli_check(&cli, 3, "invoke", "f");
	CHECK(strstr(cli.err, "ramet up") != NULL);
	static const char *const more[][4] = {{"burst", "f", "-n", "2"}, {"remove", "f"},
		{"wait", "1.1"}, {"cancel", "1.1"}, {"deploy", "f.py"}, {"run", "f.py"}};
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		cli_check(&cli, 3, more[i][0], more[i][1], more[i][2], more[i][3]);
	cli_check(&cli, 3, "invoke", "f", "--socket", "/nonexistent/s", "--json");
	CHECK(strstr(cli.out, "\"code\":\"ENOCLUSTER\"") != NULL);
	temp_dir_remove(&dir);
}

static void test_doctor_needs_no_cluster(void)
{
	static struct cli cli;
	struct temp_dir dir;
	away_from_any_cluster(&dir);
	cli_check(&cli, 0, "doctor");
	CHECK(strstr(cli.out, "kernel") != NULL);
	cli_check(&cli, 0, "doctor", "--json");
	CHECK(cli.out[0] == '[' && strstr(cli.out, "\"name\":\"pager\"") != NULL);
	CHECK(strstr(cli.out, "\"name\":\"rdma\"") != NULL);
	temp_dir_remove(&dir);
}

static void test_data(void)
{
	static struct cli cli;
	struct temp_dir dir;
	away_from_any_cluster(&dir);
	static const char *const bad[] = {"{", "[1,]", "nul", "hello", "'a'", "01", "1 2",
		"\"\x01\"", "\"\xff\"", "{\"a\" 1}", "", "[1]]", "-", "1.", "\"\\x\""};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cli_check(&cli, 2, "invoke", "f", "--data", bad[i]);
		CHECK(strstr(cli.err, "not JSON") != NULL);
	}
	static const char *const good[] = {"{}", "[]", " [1, -2.5e+3, {\"a\": [null, true]}] ",
		"\"\xc3\xa9\"", "0", "\"\\u00e9\\n\""};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cli_check(&cli, 3, "invoke", "f", "--data", good[i]); /* on to the next error */
	char at[400];
	snprintf(at, sizeof(at), "@%s", temp_dir_write(&dir, "data", "{\"x\": [1]}\n"));
	cli_check(&cli, 3, "invoke", "f", "--data", at);
	cli_check(&cli, 3, "invoke", "f", "--binary", at);
	cli_check(&cli, 2, "invoke", "f", "--binary", at, "--data", "1");
	cli_check(&cli, 4, "invoke", "f", "--data", "@/nonexistent");
	CHECK(strstr(cli.err, "/nonexistent") != NULL);
	temp_dir_remove(&dir);
}

SUITE_MAIN("cli_usage", TEST(test_help), TEST(test_usage), TEST(test_bad_arguments),
	TEST(test_no_cluster), TEST(test_doctor_needs_no_cluster), TEST(test_data))
