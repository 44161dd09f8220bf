/* Sockets to a `tcp` listener for tests of what strangers and bad peers do: see transport_raw.h. */
#include "tests/conformance/transport_raw.h"

#include "base/clock.h"
#include "transport/greeting.h"
#include "transport/tcp_wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct sockaddr_in raw_sockaddr(const char *addr)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	sa.sin_port = htons((uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10));
	return sa;
}

int raw_connect(const char *addr)
{
	struct sockaddr_in sa = raw_sockaddr(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

/* the peer hangs up on us, within the time; what it says before is skipped */
int raw_is_dropped(int fd, int timeout_ms)
{
	char bytes[65536];
	uint64_t deadline = now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	while (now_ns() < deadline) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		if (poll(&pfd, 1, timeout_ms) > 0 && recv(fd, bytes, sizeof(bytes), 0) <= 0)
			return 1;
	}
	return 0;
}

void raw_hello(const struct server *s, uint32_t depth, unsigned char dst[GREETING_HELLO_SIZE])
{
	struct greeting_hello hello = {.depth = depth, .timeout_ms = 5000, .token_len = 9};
	memcpy(hello.token, s->token, 9);
	greeting_hello_encode(&hello, dst);
}

int raw_peer(const struct server *s, uint32_t depth)
{
	unsigned char hello[GREETING_HELLO_SIZE], bytes[GREETING_WELCOME_SIZE];
	struct greeting_welcome welcome = {.status = -1};
	int fd = raw_connect(s->addr);
	raw_hello(s, depth, hello);
	CHECK_INT(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
	CHECK_INT(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	CHECK_INT(greeting_welcome_parse(bytes, &welcome), 0);
	CHECK_INT(welcome.status, 0);
	return fd;
}

void raw_frame(int fd, struct tcp_frame frame)
{
	unsigned char header[TCP_HEADER_SIZE];
	static const unsigned char payload[TCP_CHUNK_MAX];
	tcp_frame_encode(&frame, header);
	(void)!send(fd, header, sizeof(header), MSG_NOSIGNAL | MSG_MORE);
	(void)!send(fd, payload, frame.payload, MSG_NOSIGNAL);
}
