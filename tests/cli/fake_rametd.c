/* A rametd for tests of `ramet up` and `ramet down`: takes its configuration, serves the client
 * socket, runs nothing. RAMET_FAKE in the environment makes it misbehave: exit (ends at once),
 * never (never listens), deaf (ignores whatever asks it to end), orphan (leaves a process behind
 * that ends with nobody). */
#include "tests/libramet/fake_daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int read_config(const char *path, unsigned *node, char socket[108])
{
	char line[256];
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "node: %u", node);
		sscanf(line, "client_socket: \"%107[^\"]\"", socket);
	}
	fclose(f);
	return *node && *socket ? 0 : -1;
}

static void leave_orphan(void)
{
	if (fork() == 0) {
		setsid();
		signal(SIGTERM, SIG_IGN);
		for (;;)
			pause();
	}
}

int main(int argc, char **argv)
{
	unsigned node = 0;
	char socket[108] = "";
	const char *fault = getenv("RAMET_FAKE");
	fault = fault ? fault : "";
	if (argc != 3 || strcmp(argv[1], "--config") != 0 ||
		read_config(argv[2], &node, socket) < 0)
		return 2;
	if (strcmp(fault, "exit") == 0) {
		fprintf(stderr, "first line\nlisten 127.0.0.1:7870: Address already in use\n");
		return 1;
	}
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (strcmp(fault, "never") == 0 || strcmp(fault, "deaf") == 0) {
		if (strcmp(fault, "deaf") == 0)
			(void)fake_daemon_start(socket, node);
		for (;;)
			pause();
	}
	if (strcmp(fault, "orphan") == 0)
		leave_orphan();
	struct fake_daemon *fake = fake_daemon_start(socket, node);
	if (!fake) {
		perror(socket);
		return 1;
	}
	fake_daemon_wait_shutdown(fake, fd);
	fake_daemon_stop(fake);
	close(fd);
	return 0;
}
