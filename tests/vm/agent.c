/*
 * Process 1 of a guest: runs commands for tests/vm/run and passes on what they write and how they
 * end; carries what `on` asks for inside the guest to run, which has another guest do it. Output is
 * passed on while run reads: it always does. A client of `on` that reads nothing holds up its
 * guest.
 */
#include "frame.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS_MAX 64
#define CLIENTS_MAX 64
#define SEED_MAX 128
#define READS_AT_EXIT 32 /* more than what a pipe holds; others may go on writing to it */

/* a command of this guest; pid 0: unused */
struct session {
	uint32_t id;
	pid_t pid;
	int streams[2]; /* what comes from its standard output and error; -1: ended */
};

/* an `on` of this guest; fd -1: unused */
struct client {
	uint32_t id;
	int fd;
};

struct agent {
	int port;
	int listener;
	int children; /* signalfd of SIGCHLD */
	uint32_t next_call;
	struct session sessions[SESSIONS_MAX];
	struct client clients[CLIENTS_MAX];
};

static void die(const char *what)
{
	perror(what);
	reboot(RB_AUTOBOOT); /* qemu runs with -no-reboot */
	_exit(1);
}

static void tell(
	struct agent *agent, enum frame_type type, uint32_t id, const void *bytes, size_t len)
{
	if (frame_send(agent->port, type, id, bytes, len) < 0)
		die("agent: run has gone");
}

static void tell_exit(struct agent *agent, uint32_t id, int status)
{
	char number[12];
	snprintf(number, sizeof(number), "%d", status);
	tell(agent, FRAME_EXIT, id, number, strlen(number) + 1);
}

/* --- commands --- */

static const char *next_string(const char **at, const char *end)
{
	const char *string = *at;
	if (string >= end)
		return NULL;
	*at += strlen(string) + 1; /* frames end in a NUL of frame_receive() */
	return string;
}

static char **strings(const char **at, const char *end, long count)
{
	char **list = calloc((size_t)count + 1, sizeof(*list));
	if (!list)
		die("agent");
	for (long i = 0; i < count; i++)
		list[i] = (char *)next_string(at, end);
	return list;
}

__attribute__((noreturn)) static void become(const struct frame *frame, int out, int err)
{
	const char *at = frame->bytes;
	const char *end = at + frame->len;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	int null = open("/dev/null", O_RDONLY);
	dup2(null, 0);
	dup2(out, 1);
	dup2(err, 2);
	close_range(3, ~0U, 0);
	const char *directory = next_string(&at, end);
	const char *count = next_string(&at, end);
	char **argv = strings(&at, end, count ? atol(count) : 0);
	long variables = 0;
	for (const char *p = at; p < end; p += strlen(p) + 1)
		variables++;
	environ = strings(&at, end, variables);
	if (!argv[0] || chdir(directory) < 0) {
		perror(directory);
		_exit(126);
	}
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

static void session_start(struct agent *agent, const struct frame *frame)
{
	struct session *session = agent->sessions;
	while (session->pid && session < agent->sessions + SESSIONS_MAX - 1)
		session++;
	int out[2], err[2];
	if (session->pid || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
		tell_exit(agent, frame->id, 126);
		return;
	}
	*session = (struct session){frame->id, fork(), {out[0], err[0]}};
	if (session->pid < 0)
		die("agent: fork");
	if (session->pid == 0)
		become(frame, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
}

/* true: there may be more */
static bool session_pass_on(struct agent *agent, struct session *session, int stream)
{
	static char bytes[65536];
	int fd = session->streams[stream];
	if (fd < 0)
		return false;
	ssize_t n = read(fd, bytes, sizeof(bytes));
	if (n > 0) {
		tell(agent, stream ? FRAME_ERR : FRAME_OUT, session->id, bytes, (size_t)n);
		return true;
	}
	if (n == 0) {
		close(fd);
		session->streams[stream] = -1;
	}
	return false;
}

static void reap(struct agent *agent)
{
	struct signalfd_siginfo info;
	if (read(agent->children, &info, sizeof(info)) != sizeof(info))
		die("agent: signalfd");
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (struct session *s = agent->sessions; s < agent->sessions + SESSIONS_MAX; s++) {
			if (s->pid != pid)
				continue;
			for (int stream = 0; stream < 2; stream++) {
				for (int i = 0;
					i < READS_AT_EXIT && session_pass_on(agent, s, stream); i++)
					;
				if (s->streams[stream] >= 0)
					close(s->streams[stream]);
			}
			tell_exit(agent, s->id,
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
			s->pid = 0;
		}
	}
}

/* --- run, and `on` --- */

static struct client *client_find(struct agent *agent, uint32_t id)
{
	for (struct client *c = agent->clients; c < agent->clients + CLIENTS_MAX; c++) {
		if (c->fd >= 0 && c->id == id)
			return c;
	}
	return NULL;
}

static void take_from_run(struct agent *agent)
{
	struct frame frame;
	if (frame_receive(agent->port, &frame) < 0)
		die("agent: run has gone");
	if (frame.type == FRAME_START) {
		session_start(agent, &frame);
	} else if (frame.type == FRAME_SIGNAL) {
		for (struct session *s = agent->sessions; s < agent->sessions + SESSIONS_MAX; s++) {
			if (s->pid && s->id == frame.id)
				kill(-s->pid, atoi(frame.bytes));
		}
	} else {
		struct client *client = client_find(agent, frame.id);
		if (client)
			frame_send(client->fd, frame.type, 0, frame.bytes, frame.len);
	}
	free(frame.bytes);
}

static void client_accept(struct agent *agent)
{
	struct client *client = agent->clients;
	while (client->fd >= 0 && client < agent->clients + CLIENTS_MAX - 1)
		client++;
	int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0 && client->fd < 0)
		*client = (struct client){agent->next_call++, fd};
	else if (fd >= 0)
		close(fd);
}

static void take_from_client(struct agent *agent, struct client *client)
{
	struct frame frame;
	if (frame_receive(client->fd, &frame) <
		0) { /* it has gone: nobody wants its command any more */
		tell(agent, FRAME_SIGNAL, client->id, "9", 2);
		close(client->fd);
		client->fd = -1;
		return;
	}
	tell(agent, frame.type, client->id, frame.bytes, frame.len);
	free(frame.bytes);
}

static void turn(struct agent *agent)
{
	struct pollfd fds[3 + 2 * SESSIONS_MAX + CLIENTS_MAX];
	fds[0] = (struct pollfd){agent->port, POLLIN, 0};
	fds[1] = (struct pollfd){agent->listener, POLLIN, 0};
	fds[2] = (struct pollfd){agent->children, POLLIN, 0};
	struct pollfd *streams = fds + 3;
	for (int i = 0; i < 2 * SESSIONS_MAX; i++) {
		const struct session *session = &agent->sessions[i / 2];
		streams[i] =
			(struct pollfd){session->pid ? session->streams[i % 2] : -1, POLLIN, 0};
	}
	struct pollfd *clients = streams + (ptrdiff_t)2 * SESSIONS_MAX;
	for (int i = 0; i < CLIENTS_MAX; i++)
		clients[i] = (struct pollfd){agent->clients[i].fd, POLLIN, 0};
	if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
		die("agent: poll");
	for (int i = 0; i < 2 * SESSIONS_MAX; i++) {
		if (streams[i].revents)
			session_pass_on(agent, &agent->sessions[i / 2], i % 2);
	}
	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (clients[i].revents)
			take_from_client(agent, &agent->clients[i]);
	}
	if (fds[2].revents)
		reap(agent);
	if (fds[0].revents)
		take_from_run(agent);
	if (fds[1].revents)
		client_accept(agent);
}

/* guests that start from the same saved state would draw the same random numbers */
static void seed_random(const char *seed)
{
	union {
		struct rand_pool_info info;
		char space[sizeof(struct rand_pool_info) + SEED_MAX];
	} pool;
	size_t len = strnlen(seed, SEED_MAX);
	pool.info.entropy_count = (int)len * 4; /* hexadecimal */
	pool.info.buf_size = (int)len;
	memcpy(pool.info.buf, seed, len);
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool.info) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		die("agent: /dev/urandom");
	close(fd);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	if (strcmp(name ? name + 1 : argv[0], "on") == 0)
		return on_main(argc, argv);
	static struct agent agent;
	if (argc != 3)
		return 2;
	agent.port = atoi(argv[1]);
	seed_random(argv[2]);
	for (int i = 0; i < CLIENTS_MAX; i++)
		agent.clients[i].fd = -1;
	fcntl(agent.port, F_SETFD, FD_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
	sigset_t children;
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	agent.children = signalfd(-1, &children, SFD_CLOEXEC);
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = AGENT_SOCKET};
	agent.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (agent.children < 0 ||
		bind(agent.listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		chmod(AGENT_SOCKET, 0666) < 0 || listen(agent.listener, CLIENTS_MAX) < 0)
		die("agent: " AGENT_SOCKET);
	tell(&agent, FRAME_HELLO, 0, "", 0);
	for (;;)
		turn(&agent);
}
