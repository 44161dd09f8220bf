/* Transport suite: connecting, back-pressure, closing, and what a peer's end does to those it
 * leaves. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

void test_queue_full_then_progress(void)
{
	struct pair p;
	const struct transport_options options = {.queue_depth = 4};
	if (!pair_open(&p, &options))
		return;
	struct client *c = &p.client;
	CHECK_INT(transport_conn_depth(c->conn), 4);
	unsigned posted = 0, refused = 0;
	while (posted < 400) {
		int rc = transport_read(c->conn, ref_at(p.server.read_ref, posted * 16), c->local,
			c->memory + (size_t)posted * 4096, 4096, posted);
		if (rc == 0) {
			posted++;
			continue;
		}
		CHECK_INT(rc, RAMET_EAGAIN);
		CHECK_INT(transport_conn_inflight(c->conn), 4);
		refused++;
		REQUIRE(client_wait(c, &c->done_count, c->done_count + 1));
	}
	CHECK(refused > 0);
	CHECK(client_wait(c, &c->done_count, 400));
	CHECK_INT(c->done_count, 400);
	for (unsigned i = 0; i < 400; i++) {
		CHECK_INT(c->done[i].status, 0);
		CHECK(pattern_matches(c->memory + (size_t)i * 4096, i * 16, 4096));
	}
	pair_close(&p);
}

/* the smaller side's depth holds */
void test_depth_is_agreed(void)
{
	struct server s;
	struct client c;
	const struct transport_options shallow = {.queue_depth = 3};
	if (!server_open(&s, PROVIDER.addr, &shallow) || !client_open(&c, NULL))
		return;
	client_connect(&c, &s);
	CHECK_INT(transport_conn_depth(c.conn), 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK_INT(transport_send(c.conn, "x", 1, i), 0);
	CHECK_INT(transport_send(c.conn, "x", 1, 3), RAMET_EAGAIN);
	CHECK(client_wait(&c, &c.done_count, 3));
	client_close(&c);
	server_close(&s);
}

void test_refused_tokens(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct server wrong = p.server;
	wrong.token[3] ^= 1;
	client_connect(c, &wrong);
	CHECK_INT(c->closed_code, RAMET_EPERM);
	wrong = p.server;
	wrong.token_len = 8;
	client_connect(c, &wrong);
	CHECK_INT(c->closed_code, RAMET_EPERM);
	wrong.token_len = 0;
	client_connect(c, &wrong);
	CHECK_INT(c->closed_code, RAMET_EPERM);
	CHECK_INT(c->closed, 3);

	struct ramet_err err = {0};
	struct transport_conn *conn;
	CHECK_INT(transport_connect(c->domain, p.server.addr, p.server.token,
			  TRANSPORT_TOKEN_MAX + 1, &client_handler, c, &conn, &err),
		RAMET_EINVAL);
	CHECK_INT(counter_get(&p.server.connected), 1);
	pair_close(&p);
}

static void server_take_long_token(struct server *s)
{
	s->token_len = TRANSPORT_TOKEN_MAX;
	for (size_t i = 0; i < TRANSPORT_TOKEN_MAX; i++)
		s->token[i] = (unsigned char)(255 - i * 5); /* zeros and all */
	s->token[10] = 0;
}

void test_a_token_arrives_byte_for_byte(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	server_call(&p.server, server_take_long_token);
	client_connect(&p.client, &p.server);
	CHECK_INT(p.client.connected, 2);
	CHECK_INT(p.client.closed, 0);
	pair_close(&p);
}

static SHARED char nobody_addr[TRANSPORT_ADDR_MAX];

static void tell_nobody(void)
{
	snprintf(nobody_addr, sizeof(nobody_addr), "%s", PROVIDER.nobody);
}

void test_nobody_there(void)
{
	server_run(tell_nobody);
	unsigned fds = suite_count_fds();
	struct server nobody = {0};
	struct client c;
	if (!client_open(&c, NULL))
		return;
	memcpy(nobody.addr, nobody_addr, sizeof(nobody.addr));
	client_connect(&c, &nobody);
	CHECK_INT(c.closed, 1);
	CHECK_INT(c.closed_code, RAMET_EPEER);
	/* closing while it still connects: one on_closed, no error */
	struct ramet_err err = {0};
	REQUIRE_OK(transport_connect(
			   c.domain, nobody.addr, NULL, 0, &client_handler, &c, &c.conn, &err),
		&err);
	CHECK_INT(transport_read(c.conn, (struct segment_ref){0}, c.local, c.memory, 1, 0),
		RAMET_EINVAL);
	transport_conn_close(c.conn);
	CHECK_INT(c.closed, 1);
	CHECK(client_wait(&c, &c.closed, 2));
	CHECK_INT(c.closed_code, 0);
	CHECK_INT(c.connected, 0);
	client_close(&c);
	CHECK_INT(suite_count_fds(), fds);
}

static int accept_nobody(void *user, const void *token, size_t token_len, const char *peer,
	struct transport_accept *ret)
{
	return RAMET_EPERM;
}

/* A transport of the servers' process whose loop does not turn */
static struct {
	struct loop *loop;
	struct transport *transport;
} still;
static SHARED char still_addr[TRANSPORT_ADDR_MAX];

static void still_open(void)
{
	struct ramet_err err = {0};
	REQUIRE_OK(loop_create(&still.loop, &err), &err);
	REQUIRE_OK(transport_open(PROVIDER.name, still.loop, NULL, &still.transport, &err), &err);
}

static void still_listen(void)
{
	struct ramet_err err = {0};
	struct transport_listener *listener = NULL;
	still_open();
	REQUIRE_OK(transport_listen(
			   still.transport, PROVIDER.addr, accept_nobody, NULL, &listener, &err),
		&err);
	snprintf(still_addr, sizeof(still_addr), "%s", transport_listener_addr(listener));
}

static void still_close(void)
{
	transport_close(still.transport);
	loop_destroy(still.loop);
}

void test_listener_that_does_not_answer(void)
{
	struct ramet_err err = {0};
	const struct transport_options hasty = {.handshake_ms = 100};
	struct client c;
	if (!client_open(&c, &hasty))
		return;
	server_run(still_listen);
	REQUIRE_OK(
		transport_connect(c.domain, still_addr, "x", 1, &client_handler, &c, &c.conn, &err),
		&err);
	CHECK(client_wait(&c, &c.closed, 1));
	CHECK_INT(c.closed_code, RAMET_EPEER);
	CHECK_INT(c.connected, 0);
	server_run(still_close);
	client_close(&c);
}

static void still_listens_at_a_taken_address(void)
{
	struct ramet_err err = {0};
	struct transport_listener *listener = NULL;
	still_open();
	CHECK_INT(transport_listen(still.transport, still_addr, NULL, NULL, &listener, &err),
		RAMET_EEXIST);
	CHECK(listener == NULL);
	CHECK(err.msg[0] != '\0');
	still_close();
}

void test_listening(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct ramet_err err = {0};
	struct transport_listener *listener = NULL;
	memcpy(still_addr, p.server.addr, sizeof(still_addr));
	server_run(still_listens_at_a_taken_address);
	CHECK_INT(transport_listen(c->transport, "nonsense", NULL, NULL, &listener, &err),
		RAMET_EINVAL);
	CHECK(listener == NULL);
	CHECK(err.msg[0] != '\0');
	pair_close(&p);
}

static void server_close_listener(struct server *s)
{
	transport_listener_close(s->listener);
}

void test_connections_outlive_their_listener(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	server_call(&p.server, server_close_listener);
	CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 4096), 0);
	struct transport_conn *old = p.client.conn;
	client_connect(&p.client, &p.server);
	CHECK_INT(p.client.closed_code, RAMET_EPEER);
	p.client.conn = old;
	CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 4096), 0);
	pair_close(&p);
}

void test_close_drains(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct transport_conn *conn = c->conn;
	for (unsigned i = 0; i < 100; i++)
		CHECK_INT(transport_read(conn, ref_at(p.server.read_ref, i), c->local,
				  c->memory + (size_t)i * 65536, 65536, i),
			0);
	CHECK_INT(transport_send(conn, "last words", 10, 100), 0);
	transport_conn_close(conn);
	CHECK_INT(c->closed, 0);
	CHECK_INT(
		transport_read(conn, p.server.read_ref, c->local, c->memory, 1, 0), RAMET_ECLOSED);
	CHECK_INT(transport_send(conn, "x", 1, 0), RAMET_ECLOSED);
	transport_conn_close(conn); /* again: nothing */
	CHECK(client_wait(c, &c->closed, 1));
	CHECK_INT(c->closed, 1);
	CHECK_INT(c->closed_code, 0);
	CHECK_INT(c->done_count, 101);
	for (unsigned i = 0; i < 100; i++) {
		CHECK_INT(c->done[i].status, 0);
		CHECK(pattern_matches(
			c->memory + (size_t)c->done[i].cookie * 65536, c->done[i].cookie, 65536));
	}
	CHECK(counter_wait(&p.server.messages, 1));
	CHECK(counter_wait(&p.server.closed, 1));
	CHECK_INT(p.server.closed_code, RAMET_ECLOSED);

	/* and again, as if nothing had been */
	client_connect(c, &p.server);
	CHECK_INT(c->connected, 2);
	CHECK_INT(client_read(c, p.server.read_ref, 0, 4096), 0);
	pair_close(&p);
}

static void server_close_conn(struct server *s)
{
	if (s->conn)
		transport_conn_close(s->conn);
}

static void keep_reading(struct client *c, const struct transport_completion *completion)
{
	if (completion->status == 0)
		transport_read(c->conn, *(struct segment_ref *)c->memory, c->local, c->memory + 64,
			65536, completion->cookie);
}

/* the peer closes under a reader who never stops: every operation ends once, the last ones as
 * CLOSED */
void test_peer_closes_under_load(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	memcpy(c->memory, &p.server.read_ref, sizeof(p.server.read_ref));
	c->also = keep_reading;
	for (unsigned i = 0; i < 16; i++)
		CHECK_INT(transport_read(
				  c->conn, p.server.read_ref, c->local, c->memory + 64, 65536, i),
			0);
	CHECK(client_wait(c, &c->done_count, 50));
	server_call(&p.server, server_close_conn);
	CHECK(client_wait(c, &c->closed, 1));
	CHECK_INT(c->closed_code, RAMET_ECLOSED);
	for (unsigned i = 0; i < MIN(c->done_count, COMPLETIONS_MAX); i++)
		CHECK(c->done[i].status == 0 || c->done[i].status == RAMET_ECLOSED);
	CHECK(counter_wait(&p.server.closed, 1));
	CHECK_INT(p.server.closed_code, 0);
	pair_close(&p);
}

/* both sides close at once: for each it was its own close, or the other's that came first */
void test_both_close(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	transport_conn_close(p.client.conn);
	server_call(&p.server, server_close_conn);
	CHECK(client_wait(&p.client, &p.client.closed, 1));
	CHECK_INT(p.client.closed_code, 0);
	CHECK(counter_wait(&p.server.closed, 1));
	CHECK(p.server.closed_code == 0 || p.server.closed_code == RAMET_ECLOSED);
	pair_close(&p);
}

void test_transport_close_ends_everything(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct ramet_err err = {0};
	struct transport_segment *exposed;
	REQUIRE_OK(transport_segment_add(c->domain, c->memory, 4096, 0, &exposed, &err), &err);
	for (unsigned i = 0; i < 200; i++)
		CHECK_INT(
			transport_read(c->conn, p.server.read_ref, c->local, c->memory, 1 << 20, i),
			0);
	transport_close(c->transport);
	c->transport = NULL;
	CHECK_INT(c->done_count, 200);
	CHECK_INT(c->closed, 1);
	CHECK_INT(c->closed_code, 0);
	for (unsigned i = 0; i < 200; i++)
		CHECK(c->done[i].status == 0 || c->done[i].status == RAMET_ECLOSED);
	CHECK(counter_wait(&p.server.closed, 1));
	CHECK_INT(p.server.closed_code, RAMET_ECLOSED);
	pair_close(&p);
}

/* one connection that wants everything does not starve another */
void test_connections_take_turns(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct transport_conn *greedy = c->conn;
	client_connect(c, &p.server);
	for (unsigned i = 0; i < 200; i++)
		CHECK_INT(
			transport_read(greedy, p.server.read_ref, c->local, c->memory, 8 << 20, i),
			0);
	CHECK_INT(transport_read(
			  c->conn, p.server.read_ref, c->local, c->memory + (8 << 20), 4096, 1000),
		0);
	unsigned at = 0;
	for (bool found = false; !found; at++) {
		REQUIRE(client_wait(c, &c->done_count, at + 1));
		found = c->done[at].cookie == 1000;
	}
	CHECK(!PROVIDER.processes || at < 50); /* 400 MB before it would be no turns at all */
	CHECK_INT(c->done[at - 1].status, 0);
	pair_close(&p);
}
