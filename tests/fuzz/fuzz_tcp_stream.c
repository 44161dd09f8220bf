/* What somebody sends to the port where pages are served: a whole stream, with or without the right
 * token, until the listener hangs up or there is no more. */
#include "tests/fuzz/fuzz.h"

#include "base/cleanup.h"
#include "transport/greeting.h"
#include "transport/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEN 65536

static struct {
	struct loop *loop;
	struct transport *transport;
	struct transport_domain *domain;
	struct transport_segment *segment;
	struct transport_listener *listener;
	struct sockaddr_in addr;
	unsigned char memory[LEN];
} here;

static void on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	(void)user;
	(void)conn;
	(void)err;
}

static const struct transport_handler handler = {.on_closed = on_closed};

static int on_accept(
	void *user, const void *token, size_t len, const char *peer, struct transport_accept *ret)
{
	(void)user;
	(void)peer;
	if (len > 0 && ((const char *)token)[0] == 'x')
		return RAMET_EPERM;
	*ret = (struct transport_accept){.domain = here.domain, .handler = &handler};
	return 0;
}

static void begin(void)
{
	if (loop_create(&here.loop, NULL) < 0 ||
		transport_open("tcp", here.loop, NULL, &here.transport, NULL) < 0 ||
		transport_domain_create(here.transport, &here.domain, NULL) < 0 ||
		transport_segment_add(here.domain, here.memory, LEN, 0, &here.segment, NULL) < 0 ||
		transport_listen(
			here.transport, "127.0.0.1:0", on_accept, NULL, &here.listener, NULL) < 0)
		abort();
	const char *addr = transport_listener_addr(here.listener);
	here.addr = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(strrchr(addr, ':') + 1))};
}

static void turn(void)
{
	for (unsigned i = 0; i < 6; i++)
		(void)loop_turn(here.loop, 0, NULL);
}

/* 16 times "S" stands for the segment that there is: nobody guesses its key */
static void put_segment(unsigned char *bytes, size_t len)
{
	static const char placeholder[] = "SSSSSSSSSSSSSSSS";
	struct segment_ref ref = transport_segment_ref(here.segment, 0);
	for (unsigned char *at = bytes;
		(at = memmem(at, (size_t)(bytes + len - at), placeholder, 16));) {
		memcpy(at, &ref.id, sizeof(ref.id));
		memcpy(at + sizeof(ref.id), &ref.key, sizeof(ref.key));
	}
}

/* libFuzzer's clock interrupts system calls: such a connection comes about later */
static int connect_there(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error = 0;
	socklen_t size = sizeof(error);
	if (fd < 0 || connect(fd, (struct sockaddr *)&here.addr, sizeof(here.addr)) < 0)
		error = errno;
	if (error == EINTR) {
		struct pollfd pfd = {.fd = fd, .events = POLLOUT};
		while (poll(&pfd, 1, -1) < 0 && errno == EINTR)
			;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
			error = errno;
	}
	if (error) {
		fprintf(stderr, "connection to the listener: %s\n", strerror(error));
		abort();
	}
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	static unsigned char data[LEN];
	const struct linger now = {1, 0}; /* no port stays in TIME_WAIT */
	unsigned char sink[16384];
	if (!here.loop)
		begin();
	len = MIN(len, sizeof(data));
	memcpy(data, input, len);
	put_segment(data, len);
	int fd = connect_there();
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	for (size_t done = 0; done < len;) {
		size_t part =
			done == 0 ? MIN(len, (size_t)GREETING_HELLO_SIZE) : MIN(len - done, 512ul);
		if (send(fd, data + done, part, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)part)
			break;
		done += part;
		turn();
		while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
	}
	close(fd);
	turn();
	return 0;
}
