/* rametd's client socket, on nodes whose instances are fakes: greetings, bad requests, tenants,
 * what is listed, the socket itself. */
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "cluster/clients.h"
#include "cluster/members.h"
#include "tests/cluster/wire_ask.h"
#include "tests/cluster/wire_client.h"
#include "tests/cluster_node/world.h"
#include "tests/lib/suite.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void test_hello(void)
{
	CLIENT_BEGIN(2);
	const struct wire_value *welcome = wire_client_wait(&client, "welcome", 1, 1);
	CHECK_INT(wire_client_number(welcome, "proto"), CLIENT_PROTO);
	CHECK_INT(wire_client_number(welcome, "node"), 1);
	CHECK_INT(wire_client_number(welcome, "uid"), geteuid());
	CHECK_INT(wire_client_number(welcome, "nodes"), 2);
	CHECK_INT(wire_client_number(welcome, "expected"), 2);
	CHECK_INT(wire_client_number(welcome, "pid"), getpid());
	CLIENT_END();
}

static void test_who_does_not_greet_is_closed(void)
{
	static struct wire_client rude, old, garbage;
	struct buf b = {0};
	CLIENT_BEGIN(1);
	REQUIRE(wire_client_open(&rude, &world, 0, geteuid()));
	wire_ask_plain(&rude, 5, "doctor");
	CHECK_INT(wire_client_error(&rude, 5, NULL), RAMET_EPROTO);
	CHECK(wire_client_is_closed(&rude));
	REQUIRE(wire_client_open(&old, &world, 0, geteuid()));
	wire_client_begin(&b, "hello", 7, 1);
	wire_kuint(&b, "proto", CLIENT_PROTO + 1);
	wire_client_send(&old, &b);
	CHECK_INT(wire_client_error(&old, 7, NULL), RAMET_EVERSION);
	CHECK(wire_client_is_closed(&old));
	REQUIRE(wire_client_greet(&garbage, &world, 0, geteuid()));
	buf_append(&b, "\xc1nonsense", 9);
	wire_client_send(&garbage, &b);
	CHECK(wire_client_is_closed(&garbage));
	wire_ask_plain(&client, 9, "doctor"); /* the others are unharmed */
	CHECK(wire_client_wait(&client, "checks", 9, 1) != NULL);
	wire_client_close(&rude);
	wire_client_close(&old);
	wire_client_close(&garbage);
	CLIENT_END();
}

static void test_wrong_requests_are_answered(void)
{
	struct buf b = {0};
	char text[400];
	CLIENT_BEGIN(1);
	wire_ask_plain(&client, 2, "frobnicate");
	CHECK_INT(wire_client_error(&client, 2, text), RAMET_EPROTO);
	CHECK_STR(text, "unknown request frobnicate");
	wire_ask_call(&client, 3, (struct wire_ask_call){.name = "nothing"});
	CHECK_INT(wire_client_error(&client, 3, text), RAMET_ENOTFOUND);
	CHECK(strstr(text, "nothing") != NULL);
	wire_ask_call(&client, 4, (struct wire_ask_call){.name = "../x"});
	CHECK_INT(wire_client_error(&client, 4, NULL), RAMET_EINVAL);
	wire_ask_call(&client, 5, (struct wire_ask_call){.name = "echo", .node = 9});
	CHECK_INT(wire_client_error(&client, 5, text), RAMET_ENOTFOUND);
	CHECK(strstr(text, "node 9") != NULL);
	wire_ask_plain(&client, 6, "call"); /* no name */
	CHECK_INT(wire_client_error(&client, 6, NULL), RAMET_EPROTO);
	wire_ask_name(&client, 7, "list", "what", "everything");
	CHECK_INT(wire_client_error(&client, 7, NULL), RAMET_EINVAL);
	wire_ask_cancel(&client, 8, 99);
	CHECK_INT(wire_client_error(&client, 8, NULL), RAMET_ENOTFOUND);
	wire_ask_plain(&client, 10, "cancel");
	CHECK_INT(wire_client_error(&client, 10, NULL), RAMET_EPROTO);
	wire_ask_name(&client, 11, "wait", "call", "1-1-0");
	CHECK_INT(wire_client_error(&client, 11, NULL), RAMET_ENOTFOUND);
	wire_client_begin(&b, "burst", 12, 3);
	wire_kstr(&b, "name", "echo");
	wire_kbin(&b, "data", "1", 1);
	wire_kuint(&b, "n", 0);
	wire_client_send(&client, &b);
	CHECK_INT(wire_client_error(&client, 12, NULL), RAMET_ELIMIT);
	CHECK_INT(client.closed, 0);
	CLIENT_END();
}

static void test_ready(void)
{
	struct buf b = {0};
	CLIENT_BEGIN(2);
	for (unsigned i = 0; i < 3; i++) {
		wire_client_begin(&b, "ready", 10 + i, 2);
		wire_kuint(&b, "nodes", 1 + i);
		wire_kuint(&b, "timeout_ms", 5000);
		wire_client_send(&client, &b);
	}
	CHECK_INT(wire_client_number(wire_client_wait(&client, "ready", 10, 1), "nodes"), 2);
	CHECK(wire_client_wait(&client, "ready", 11, 1) != NULL);
	CHECK_INT(
		wire_client_error(&client, 12, NULL), RAMET_EINVAL); /* more than are configured */
	world_stop_node(&world, 1);
	while (members_alive(world.nodes[0]->members) > 0)
		loop_turn(world.loop, 100 * NSEC_PER_MSEC, NULL);
	wire_client_begin(&b, "ready", 13, 2);
	wire_kuint(&b, "nodes", 2);
	wire_kuint(&b, "timeout_ms", 30);
	wire_client_send(&client, &b);
	CHECK_INT(wire_client_error(&client, 13, NULL), RAMET_ETIMEOUT);
	CLIENT_END();
}

static void test_lists(void)
{
	uint32_t count;
	CLIENT_BEGIN(2);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	wire_ask_call(&client, 3, (struct wire_ask_call){.name = "echo", .node = 2});
	wire_ask_call(&client, 4, (struct wire_ask_call){.name = "fail", .node = 1});
	wire_client_wait(&client, "result", 3, 1);
	wire_client_wait(&client, "result", 4, 1);

	const struct wire_value *rows = wire_ask_rows(&client, 5, "nodes", &count);
	REQUIRE(count == 2);
	CHECK_STR(wire_client_text(wire_at(rows, 0), "state"), "up");
	CHECK_STR(wire_client_text(wire_at(rows, 1), "name"), "n2");
	rows = wire_ask_rows(&client, 6, "functions", &count);
	REQUIRE(count == 4);
	CHECK_STR(wire_client_text(wire_at(rows, 0), "function"), "echo");
	CHECK_INT(wire_client_number(wire_at(rows, 0), "calls"), 1); /* counted on the other node */
	CHECK_INT(wire_client_number(wire_at(rows, 0), "remote_fork"), 1);
	CHECK_INT(wire_client_number(wire_at(rows, 3), "failed"), 1);
	wire_ask_rows(&client, 7, "ps", &count);
	CHECK(count >= 2);
	rows = wire_ask_rows(&client, 8, "seeds", &count);
	REQUIRE(count >= 1);
	CHECK_STR(wire_client_text(wire_at(rows, 0), "role"), "origin");

	world_stop_node(&world, 1);
	while (members_alive(world.nodes[0]->members) > 0)
		loop_turn(world.loop, 100 * NSEC_PER_MSEC, NULL);
	rows = wire_ask_rows(&client, 9, "nodes", &count);
	REQUIRE(count == 2);
	CHECK_STR(wire_client_text(wire_at(rows, 1), "state"), "down");
	const struct wire_value *silent;
	wire_ask_rows(&client, 10, "ps", &count);
	REQUIRE(wire_get_array(wire_client_wait(&client, "rows", 10, 1), "silent", &silent, &count,
			NULL) == 0);
	CHECK_INT(count, 1);
	CLIENT_END();
}

static void test_tenants_do_not_meet(void)
{
	static struct wire_client other;
	uint32_t count;
	if (geteuid() != 0) {
		suite_skip("only root can be several users");
		return;
	}
	static struct world world;
	static struct wire_client client;
	REQUIRE(world_init(&world, &(struct world_options){.nodes = 1}));
	REQUIRE(wire_client_greet(&client, &world, 0, 4001));
	REQUIRE(wire_client_greet(&other, &world, 0, 4002));
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	wire_ask_call(&client, 3, (struct wire_ask_call){.name = "hang"});
	const char *id = wire_client_text(wire_client_wait(&client, "accepted", 3, 1), "call");
	wire_ask_call(&other, 2, (struct wire_ask_call){.name = "echo"});
	CHECK_INT(wire_client_error(&other, 2, NULL), RAMET_ENOTFOUND);
	wire_ask_name(&other, 3, "cancel", "call", id);
	CHECK_INT(wire_client_error(&other, 3, NULL), RAMET_ENOTFOUND);
	wire_ask_name(&other, 4, "remove", "name", "echo");
	CHECK_INT(wire_client_error(&other, 4, NULL), RAMET_ENOTFOUND);
	wire_ask_rows(&other, 5, "functions", &count);
	CHECK_INT(count, 0);
	wire_ask_rows(&other, 6, "ps", &count);
	CHECK_INT(count, 0);
	wire_ask_rows(&other, 7, "seeds", &count);
	CHECK_INT(count, 0);
	wire_ask_plain(&other, 8, "shutdown");
	CHECK_INT(wire_client_error(&other, 8, NULL), RAMET_EPERM);
	wire_ask_rows(&client, 4, "functions", &count);
	CHECK_INT(count, 4);
	wire_client_close(&other);
	CLIENT_END();
}

static void on_stopped(void *user)
{
	(*(unsigned *)user)++;
}

static void test_shutdown(void)
{
	unsigned stopped = 0;
	CLIENT_BEGIN(2);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	world.nodes[0]->on_stopped = on_stopped;
	world.nodes[0]->on_stopped_user = &stopped;
	wire_ask_call(&client, 3, (struct wire_ask_call){.name = "hang"});
	REQUIRE(wire_client_wait(&client, "accepted", 3, 1) != NULL);
	wire_ask_plain(&client, 4, "shutdown");
	CHECK(wire_client_wait(&client, "closing", 4, 1) != NULL);
	CHECK_INT(stopped, 1);
	CHECK_INT(wire_client_error(&client, 3, NULL), RAMET_ECLOSED);
	wire_ask_plain(&client, 5, "doctor");
	CHECK_INT(wire_client_error(&client, 5, NULL), RAMET_ECLOSED);
	CHECK(access(world.nodes[0]->config.client_socket, F_OK) != 0);
	CHECK_INT(client.closed, 0);
	world_stop_node(&world, 0);
	CHECK(wire_client_is_closed(&client)); /* now all is gone */
	CLIENT_END();
}

static void test_doctor(void)
{
	const struct wire_value *checks;
	uint32_t count;
	unsigned of_second = 0;
	CLIENT_BEGIN(2);
	wire_ask_plain(&client, 2, "doctor");
	REQUIRE(wire_get_array(wire_client_wait(&client, "checks", 2, 1), "checks", &checks, &count,
			NULL) == 0);
	CHECK(count >= 16);
	for (uint32_t i = 0; i < count; i++) {
		const char *state = wire_client_text(wire_at(checks, i), "state");
		of_second += wire_client_number(wire_at(checks, i), "node") == 2;
		CHECK(strcmp(state, "ok") == 0 ||
			wire_client_text(wire_at(checks, i), "remedy")[0] != 0);
	}
	CHECK_INT(of_second, count / 2);
	CLIENT_END();
}

static void test_a_second_daemon_on_the_socket_is_refused(void)
{
	CLIENT_BEGIN(1);
	struct ramet_err err = {0};
	struct clients *other;
	CHECK_INT(clients_create(world.nodes[0], &other, &err), RAMET_EEXIST);
	CHECK(strstr(err.msg, world.nodes[0]->config.client_socket) != NULL);
	CLIENT_END();
}

#define TURNS 20

/* a socket that stays readable would keep the loop busy */
static void test_without_descriptors_the_loop_rests(void)
{
	CLIENT_BEGIN(1);
	struct wire_client late;
	struct rlimit limit;
	REQUIRE(wire_client_open(&late, &world, 0, geteuid()));
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
	REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
	uint64_t begin = now_ns();
	for (unsigned i = 0; i < TURNS; i++)
		CHECK_INT(loop_turn(world.loop, 10 * NSEC_PER_MSEC, NULL), 0);
	CHECK(now_ns() - begin > TURNS / 2 * 10 * NSEC_PER_MSEC);
	CHECK_INT(late.closed, 0);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	wire_ask_plain(&late, 1, "ready"); /* not a greeting: it is answered, then closed */
	CHECK(wire_client_is_closed(&late));
	wire_client_close(&late);
	CLIENT_END();
}

SUITE_MAIN("clients", TEST(test_hello), TEST(test_who_does_not_greet_is_closed),
	TEST(test_wrong_requests_are_answered), TEST(test_ready), TEST(test_lists),
	TEST(test_tenants_do_not_meet), TEST(test_shutdown), TEST(test_doctor),
	TEST(test_a_second_daemon_on_the_socket_is_refused),
	TEST(test_without_descriptors_the_loop_rests))
