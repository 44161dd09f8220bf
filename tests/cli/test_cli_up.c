/* ramet up and down with a daemon that runs nothing: what is made, what is left, what is said when
 * it goes wrong. */
#include "tests/cli/cli.h"
#include "tests/lib/suite.h"
#include "tests/libramet/temp_dir.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

struct fixture {
	struct temp_dir dir;
	char cluster[96], rametd[512];
};

static struct cli cli;

static void setup(struct fixture *f)
{
	const char *bin = getenv("RAMET_BIN");
	temp_dir_make(&f->dir);
	snprintf(f->cluster, sizeof(f->cluster), "%s/c", f->dir.path);
	snprintf(f->rametd, sizeof(f->rametd), "%s/test_fake_rametd", bin ? bin : ".");
	setenv("RAMET_RAMETD", f->rametd, 1);
	setenv("RAMET_DIR", f->cluster, 1);
	unsetenv("RAMET_SOCKET");
	unsetenv("RAMET_FAKE");
}

/* nothing of it is left: no directory, no process, no namespace */
static void check_nothing_left(const struct fixture *f)
{
	CHECK(access(f->cluster, F_OK) < 0);
	DIR *proc = opendir("/proc");
	for (const struct dirent *e = readdir(proc); e; e = readdir(proc)) {
		char path[300], line[1024] = "";
		snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		FILE *file = fopen(path, "re");
		if (!file)
			continue;
		size_t n = fread(line, 1, sizeof(line) - 1, file);
		fclose(file);
		for (size_t i = 0; i < n; i++)
			line[i] = line[i] ? line[i] : ' ';
		if (strstr(line, f->cluster)) {
			printf("  left: %s %s\n", e->d_name, line);
			CHECK(0);
		}
	}
	closedir(proc);
}

static unsigned count_namespaces(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/run/netns");
	for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
		count += strncmp(e->d_name, "ramet-", 6) == 0;
	if (dir)
		closedir(dir);
	return count;
}

/*
 * Holds a port of the loopback interface. Ports of these tests are below those which the kernel
 * gives to who asks for any: nobody else comes by one, nor by its neighbours.
 */
static int hold_port(unsigned port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void test_up_and_down(void)
{
	struct fixture f;
	setup(&f);
	cli_check(&cli, 0, "up", "--nodes", "3", "--rootless", "--port", "27870");
	CHECK(strstr(cli.out, "127.0.0.1:27874") != NULL);
	cli_check(&cli, 0, "nodes"); /* by RAMET_DIR */
	cli_check(&cli, 4, "up", "--nodes", "1", "--rootless", "--port", "27870");
	CHECK(strstr(cli.err, "runs already") != NULL);
	CHECK(strstr(cli.err, "ramet down") != NULL);
	cli_check(&cli, 0, "down", "--json");
	CHECK_STR(cli.out, "{\"stopped\":3}\n");
	check_nothing_left(&f);
	cli_check(&cli, 3, "down");
	temp_dir_remove(&f.dir);
}

static void test_configuration(void)
{
	struct fixture f;
	char text[2048] = "", path[160];
	setup(&f);
	cli_check(&cli, 0, "up", "--nodes", "2", "--rootless", "--port", "27870", "--transport",
		"tcp");
	snprintf(path, sizeof(path), "%s/node2/config.yaml", f.cluster);
	FILE *file = fopen(path, "re");
	REQUIRE(file != NULL);
	CHECK(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	CHECK(strncmp(text, "node: 2\n", 8) == 0);
	CHECK(strstr(text, "listen: \"127.0.0.1:27872\"\ndata: \"127.0.0.1:27873\"\n") != NULL);
	CHECK(strstr(text, "transport: tcp\n") != NULL);
	CHECK(strstr(text, "peers:\n  - node: 1\n    listen: \"127.0.0.1:27870\"\n") != NULL);
	cli_check(&cli, 0, "down");
	check_nothing_left(&f);
	temp_dir_remove(&f.dir);
}

static void test_port_in_use(void)
{
	struct fixture f;
	setup(&f);
	int fd = hold_port(27871); /* of two ports the second */
	REQUIRE(fd >= 0);
	cli_check(&cli, 4, "up", "--nodes", "1", "--rootless", "--port", "27870");
	CHECK(strstr(cli.err, "127.0.0.1:27871 is in use") != NULL);
	close(fd);
	check_nothing_left(&f);
	temp_dir_remove(&f.dir);
}

static void test_daemon_that_ends(void)
{
	struct fixture f;
	setup(&f);
	setenv("RAMET_FAKE", "exit", 1);
	cli_check(&cli, 4, "up", "--nodes", "2", "--rootless", "--port", "27870");
	CHECK(strstr(cli.err, "ended; its log ends: first line") != NULL);
	CHECK(strstr(cli.err, "Address already in use") != NULL);
	check_nothing_left(&f);
	temp_dir_remove(&f.dir);
}

static void test_daemon_that_never_serves(void)
{
	struct fixture f;
	setup(&f);
	setenv("RAMET_FAKE", "never", 1);
	cli_check(&cli, 5, "up", "-n1", "--rootless", "--port", "27870", "--timeout", "200");
	CHECK(strstr(cli.err, "node 1 was not ready in time") != NULL);
	check_nothing_left(&f);
	temp_dir_remove(&f.dir);
}

static pid_t pid_of_node(const struct fixture *f, unsigned node)
{
	char path[160];
	int pid = 0;
	snprintf(path, sizeof(path), "%s/node%u/pid", f->cluster, node);
	FILE *file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%d", &pid) != 1)
			pid = 0;
		fclose(file);
	}
	return pid;
}

static void test_down_after_a_crash(void)
{
	struct fixture f;
	setup(&f);
	setenv("RAMET_FAKE", "orphan", 1);
	cli_check(&cli, 0, "up", "--nodes", "2", "--rootless", "--port", "27870");
	pid_t pid = pid_of_node(&f, 1);
	REQUIRE(pid > 1);
	kill(pid, SIGKILL);
	cli_check(&cli, 0, "down");
	check_nothing_left(&f);
	temp_dir_remove(&f.dir);
}

static void test_up_after_a_crash(void)
{
	struct fixture f;
	setup(&f);
	cli_check(&cli, 0, "up", "--nodes", "2", "--rootless", "--port", "27870");
	for (unsigned i = 1; i <= 2; i++)
		if (pid_of_node(&f, i) > 1)
			kill(pid_of_node(&f, i), SIGKILL);
	cli_run(&cli, "up", "--nodes", "1", "--rootless", "--port", "27870", NULL);
	if (cli.code == 4) /* the kernel had not ended them yet */
		cli_check(&cli, 0, "down");
	else
		CHECK_INT(cli.code, 0);
	cli_run(&cli, "down", NULL);
	check_nothing_left(&f);
	temp_dir_remove(&f.dir);
}

static void test_network_namespaces(void)
{
	struct fixture f;
	if (geteuid() != 0 || access("/usr/sbin/ip", X_OK) < 0) {
		suite_skip("needs root and iproute2");
		return;
	}
	setup(&f);
	unsigned before = count_namespaces();
	cli_check(&cli, 0, "up", "--nodes", "3", "--json");
	CHECK(strstr(cli.out, "\"netns\":\"ramet-") != NULL);
	CHECK(strstr(cli.out, "\"listen\":\"10.87.") != NULL);
	CHECK_INT(count_namespaces(), before + 4);
	char ns[32] = "", host[32] = "", command[160];
	const char *at = strstr(cli.out, "\"netns\":\"");
	REQUIRE(at && sscanf(at, "\"netns\":\"%31[^\"]\"", ns) == 1);
	at = strstr(strstr(cli.out, "\"node\":3"), "\"listen\":\"");
	REQUIRE(at && sscanf(at, "\"listen\":\"%31[0-9.]", host) == 1);
	/* node 1 reaches node 3: nothing listens there, which is an answer */
	snprintf(command, sizeof(command),
		"ip netns exec %s bash -c '2>&1 echo >/dev/tcp/%s/9' | grep -q refused", ns, host);
	CHECK_INT(system(command), 0);
	cli_check(&cli, 0, "down");
	CHECK_INT(count_namespaces(), before);
	check_nothing_left(&f);
	temp_dir_remove(&f.dir);
}

SUITE_MAIN("cli_up", TEST(test_up_and_down), TEST(test_configuration), TEST(test_port_in_use),
	TEST(test_daemon_that_ends), TEST(test_daemon_that_never_serves),
	TEST(test_down_after_a_crash), TEST(test_up_after_a_crash), TEST(test_network_namespaces))
