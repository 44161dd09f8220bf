/* Transport suite, sockets only: peers that break the protocol after a proper handshake, and
 * servers that answer falsely. They harm only themselves. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"
#include "tests/conformance/transport_raw.h"

#include "base/clock.h"
#include "transport/greeting.h"
#include "transport/tcp_wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void hostile_answers_unasked(int fd, const struct server *s)
{
	raw_frame(fd, (struct tcp_frame){.op = TCP_ACK});
}

static void hostile_data_unasked(int fd, const struct server *s)
{
	raw_frame(fd, (struct tcp_frame){.op = TCP_DATA, .flags = TCP_FLAG_LAST, .payload = 100});
}

static void hostile_wrong_number(int fd, const struct server *s)
{
	raw_frame(fd,
		(struct tcp_frame){.op = TCP_READ, .want = 10, .number = 0, .ref = s->read_ref});
	raw_frame(fd,
		(struct tcp_frame){.op = TCP_READ, .want = 10, .number = 2, .ref = s->read_ref});
}

static void hostile_interrupted_write(int fd, const struct server *s)
{
	raw_frame(fd, (struct tcp_frame){.op = TCP_WRITE, .payload = 100, .ref = s->write_ref});
	raw_frame(fd, (struct tcp_frame){.op = TCP_READ, .want = 10, .ref = s->read_ref});
}

static void hostile_send_in_write(int fd, const struct server *s)
{
	raw_frame(fd, (struct tcp_frame){.op = TCP_WRITE, .payload = 100, .ref = s->write_ref});
	raw_frame(fd, (struct tcp_frame){.op = TCP_SEND, .payload = 10});
}

static void hostile_flood(int fd, const struct server *s)
{
	/* 4 were agreed; nobody reads the answers */
	for (uint32_t i = 0; i < 100; i++)
		raw_frame(fd,
			(struct tcp_frame){
				.op = TCP_READ,
				.want = 8 << 20,
				.number = i,
				.ref = s->read_ref,
			});
}

static void hostile_garbage(int fd, const struct server *s)
{
	raw_frame(fd, (struct tcp_frame){.op = TCP_PING});
	(void)!send(fd, pattern(0), TCP_HEADER_SIZE, MSG_NOSIGNAL);
}

static void hostile_chunk_too_large(int fd, const struct server *s)
{
	raw_frame(fd, (struct tcp_frame){.op = TCP_SEND, .payload = TRANSPORT_SEND_MAX + 1});
}

void test_hostile_peers_harm_only_themselves(void)
{
	if (!PROVIDER.stream) {
		suite_skip("peers have no stream to say anything else on");
		return;
	}
	static const struct {
		const char *name;
		void (*fn)(int fd, const struct server *s);
	} hostiles[] = {
		{"answers unasked", hostile_answers_unasked},
		{"data unasked", hostile_data_unasked},
		{"wrong number", hostile_wrong_number},
		{"interrupted write", hostile_interrupted_write},
		{"send within a write", hostile_send_in_write},
		{"flood", hostile_flood},
		{"garbage", hostile_garbage},
		{"chunk too large", hostile_chunk_too_large},
	};
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	for (unsigned i = 0; i < ARRAY_LEN(hostiles); i++) {
		int fd = raw_peer(&p.server, 4);
		CHECK(counter_wait(&p.server.connected, i + 2));
		hostiles[i].fn(fd, &p.server);
		CHECK(counter_wait(&p.server.closed, i + 1));
		if (!CHECK_INT(p.server.closed_code, RAMET_EPROTO))
			printf("  by: %s\n", hostiles[i].name);
		CHECK(raw_is_dropped(fd, 2000));
		close(fd);
		CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 100000), 0);
	}
	CHECK_INT(p.client.closed, 0);
	pair_close(&p);
}

/* mostly what a good peer could send, with here and there a field that is not */
static struct tcp_frame random_frame(const struct server *s, uint32_t *number)
{
	static const enum tcp_frame_op ops[] = {TCP_READ, TCP_READ, TCP_WRITE, TCP_WRITE, TCP_WRITE,
		TCP_SEND, TCP_PING, TCP_ACK, TCP_DATA};
	struct tcp_frame f = {
		.op = ops[suite_random() % (suite_random() % 20 ? 7 : ARRAY_LEN(ops))]};
	bool read = f.op == TCP_READ, write = f.op == TCP_WRITE;
	if (read)
		f.want = 1 + (uint32_t)(suite_random() % (suite_random() % 8 ? 5000 : 3000000));
	if (write || f.op == TCP_SEND)
		f.payload = 1 + (uint32_t)(suite_random() % (f.op == TCP_SEND ? 4096 : 200000));
	if (write && suite_random() % 3)
		f.flags = TCP_FLAG_LAST | (suite_random() % 2 ? TCP_FLAG_IMM : 0);
	if (read || write) {
		f.ref = suite_random() % 2 ? s->write_ref : s->read_ref;
		f.ref.offset =
			(1 << 20) + suite_random() % (suite_random() % 16 ? 6 << 20 : UINT64_MAX);
		f.ref.key ^= suite_random() % 16 == 0;
	}
	if (read || write || f.op == TCP_SEND)
		f.number = *number + (suite_random() % 200 == 0);
	*number += read || f.op == TCP_SEND || (write && (f.flags & TCP_FLAG_LAST));
	return f;
}

void test_random_peers_harm_only_themselves(void)
{
	if (!PROVIDER.stream) {
		suite_skip("peers have no stream to say anything else on");
		return;
	}
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	for (unsigned i = 0; i < 60; i++) {
		int fd = raw_peer(&p.server, 64);
		uint32_t number = 0;
		for (unsigned n = suite_random() % 60; n > 0; n--)
			raw_frame(fd, random_frame(&p.server, &number));
		close(fd);
		CHECK_INT(client_read(&p.client, ref_at(p.server.read_ref, i), 0, 4096), 0);
		CHECK(pattern_matches(p.client.memory, i, 4096));
	}
	CHECK(counter_wait(&p.server.closed, 60));
	CHECK_INT(p.client.closed, 0);
	pair_close(&p);
}

/* Servers that misbehave: the client's side of the same */

struct impostor {
	int listen_fd, fd;
	struct server as_server; /* its address */
	struct client client;
};

static int impostor_open(struct impostor *im)
{
	struct sockaddr_in sa = raw_sockaddr("127.0.0.1:0");
	socklen_t len = sizeof(sa);
	const struct transport_options options = {.handshake_ms = 300};
	memset(im, 0, sizeof(*im));
	im->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(im->listen_fd, (struct sockaddr *)&sa, len) == 0 &&
		listen(im->listen_fd, 4) == 0);
	getsockname(im->listen_fd, (struct sockaddr *)&sa, &len);
	snprintf(
		im->as_server.addr, sizeof(im->as_server.addr), "127.0.0.1:%u", ntohs(sa.sin_port));
	return client_open(&im->client, &options);
}

static void impostor_close(struct impostor *im)
{
	client_close(&im->client);
	close(im->listen_fd);
}

/* takes the client's connection up to its hello, and says `welcome` */
static void impostor_greet(struct impostor *im, const void *welcome, size_t len)
{
	struct ramet_err err = {0};
	struct client *c = &im->client;
	REQUIRE_OK(transport_connect(c->domain, im->as_server.addr, NULL, 0, &client_handler, c,
			   &c->conn, &err),
		&err);
	im->fd = accept(im->listen_fd, NULL, NULL);
	unsigned char hello[GREETING_HELLO_SIZE];
	size_t got = 0;
	while (got < sizeof(hello)) {
		REQUIRE_OK(loop_turn(c->loop, NSEC_PER_MSEC, &err), &err);
		ssize_t n = recv(im->fd, hello + got, sizeof(hello) - got, MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
		REQUIRE(n != 0);
	}
	CHECK_INT(send(im->fd, welcome, len, MSG_NOSIGNAL), len);
}

static void impostor_expect_end(struct impostor *im, int code)
{
	CHECK(client_wait(&im->client, &im->client.closed, im->client.closed + 1));
	CHECK_INT(im->client.closed_code, code);
	close(im->fd);
}

void test_false_welcomes_end_the_attempt(void)
{
	if (!PROVIDER.stream) {
		suite_skip("peers have no stream to say anything else on");
		return;
	}
	struct impostor im;
	if (!impostor_open(&im))
		return;
	unsigned char welcome[GREETING_WELCOME_SIZE],
		garbage[GREETING_WELCOME_SIZE] = "220 smtp.example.org ESMTP";
	greeting_welcome_encode(
		&(struct greeting_welcome){.depth = 16, .timeout_ms = 800}, welcome);
	impostor_greet(&im, garbage, sizeof(garbage));
	impostor_expect_end(&im, RAMET_EPROTO);
	welcome[4]++;
	impostor_greet(&im, welcome, sizeof(welcome));
	impostor_expect_end(&im, RAMET_EVERSION);
	welcome[4]--;
	impostor_greet(&im, welcome, sizeof(welcome) - 1); /* and stalls */
	impostor_expect_end(&im, RAMET_EPEER);
	impostor_greet(&im, welcome, 0);
	impostor_expect_end(&im, RAMET_EPEER);
	CHECK_INT(im.client.connected, 0);
	impostor_close(&im);
}

/* posts a read of 64 bytes and a write of 1 MiB, lets the client send as much as the socket takes,
 * and answers */
static void impostor_answer(
	struct impostor *im, const struct tcp_frame *answers, unsigned count, int code)
{
	struct client *c = &im->client;
	unsigned char welcome[GREETING_WELCOME_SIZE];
	greeting_welcome_encode(
		&(struct greeting_welcome){.depth = 16, .timeout_ms = 800}, welcome);
	impostor_greet(im, welcome, sizeof(welcome));
	CHECK(client_wait(c, &c->connected, c->connected + 1));
	unsigned before = c->done_count;
	const struct segment_ref ref = {1, 2, 3};
	CHECK_INT(transport_read(c->conn, ref, c->local, c->memory + 64, 64, 1), 0);
	CHECK_INT(transport_write(c->conn, ref, c->local, c->memory, 8 << 20, 2), 0);
	loop_turn(c->loop, 0, NULL);
	for (unsigned i = 0; i < count; i++)
		raw_frame(im->fd, answers[i]);
	impostor_expect_end(im, code);
	CHECK_INT(c->done_count, before + 2);
	CHECK_INT(c->done[(before + 1) % COMPLETIONS_MAX].status, code);
	for (size_t i = 0; i < 64; i++) /* nothing beside the read's destination was touched */
		CHECK(c->memory[i] == GUARD && c->memory[128 + i] == GUARD);
}

void test_false_answers_end_the_connection(void)
{
	if (!PROVIDER.stream) {
		suite_skip("peers have no stream to say anything else on");
		return;
	}
	struct impostor im;
	if (!impostor_open(&im))
		return;
	const struct tcp_frame ack = {.op = TCP_ACK};
	const struct tcp_frame wrong_number = {
		.op = TCP_DATA, .flags = TCP_FLAG_LAST, .payload = 64, .number = 1};
	const struct tcp_frame too_long = {.op = TCP_DATA, .flags = TCP_FLAG_LAST, .payload = 65};
	const struct tcp_frame too_short = {.op = TCP_DATA, .flags = TCP_FLAG_LAST, .payload = 63};
	const struct tcp_frame endless = {.op = TCP_DATA, .payload = 64};
	const struct tcp_frame good = {.op = TCP_DATA, .flags = TCP_FLAG_LAST, .payload = 64};
	/* the write is not out yet: its owner must keep the memory */
	const struct tcp_frame early[] = {good, {.op = TCP_ACK, .number = 1}};
	impostor_answer(&im, &ack, 1, RAMET_EPROTO);
	impostor_answer(&im, &wrong_number, 1, RAMET_EPROTO);
	impostor_answer(&im, &too_long, 1, RAMET_EPROTO);
	impostor_answer(&im, &too_short, 1, RAMET_EPROTO);
	impostor_answer(&im, &endless, 1, RAMET_EPROTO);
	impostor_answer(&im, early, 2, RAMET_EPROTO);
	const struct tcp_frame bye = {.op = TCP_BYE};
	impostor_answer(&im, &bye, 1, RAMET_ECLOSED);
	impostor_close(&im);
}
