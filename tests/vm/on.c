/*
 * `on N CMD…` inside a guest: runs a command in guest N, in the same directory and environment,
 * with its output and exit status as if it ran here. `on --kill N` pulls that guest's plug.
 */
#include "frame.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

static int usage(void)
{
	fprintf(stderr,
		"usage: on N CMD...    runs CMD in guest N\n"
		"       on --kill N    ends guest N at once\n");
	return 2;
}

static int agent_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = AGENT_SOCKET};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror("on: " AGENT_SOCKET);
		exit(125);
	}
	return fd;
}

/* FRAME_CALL's bytes; whoever calls it exits soon */
static size_t request(const char *node, int argc, char **argv, char **ret_bytes)
{
	char *bytes = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&bytes, &len);
	char *directory = getcwd(NULL, 0);
	if (!out || !directory) {
		perror("on");
		exit(125);
	}
	fprintf(out, "%s%c%s%c%d%c", node, 0, directory, 0, argc, 0);
	for (int i = 0; i < argc; i++)
		fprintf(out, "%s%c", argv[i], 0);
	/* which guest it is there, run adds; of two, getenv() would take ours */
	for (char **variable = environ; *variable; variable++)
		if (strncmp(*variable, "RAMET_VM_NODE=", strlen("RAMET_VM_NODE=")) != 0)
			fprintf(out, "%s%c", *variable, 0);
	fclose(out);
	free(directory);
	*ret_bytes = bytes;
	return len;
}

/* one frame of the agent: the command's output, or its end */
static void take(int agent)
{
	struct frame frame;
	if (frame_receive(agent, &frame) < 0) {
		fprintf(stderr, "on: the agent has gone\n");
		exit(125);
	}
	if (frame.type == FRAME_EXIT)
		exit(atoi(frame.bytes));
	FILE *to = frame.type == FRAME_ERR ? stderr : stdout;
	fwrite(frame.bytes, 1, frame.len, to);
	fflush(to);
	free(frame.bytes);
}

int on_main(int argc, char **argv)
{
	sigset_t passed_on;
	sigemptyset(&passed_on);
	sigaddset(&passed_on, SIGINT);
	sigaddset(&passed_on, SIGTERM);
	sigaddset(&passed_on, SIGHUP);
	if (argc < 3)
		return usage();
	int agent = agent_connect();
	if (strcmp(argv[1], "--kill") == 0) {
		frame_send(agent, FRAME_KILL, 0, argv[2], strlen(argv[2]) + 1);
	} else {
		char *bytes;
		size_t len = request(argv[1], argc - 2, argv + 2, &bytes);
		if (frame_send(agent, FRAME_CALL, 0, bytes, len) < 0) {
			fprintf(stderr, "on: the request is too long\n");
			return 125;
		}
		free(bytes);
	}
	sigprocmask(SIG_BLOCK, &passed_on, NULL);
	int signals = signalfd(-1, &passed_on, SFD_CLOEXEC);
	struct pollfd fds[2] = {{agent, POLLIN, 0}, {signals, POLLIN, 0}};
	while (poll(fds, 2, -1) > 0) {
		struct signalfd_siginfo info;
		char number[12];
		if (fds[1].revents && read(signals, &info, sizeof(info)) == sizeof(info)) {
			snprintf(number, sizeof(number), "%u", info.ssi_signo);
			frame_send(agent, FRAME_SIGNAL, 0, number, strlen(number) + 1);
		}
		if (fds[0].revents)
			take(agent);
	}
	return 125;
}
