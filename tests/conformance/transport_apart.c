/* The process with the tests: starts the one with the servers, and asks. See transport_apart.h. */
#include "tests/conformance/transport_apart.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "transport/addr.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* the other process; pid 0: there is none, the servers are here */
static struct {
	pid_t pid;
	int fd; /* -1: it did not answer */
} other = {.fd = -1};

bool apart(void)
{
	return other.pid > 0;
}

/* --- what both processes make of an address in the program --- */

extern const char __executable_start[], etext[];
extern unsigned char __start_pair_shared[], __stop_pair_shared[];

unsigned char *apart_shared(size_t *ret_size)
{
	*ret_size = (size_t)(__stop_pair_shared - __start_pair_shared);
	return __start_pair_shared;
}

int64_t apart_offset(uintptr_t fn)
{
	return (int64_t)(fn - (uintptr_t)__executable_start);
}

uintptr_t apart_function(int64_t offset)
{
	bool inside = offset > 0 && offset < apart_offset((uintptr_t)etext);
	return inside ? (uintptr_t)__executable_start + (uintptr_t)offset : 0;
}

uint64_t apart_layout(void)
{
	uint64_t parts[] = {(uint64_t)apart_offset((uintptr_t)etext),
		(uint64_t)apart_offset((uintptr_t)apart_serve),
		(uint64_t)apart_offset((uintptr_t)__start_pair_shared),
		(uint64_t)apart_offset((uintptr_t)__stop_pair_shared),
		sizeof(struct apart_question), sizeof(struct apart_answer)};
	uint64_t sum = 0;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		sum = sum * 0x9e3779b97f4a7c15u + parts[i];
	return sum;
}

/* --- questions --- */

static int lost(const char *why)
{
	close_reset(&other.fd);
	printf("  the process with the servers: %s\n", why);
	return CHECK(!"it answers");
}

static int ask(const struct apart_question *question, const void *tail, size_t len)
{
	struct ramet_err err = {0};
	auto_free unsigned char *frame = malloc(sizeof(*question) + len);
	if (other.fd < 0 || !frame)
		return lost(frame ? "has not answered before" : "no memory to ask");
	memcpy(frame, question, sizeof(*question));
	if (len)
		memcpy(frame + sizeof(*question), tail, len);
	if (frame_write(other.fd, frame, sizeof(*question) + len, NULL, 0, now_ns() + WAIT_NS,
		    &err) < 0)
		return lost(err.msg);
	return 1;
}

static void see(struct server *s, const struct apart_answer *answer)
{
	memcpy(s, answer->plain, SERVER_PLAIN);
	for (unsigned i = 0; i < SERVER_COUNTERS; i++)
		server_counter(s, i)->count = answer->counts[i];
}

/* the answer, of which s (may be NULL) is the server, and len bytes behind it */
static int take(struct server *s, unsigned *ret_server, void *tail, size_t len)
{
	struct ramet_err err = {0};
	struct apart_answer answer;
	auto_free unsigned char *frame = NULL;
	size_t got = 0;
	if (other.fd < 0)
		return 0;
	/* it waits once for what was asked, and once for the server's thread to look */
	if (frame_read(other.fd, sizeof(answer) + len, &frame, &got, NULL, NULL,
		    now_ns() + 3 * WAIT_NS, &err) < 0)
		return lost(err.msg);
	if (got != sizeof(answer) + len)
		return lost("an answer of the wrong size");
	memcpy(&answer, frame, sizeof(answer));
	if (len)
		memcpy(tail, frame + sizeof(answer), len);
	if (s)
		see(s, &answer);
	if (ret_server)
		*ret_server = answer.server;
	CHECK_INT(answer.failed, 0); /* told where they failed */
	return 1;
}

int apart_open(struct server *s, const char *addr, const struct transport_options *options)
{
	struct apart_question question = {.kind = APART_OPEN, .options = provider_options(options)};
	unsigned server = 0;
	if (addr != PROVIDER.addr)
		snprintf(question.addr, sizeof(question.addr), "%s", addr);
	if (!ask(&question, NULL, 0) || !take(s, &server, NULL, 0) || server == 0)
		return 0;
	s->far = server;
	for (unsigned i = 0; i < SERVER_COUNTERS; i++) {
		struct counter *counter = server_counter(s, i);
		counter->far = s;
		counter->number = i;
	}
	return 1;
}

void apart_close(struct server *s)
{
	const struct apart_question question = {.kind = APART_CLOSE, .server = s->far};
	if (ask(&question, NULL, 0))
		take(NULL, NULL, NULL, 0);
}

static void ask_to_run(struct server *s, struct apart_question question)
{
	size_t size;
	unsigned char *shared = apart_shared(&size);
	if (ask(&question, shared, size))
		take(s, NULL, shared, size);
}

void apart_call(struct server *s, void (*fn)(struct server *s))
{
	ask_to_run(s,
		(struct apart_question){
			.kind = APART_CALL, .server = s->far, .fn = apart_offset((uintptr_t)fn)});
}

void apart_run(void (*fn)(void))
{
	ask_to_run(NULL,
		(struct apart_question){.kind = APART_RUN, .fn = apart_offset((uintptr_t)fn)});
}

void apart_memory(struct server *s, size_t offset, size_t len)
{
	const struct apart_question question = {
		.kind = APART_MEMORY, .server = s->far, .offset = offset, .len = len};
	if (ask(&question, NULL, 0))
		take(s, NULL, s->memory + offset, len);
}

int apart_wait_begin(struct counter *c, unsigned count)
{
	const struct apart_question question = {
		.kind = APART_WAIT, .server = c->far->far, .counter = c->number, .count = count};
	return ask(&question, NULL, 0);
}

bool apart_answered(void)
{
	struct pollfd pfd = {.fd = other.fd, .events = POLLIN};
	return poll(&pfd, 1, 0) != 0;
}

void apart_wait_end(struct counter *c)
{
	take(c->far, NULL, NULL, 0);
}

void apart_wait(struct counter *c, unsigned count)
{
	if (apart_wait_begin(c, count))
		apart_wait_end(c);
}

/* --- beginning and end --- */

/* its output goes to out; what it writes to its standard error goes to ours */
__attribute__((noreturn)) static void become(const char *command, int out)
{
	char self[PATH_MAX], script[2 * PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[MAX(len, 0)] = '\0';
	snprintf(script, sizeof(script), "exec %s \"$0\" " APART_SERVE, command);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(out, STDOUT_FILENO);
	execl("/bin/sh", "sh", "-c", script, self, (char *)NULL);
	perror("/bin/sh");
	_exit(127);
}

/* its first line, without the newline */
static int read_line(int fd, char *line, size_t size, struct ramet_err *err)
{
	uint64_t deadline = now_ns() + WAIT_NS;
	for (size_t len = 0; len + 1 < size; len++) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		int left = (int)((deadline - MIN(deadline, now_ns())) / NSEC_PER_MSEC);
		if (poll(&pfd, 1, left) <= 0)
			return err_set(err, RAMET_ETIMEOUT, "it says nothing");
		if (read(fd, line + len, 1) != 1)
			return err_set(err, RAMET_EPEER, "it has ended");
		line[len + 1] = '\0';
		if (line[len] == '\n') {
			line[len] = '\0';
			return 0;
		}
	}
	return err_set(err, RAMET_EPROTO, "its line is too long");
}

/* where "serving ADDR COOKIE" says */
static int reach(const char *line, struct ramet_err *err)
{
	char addr[TRANSPORT_ADDR_MAX];
	struct apart_hello hello = {.layout = apart_layout()};
	struct sockaddr_storage sa;
	socklen_t len;
	if (sscanf(line, APART_READY "%63s %" SCNx64, addr, &hello.cookie) != 2)
		return err_set(err, RAMET_EPROTO, "it says: %s", line);
	int rc = addr_parse(addr, &sa, &len, err);
	if (rc < 0)
		return rc;
	auto_close int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0)
		return err_errno(err, RAMET_EPEER, "connect to %s", addr);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	rc = frame_write(fd, &hello, sizeof(hello), NULL, 0, now_ns() + WAIT_NS, err);
	if (rc == 0)
		other.fd = steal_fd(&fd);
	return rc;
}

static int start(const char *command, struct ramet_err *err)
{
	int fds[2];
	char line[256] = "";
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	other.pid = fork();
	if (other.pid == 0)
		become(command, fds[1]);
	close(fds[1]);
	auto_close int out = fds[0];
	if (other.pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	int rc = read_line(out, line, sizeof(line), err);
	return rc < 0 ? rc : reach(line, err);
}

/* hangs up; whether it then ended well */
static bool end(void)
{
	int status = -1;
	close_reset(&other.fd);
	auto_close int pidfd = pidfd_open(other.pid, 0);
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	if (poll(&pfd, 1, (int)(2 * WAIT_NS / NSEC_PER_MSEC)) <= 0)
		kill(other.pid, SIGKILL);
	waitpid(other.pid, &status, 0);
	other.pid = 0;
	if (status != 0)
		printf("the process with the servers ended with status %#x\n", (unsigned)status);
	return status == 0;
}

int apart_suite_run(
	const char *name, const struct suite_test *tests, unsigned count, int argc, char **argv)
{
	struct ramet_err err = {0};
	if (argc == 2 && strcmp(argv[1], APART_SERVE) == 0)
		return apart_serve();
	if (argc < 3 || strcmp(argv[1], APART_CMD) != 0)
		return suite_run(name, tests, count, argc, argv);
	int status = EXIT_FAILURE;
	if (start(argv[2], &err) == 0)
		status = suite_run(name, tests, count, argc - 2, argv + 2);
	else
		printf("the process with the servers: %s\n", err.msg);
	bool ended_well = other.pid <= 0 || end();
	return status == EXIT_SUCCESS && !ended_well ? EXIT_FAILURE : status;
}
