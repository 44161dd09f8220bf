/* Transport suite, sockets only: strangers on the port. Each is dropped, told once in the log, and
 * nobody else notices. Addresses. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"
#include "tests/conformance/transport_raw.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "transport/greeting.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* The log of the process that has the servers, which goes to a file for a while. */
static int log_fd = -1;
static SHARED char log_event[32];
static SHARED unsigned log_count;

static void log_begin(void)
{
	log_fd = memfd_create("log", MFD_CLOEXEC);
	log_init("suite", LOG_WARN, log_fd);
}

static void log_end(void)
{
	log_init("suite", LOG_WARN, 2);
	close_reset(&log_fd);
}

static void log_look(void)
{
	static char text[65536];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);
	text[MAX(n, 0)] = '\0';
	log_count = 0;
	for (const char *at = text; (at = strstr(at, log_event)) != NULL; at += strlen(log_event))
		log_count++;
}

static unsigned log_lines(const char *event)
{
	snprintf(log_event, sizeof(log_event), "%s", event);
	server_run(log_look);
	return log_count;
}

void test_strangers_are_dropped(void)
{
	if (!PROVIDER.stream) {
		suite_skip("no stranger comes with a stream of bytes");
		return;
	}
	server_run(log_begin);
	struct pair p;
	const struct transport_options options = {.handshake_ms = 300};
	if (!pair_open(&p, &options))
		return;

	unsigned char hello[GREETING_HELLO_SIZE], zeros[4096] = {0};
	raw_hello(&p.server, 16, hello);
	unsigned char wrong_version[GREETING_HELLO_SIZE], wrong_token[GREETING_HELLO_SIZE],
		no_token[GREETING_HELLO_SIZE], long_token[GREETING_HELLO_SIZE],
		deep[GREETING_HELLO_SIZE];
	memcpy(wrong_version, hello, sizeof(hello));
	wrong_version[4]++;
	memcpy(wrong_token, hello, sizeof(hello));
	wrong_token[24] ^= 1;
	memcpy(no_token, hello, sizeof(hello));
	no_token[6] = 0;
	memset(no_token + 24, 0, TRANSPORT_TOKEN_MAX);
	memcpy(long_token, hello, sizeof(hello));
	long_token[7] = 1;
	memcpy(deep, hello, sizeof(hello));
	deep[11] = 0xff;
	const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	const struct {
		const void *data;
		size_t len;
	} strangers[] = {
		{get, sizeof(get)}, {zeros, 1}, {zeros, sizeof(zeros)},
		{wrong_version, sizeof(hello)}, {wrong_version, 6}, {wrong_token, sizeof(hello)},
		{no_token, sizeof(hello)}, {long_token, sizeof(hello)}, {deep, sizeof(hello)},
		{hello, sizeof(hello) - 1}, /* then it stalls */
		{hello, 4}, {hello, 0}, /* says nothing at all */
	};
	int fds[ARRAY_LEN(strangers)];
	for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
		fds[i] = raw_connect(p.server.addr);
		CHECK_INT(send(fds[i], strangers[i].data, strangers[i].len, MSG_NOSIGNAL),
			strangers[i].len);
		CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 100000), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
		CHECK(raw_is_dropped(fds[i], 2000));
		close(fds[i]);
		CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 100000), 0);
	}
	close(raw_connect(p.server.addr)); /* a port scan */
	client_connect(&p.client, &p.server);
	CHECK_INT(p.client.connected, 2);
	CHECK_INT(p.client.closed, 0);
	CHECK(counter_wait(&p.server.connected, 2));
	CHECK_INT(counter_get(&p.server.connected), 2);
	pair_close(&p);
	CHECK_INT(log_lines("transport.dropped"), ARRAY_LEN(strangers) + 1);
	server_run(log_end);
}

/* more strangers than are let wait: the oldest go, who has a token still gets in, and the log is
 * not flooded */
void test_a_crowd_of_strangers(void)
{
	if (!PROVIDER.stream) {
		suite_skip("no stranger comes with a stream of bytes");
		return;
	}
	enum { CROWD = 300 };
	server_run(log_begin);
	struct pair p;
	int fds[CROWD];
	if (!pair_open(&p, NULL))
		return;
	for (unsigned i = 0; i < CROWD; i++)
		fds[i] = raw_connect(p.server.addr);
	for (unsigned i = 0; i < 20; i++)
		CHECK(raw_is_dropped(fds[i], 1000));
	client_connect(&p.client, &p.server);
	CHECK_INT(p.client.connected, 2);
	unsigned lines = log_lines("transport.dropped");
	CHECK(lines > 0 && lines <= 20);
	client_close(&p.client);
	server_close(&p.server); /* with strangers still waiting */
	for (unsigned i = 0; i < CROWD; i++)
		close(fds[i]);
	CHECK_INT(suite_count_fds(), p.fds);
	server_run(log_end);
}

/* out of descriptors for a moment: who came meanwhile is let in later */
void test_accept_fails_for_a_while(void)
{
	if (!PROVIDER.stream) {
		suite_skip("there is no socket to accept");
		return;
	}
	server_run(log_begin);
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	pair_fault("transport.accept", 0, 2);
	client_connect(&p.client, &p.server);
	CHECK_INT(p.client.connected, 2);
	CHECK_INT(p.client.closed, 0);
	CHECK_INT(log_lines("transport.accept"), 2);
	pair_close(&p);
	pair_fault("transport.accept", 0, 0);
	server_run(log_end);
}

void test_addresses(void)
{
	if (!PROVIDER.processes) {
		suite_skip("names in this process are not network addresses");
		return;
	}
	static const char *const wrong[] = {"", ":", ":1", "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:http", "localhost:1", "127.0.0.1:99999", "[::1:1",
		"1.2.3.4.5:1"};
	struct client c;
	struct ramet_err err = {0};
	struct transport_listener *listener = NULL;
	if (!client_open(&c, NULL))
		return;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		CHECK_INT(transport_connect(
				  c.domain, wrong[i], NULL, 0, &client_handler, &c, &c.conn, &err),
			RAMET_EINVAL);
		CHECK_INT(transport_listen(c.transport, wrong[i], NULL, NULL, &listener, &err),
			RAMET_EINVAL);
	}
	/* an address that connect() itself refuses: told like any other failure, by on_closed */
	REQUIRE_OK(transport_connect(c.domain, "255.255.255.255:1", NULL, 0, &client_handler, &c,
			   &c.conn, &err),
		&err);
	CHECK_INT(c.closed, 0);
	CHECK(client_wait(&c, &c.closed, 1));
	CHECK_INT(c.closed_code, RAMET_EPEER);
	client_close(&c);
}

void test_ipv6(void)
{
	int fd = PROVIDER.stream ? socket(AF_INET6, SOCK_STREAM, 0) : -1;
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int there = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
	close(fd);
	if (!there) {
		suite_skip("no IPv6 here");
		return;
	}
	struct server s;
	struct client c;
	if (!server_open(&s, "[::1]:0", NULL) || !client_open(&c, NULL))
		return;
	client_connect(&c, &s);
	CHECK_INT(c.connected, 1);
	CHECK_STR(transport_conn_peer(c.conn), s.addr);
	CHECK_INT(client_read(&c, s.read_ref, 0, 100000), 0);
	client_close(&c);
	server_close(&s);
}
