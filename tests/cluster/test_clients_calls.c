/* Calls, bursts and their output through rametd's client socket, on nodes whose instances are
 * fakes. */
#include "cluster/client_proto.h"
#include "tests/cluster/wire_ask.h"
#include "tests/cluster/wire_client.h"
#include "tests/cluster_node/world.h"
#include "tests/lib/suite.h"

#include <string.h>
#include <unistd.h>

static void test_burst(void)
{
	struct buf b = {0};
	bool ranks[12] = {false};
	CLIENT_BEGIN(2);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	wire_client_begin(&b, "burst", 3, 3);
	wire_kstr(&b, "name", "echo");
	wire_kbin(&b, "data", "1", 1);
	wire_kuint(&b, "n", 12);
	wire_client_send(&client, &b);
	const struct wire_value *summary = wire_client_wait(&client, "summary", 3, 1);
	REQUIRE(summary != NULL);
	CHECK_INT(wire_client_seen(&client, "result", 3), 12);
	for (unsigned i = 1; i <= 12; i++) {
		uint64_t rank =
			wire_client_number(wire_client_wait(&client, "result", 3, i), "rank");
		REQUIRE(rank < 12);
		CHECK(!ranks[rank]);
		ranks[rank] = true;
	}
	CHECK_INT(wire_client_number(summary, "ok"), 12);
	CHECK_INT(wire_client_number(summary, "nodes"), 2);
	CHECK_INT(wire_client_number(summary, "cold"), 0);
	CLIENT_END();
}

static void test_cancel_and_deadline(void)
{
	static struct wire_client other;
	CLIENT_BEGIN(1);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	REQUIRE(wire_client_greet(&other, &world, 0, geteuid()));
	wire_ask_call(&client, 3, (struct wire_ask_call){.name = "hang"});
	REQUIRE(wire_client_wait(&client, "accepted", 3, 1) != NULL);
	wire_ask_cancel(&client, 4, 3);
	CHECK(wire_client_wait(&client, "cancelled", 4, 1) != NULL);
	CHECK_STR(wire_client_error_code(wire_client_wait(&client, "result", 3, 1)), "ECANCELED");
	wire_ask_call(&client, 5, (struct wire_ask_call){.name = "hang"});
	const char *id = wire_client_text(wire_client_wait(&client, "accepted", 5, 1), "call");
	wire_ask_name(&other, 6, "cancel", "call", id); /* by its id, from elsewhere */
	CHECK(wire_client_wait(&other, "cancelled", 6, 1) != NULL);
	CHECK_STR(wire_client_error_code(wire_client_wait(&client, "result", 5, 1)), "ECANCELED");
	wire_ask_call(&client, 7, (struct wire_ask_call){.name = "hang", .deadline_ms = 50});
	CHECK_STR(wire_client_error_code(wire_client_wait(&client, "result", 7, 1)), "EDEADLINE");
	wire_ask_call(&client, 8, (struct wire_ask_call){.name = "fail"});
	CHECK_STR(wire_client_error_code(wire_client_wait(&client, "result", 8, 1)), "EUSER");
	wire_client_close(&other);
	CLIENT_END();
}

static void count_busy(void *user, const struct instance_info *info)
{
	*(unsigned *)user += info->state == INSTANCE_BUSY;
}

static bool two_are_busy(struct world *world)
{
	unsigned busy = 0;
	instances_each(world->nodes[0]->instances, count_busy, &busy);
	return busy == 2;
}

static void test_calls_end_with_their_client(void)
{
	static struct wire_client leaving;
	CLIENT_BEGIN(1);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	REQUIRE(wire_client_greet(&leaving, &world, 0, geteuid()));
	wire_ask_call(&leaving, 3, (struct wire_ask_call){.name = "hang"});
	wire_ask_call(&leaving, 4, (struct wire_ask_call){.name = "hang", .follow = true});
	REQUIRE(world_until_true(&world, two_are_busy));
	unsigned kills = world.fakes[0].kills;
	wire_client_close(&leaving);
	CHECK(world_until(&world, &world.fakes[0].kills, kills + 2));
	CLIENT_END();
}

static void test_detached(void)
{
	static struct wire_client other;
	CLIENT_BEGIN(1);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	wire_ask_call(&client, 3, (struct wire_ask_call){.name = "echo", .detach = true});
	const struct wire_value *at_once = wire_client_wait(&client, "result", 3, 1);
	REQUIRE(at_once != NULL);
	const char *id = wire_client_text(at_once, "call");
	CHECK_STR(wire_client_text(at_once, "function"), "echo");
	wire_client_close(&client);
	REQUIRE(wire_client_greet(&other, &world, 0, geteuid()));
	wire_ask_name(&other, 4, "wait", "call", id);
	CHECK_STR(wire_client_text(wire_client_wait(&other, "result", 4, 1), "call"), id);
	wire_ask_name(&other, 5, "wait", "call", id); /* given out once */
	CHECK_INT(wire_client_error(&other, 5, NULL), RAMET_ENOTFOUND);
	wire_client_close(&other);
	world_fini(&world);
}

static void send_logs(struct wire_client *client, uint64_t req, const char *call, bool follow)
{
	struct buf b = {0};
	wire_client_begin(&b, "logs", req, 2);
	wire_kstr(&b, "call", call);
	wire_kbool(&b, "follow", follow);
	wire_client_send(client, &b);
}

static void test_output(void)
{
	const void *data;
	size_t len;
	CLIENT_BEGIN(2);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	wire_ask_call(&client, 3, (struct wire_ask_call){.name = "print", .node = 2});
	const struct wire_value *result = wire_client_wait(&client, "result", 3, 1);
	REQUIRE(result != NULL);
	send_logs(&client, 4, wire_client_text(result, "call"), false);
	REQUIRE(wire_client_wait(&client, "end", 4, 1) != NULL);
	CHECK_INT(wire_client_seen(&client, "log", 4), 1);
	const struct wire_value *log = wire_client_wait(&client, "log", 4, 1);
	CHECK_INT(wire_client_number(log, "node"), 2);
	CHECK_STR(wire_client_text(log, "function"), "print");
	REQUIRE(wire_get_bin(log, "data", &data, &len, NULL) == 0);
	CHECK_INT(len, 6);
	CHECK(memcmp(data, "hello\n", 6) == 0);
	send_logs(&client, 5, "1-2-3", false);
	REQUIRE(wire_client_wait(&client, "end", 5, 1) != NULL);
	CHECK_INT(wire_client_seen(&client, "log", 5), 0);
	send_logs(&client, 6, wire_client_text(result, "call"),
		true); /* the call is over: so is the following */
	CHECK(wire_client_wait(&client, "end", 6, 1) != NULL);
	CHECK_INT(wire_client_seen(&client, "log", 6), 1);
	CLIENT_END();
}

static void test_following(void)
{
	CLIENT_BEGIN(2);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	send_logs(&client, 3, "", true);
	for (unsigned i = 0; i < 2; i++) {
		/* output comes before its result, from here and from another node */
		wire_ask_call(&client, 4 + i,
			(struct wire_ask_call){.name = "print", .node = 1 + i, .follow = true});
		REQUIRE(wire_client_wait(&client, "result", 4 + i, 1) != NULL);
		CHECK_INT(wire_client_seen(&client, "log", 4 + i), 1);
	}
	CHECK(wire_client_wait(&client, "log", 3, 2) != NULL);
	CHECK_INT(wire_client_seen(&client, "end", 3), 0);
	wire_ask_cancel(&client, 6, 3);
	CHECK_INT(wire_client_number(wire_client_wait(&client, "end", 3, 1), "lost"), 0);
	CLIENT_END();
}

SUITE_MAIN("calls of clients", TEST(test_burst), TEST(test_cancel_and_deadline),
	TEST(test_calls_end_with_their_client), TEST(test_detached), TEST(test_output),
	TEST(test_following))
