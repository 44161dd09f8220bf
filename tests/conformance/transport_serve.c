/* The process with the servers: answers the one with the tests until that hangs up. See
 * transport_apart.h. */
#include "tests/conformance/transport_apart.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "transport/addr.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVERS_MAX 4

static struct server *servers[SERVERS_MAX]; /* NULL: none of that number */
static unsigned fds_without_servers;

/* of the question that is being answered */
static struct apart_question question;
static struct {
	struct apart_answer head;
	unsigned char tail[APART_TAIL_MAX];
} answer;
static size_t tail_len;

static struct server *server_asked_for(void)
{
	unsigned number = question.server;
	return number >= 1 && number <= SERVERS_MAX ? servers[number - 1] : NULL;
}

/* on the server's thread, which writes to all of this */
static void look(struct server *s)
{
	memcpy(answer.head.plain, s, SERVER_PLAIN);
	for (unsigned i = 0; i < SERVER_COUNTERS; i++)
		answer.head.counts[i] = counter_get(server_counter(s, i));
	if (question.kind == APART_MEMORY) {
		memcpy(answer.tail, s->memory + question.offset, question.len);
		tail_len = question.len;
	}
}

static bool any_server(void)
{
	for (unsigned i = 0; i < SERVERS_MAX; i++)
		if (servers[i])
			return true;
	return false;
}

static void close_server(unsigned number)
{
	server_close(servers[number - 1]);
	free(servers[number - 1]);
	servers[number - 1] = NULL;
	if (!any_server())
		CHECK_INT(suite_count_fds(), fds_without_servers);
}

static bool open_server(void)
{
	unsigned free_one = 0;
	while (free_one < SERVERS_MAX && servers[free_one])
		free_one++;
	struct server *s = free_one < SERVERS_MAX ? malloc(sizeof(*s)) : NULL;
	if (!CHECK(s != NULL))
		return false;
	if (!any_server())
		fds_without_servers = suite_count_fds();
	servers[free_one] = s;
	const char *addr = question.addr[0] ? question.addr : PROVIDER.addr;
	if (server_open(s, addr, &question.options)) {
		answer.head.server = free_one + 1;
		server_call(s, look);
	} else {
		close_server(free_one + 1);
	}
	return true;
}

/* fn with the variables of both sides, which came behind the question */
static bool call(struct server *s, const unsigned char *bytes, size_t len)
{
	size_t size;
	unsigned char *shared = apart_shared(&size);
	uintptr_t fn = apart_function(question.fn);
	if (!fn || len != size || size > sizeof(answer.tail))
		return false;
	memcpy(shared, bytes, size);
	if (s)
		server_call(s, (void (*)(struct server *))fn);
	else
		((void (*)(void))fn)();
	memcpy(answer.tail, shared, size);
	tail_len = size;
	return true;
}

/* false: nobody may ask that */
static bool answer_question(const unsigned char *tail, size_t len)
{
	struct server *s = server_asked_for();
	struct counter *counter = s ? server_counter(s, question.counter) : NULL;
	if (question.kind == APART_OPEN)
		return open_server();
	if (question.kind == APART_RUN)
		return call(NULL, tail, len);
	if (!s)
		return false;
	switch (question.kind) {
	case APART_CLOSE:
		close_server(question.server);
		return true;
	case APART_CALL:
		if (!call(s, tail, len))
			return false;
		break;
	case APART_WAIT:
		if (!counter)
			return false;
		counter_wait(counter, question.count); /* the answer says how far it came */
		break;
	case APART_MEMORY:
		if (question.len > SERVER_BYTES || question.offset > SERVER_BYTES - question.len)
			return false;
		break;
	default:
		return false;
	}
	server_call(s, look);
	return true;
}

static int serve(int fd, struct ramet_err *err)
{
	unsigned told = 0;
	for (;;) {
		auto_free unsigned char *frame = NULL;
		size_t len;
		int rc = frame_read(
			fd, sizeof(question) + APART_TAIL_MAX, &frame, &len, NULL, NULL, 0, err);
		if (rc < 0)
			return rc;
		if (len < sizeof(question))
			return err_set(err, RAMET_EPROTO, "a question of %zu bytes", len);
		memcpy(&question, frame, sizeof(question));
		question.addr[sizeof(question.addr) - 1] = '\0';
		answer.head = (struct apart_answer){0};
		tail_len = 0;
		if (!answer_question(frame + sizeof(question), len - sizeof(question)))
			return err_set(err, RAMET_EPROTO, "question %u makes no sense",
				(unsigned)question.kind);
		unsigned failed = suite_failed_checks();
		answer.head.failed = failed - told;
		told = failed;
		rc = frame_write(fd, &answer, sizeof(answer.head) + tail_len, NULL, 0,
			now_ns() + WAIT_NS, err);
		if (rc < 0)
			return rc;
	}
}

/* listens beside the provider's address, and says where; the first who comes has to know what it
 * said */
static int invite(uint64_t cookie, int *ret_listener, struct ramet_err *err)
{
	struct sockaddr_storage sa;
	socklen_t len;
	char addr[TRANSPORT_ADDR_MAX];
	int rc = addr_parse(PROVIDER.addr, &sa, &len, err);
	if (rc < 0)
		return rc;
	auto_close int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 1) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return err_errno(err, RAMET_EIO, "listen on %s", PROVIDER.addr);
	addr_format(&sa, len, addr);
	printf(APART_READY "%s %016" PRIx64 "\n", addr, cookie);
	fflush(stdout);
	dup2(STDERR_FILENO, STDOUT_FILENO); /* nobody reads what else there is to say */
	setvbuf(stdout, NULL, _IOLBF, 0);
	*ret_listener = steal_fd(&fd);
	return 0;
}

static int greet(int fd, uint64_t cookie, struct ramet_err *err)
{
	struct apart_hello hello;
	auto_free unsigned char *frame = NULL;
	size_t len;
	int rc = frame_read(fd, sizeof(hello), &frame, &len, NULL, NULL, now_ns() + WAIT_NS, err);
	if (rc < 0)
		return rc;
	if (len != sizeof(hello))
		return err_set(err, RAMET_EPROTO, "a hello of %zu bytes", len);
	memcpy(&hello, frame, sizeof(hello));
	if (hello.cookie != cookie || hello.layout != apart_layout())
		return err_set(err, RAMET_EPERM, "whoever came is not who started this");
	return 0;
}

static int receive(int *ret_fd, struct ramet_err *err)
{
	uint64_t cookie;
	auto_close int listener = -1;
	if (getrandom(&cookie, sizeof(cookie), 0) != sizeof(cookie))
		return err_errno(err, RAMET_EIO, "getrandom");
	int rc = invite(cookie, &listener, err);
	if (rc < 0)
		return rc;
	struct pollfd pfd = {.fd = listener, .events = POLLIN};
	if (poll(&pfd, 1, (int)(WAIT_NS / NSEC_PER_MSEC)) <= 0)
		return err_set(err, RAMET_ETIMEOUT, "nobody came");
	auto_close int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "accept");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	rc = greet(fd, cookie, err);
	if (rc == 0)
		*ret_fd = steal_fd(&fd);
	return rc;
}

int apart_serve(void)
{
	struct ramet_err err = {0};
	auto_close int fd = -1;
	int rc = receive(&fd, &err);
	if (rc == 0)
		rc = serve(fd, &err);
	for (unsigned number = 1; number <= SERVERS_MAX; number++)
		if (servers[number - 1])
			close_server(number);
	if (rc == RAMET_EPEER)
		return EXIT_SUCCESS; /* the other has hung up */
	fprintf(stderr, "serving: %s\n", err.msg);
	return EXIT_FAILURE;
}
