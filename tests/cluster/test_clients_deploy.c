/* Deployments through rametd's client socket, on nodes whose instances are fakes. */
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "tests/cluster/wire_ask.h"
#include "tests/cluster/wire_client.h"
#include "tests/cluster_node/world.h"
#include "tests/lib/suite.h"

#include <string.h>
#include <unistd.h>

static void test_deploy_then_call_everywhere(void)
{
	static struct wire_client second;
	CLIENT_BEGIN(2);
	REQUIRE(wire_client_greet(&second, &world, 1, geteuid()));
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	const struct wire_value *deployed = wire_client_wait(&client, "deployed", 2, 1);
	CHECK_STR(wire_client_text(deployed, "start"), "cold");
	CHECK_STR(wire_client_text(deployed, "function"), "echo");
	CHECK_INT(wire_client_number(deployed, "node"), 1);
	CHECK(wire_client_number(deployed, "image_bytes") > 0);
	CHECK(wire_client_seen(&client, "progress", 2) >= 4);

	/* the other node knows of it at once, and forks: nothing is cold again */
	wire_ask_call(
		&second, 3, (struct wire_ask_call){.name = "echo", .data = "[1,2]", .node = 2});
	const struct wire_value *result = wire_client_wait(&second, "result", 3, 1);
	const void *output;
	size_t len;
	REQUIRE(result != NULL);
	CHECK_STR(wire_client_error_code(result), "");
	CHECK_STR(wire_client_text(result, "start"), "remote-fork");
	CHECK_INT(wire_client_number(result, "node"), 2);
	CHECK_INT(wire_client_number(result, "source_node"), 1);
	CHECK_STR(wire_client_text(result, "version"), wire_client_text(deployed, "version"));
	REQUIRE(wire_get_bin(result, "output", &output, &len, NULL) == 0);
	CHECK_INT(len, 5);
	CHECK_INT(wire_client_seen(&second, "accepted", 3), 1);
	CHECK_STR(wire_client_text(result, "call"),
		wire_client_text(wire_client_wait(&second, "accepted", 3, 1), "call"));

	wire_ask_call(&client, 4,
		(struct wire_ask_call){.name = "echo", .node = 2}); /* forwarded, and warm there */
	result = wire_client_wait(&client, "result", 4, 1);
	CHECK_STR(wire_client_text(result, "start"), "warm");
	CHECK_INT(wire_client_number(result, "node"), 2);
	CHECK_INT(world.fakes[0].hosts + world.fakes[1].hosts, 1);
	wire_client_close(&second);
	CLIENT_END();
}

static void test_deploy_on_another_node(void)
{
	CLIENT_BEGIN(2);
	REQUIRE(wire_ask_deployed(&client, 2, 2));
	const struct wire_value *deployed = wire_client_wait(&client, "deployed", 2, 1);
	CHECK_STR(wire_client_text(deployed, "start"), "cold");
	CHECK_INT(wire_client_number(deployed, "node"), 2);
	CHECK(wire_client_seen(&client, "progress", 2) >= 4);
	CHECK_INT(world.fakes[0].hosts, 0);
	CHECK_INT(world.fakes[1].hosts, 1);
	wire_ask_call(&client, 3, (struct wire_ask_call){.name = "echo", .node = 1});
	CHECK_STR(wire_client_text(wire_client_wait(&client, "result", 3, 1), "start"),
		"remote-fork");
	world.fakes[1].fail_load = true;
	wire_ask_deploy(&client, 4, 2, "native", "second");
	CHECK(wire_client_error(&client, 4, NULL) < 0); /* the error comes back over the bus */
	CLIENT_END();
}

static void test_deploy_again(void)
{
	uint32_t count;
	CLIENT_BEGIN(1);
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	REQUIRE(wire_ask_deployed(&client, 3, 0));
	CHECK_STR(wire_client_text(wire_client_wait(&client, "deployed", 3, 1), "start"), "warm");
	CHECK_INT(world.fakes[0].hosts, 1);
	wire_ask_deploy(&client, 4, 0, "native", "second");
	const struct wire_value *deployed = wire_client_wait(&client, "deployed", 4, 1);
	CHECK_STR(wire_client_text(deployed, "start"), "cold");
	const struct wire_value *rows = wire_ask_rows(&client, 5, "functions", &count);
	REQUIRE(count == 4);
	CHECK_STR(wire_client_text(wire_at(rows, 0), "version"),
		wire_client_text(deployed, "version"));
	CLIENT_END();
}

static void test_deployments_that_fail_leave_nothing(void)
{
	uint32_t count;
	char text[400];
	CLIENT_BEGIN(1);
	wire_ask_deploy(&client, 2, 0, "cobol", "x");
	CHECK_INT(wire_client_error(&client, 2, text), RAMET_ENOTSUP);
	CHECK(strstr(text, "cobol") != NULL);
	world.fakes[0].fail_load = true;
	wire_ask_deploy(&client, 3, 0, "native", "x");
	CHECK(wire_client_error(&client, 3, NULL) < 0);
	world.fakes[0].fail_load = false;
	world.fakes[0].refuse_capture = true;
	wire_ask_deploy(&client, 4, 0, "native", "x");
	CHECK(wire_client_error(&client, 4, NULL) < 0);
	world.fakes[0].refuse_capture = false;
	wire_ask_rows(&client, 5, "functions", &count);
	CHECK_INT(count, 0);
	wire_ask_call(&client, 6, (struct wire_ask_call){.name = "echo"});
	CHECK_INT(wire_client_error(&client, 6, NULL), RAMET_ENOTFOUND);
	REQUIRE(wire_ask_deployed(&client, 7, 0));
	CLIENT_END();
}

static void test_a_deployment_is_cancelled(void)
{
	CLIENT_BEGIN(1);
	world.fakes[0].no_ready = true;
	wire_ask_deploy(&client, 2, 0, "native", "x");
	while (world.fakes[0].hosts == 0)
		loop_turn(world.loop, 100 * NSEC_PER_MSEC, NULL);
	wire_ask_cancel(&client, 3, 2);
	CHECK(wire_client_wait(&client, "cancelled", 3, 1) != NULL);
	CHECK_INT(wire_client_error(&client, 2, NULL), RAMET_ECANCELED);
	CLIENT_END();
}

static void test_remove(void)
{
	static struct wire_client second;
	CLIENT_BEGIN(2);
	REQUIRE(wire_client_greet(&second, &world, 1, geteuid()));
	REQUIRE(wire_ask_deployed(&client, 2, 0));
	wire_ask_call(&second, 3, (struct wire_ask_call){.name = "hang", .node = 2});
	REQUIRE(wire_client_wait(&second, "accepted", 3, 1) != NULL);
	const char *const names[] = {"echo", "fail", "print", "hang"};
	for (unsigned i = 0; i < 4; i++) {
		wire_ask_name(&client, 10 + i, "remove", "name", names[i]);
		REQUIRE(wire_client_wait(&client, "removed", 10 + i, 1) != NULL);
	}
	CHECK_STR(wire_client_error_code(wire_client_wait(&second, "result", 3, 1)), "EREVOKED");
	wire_ask_call(&second, 4, (struct wire_ask_call){.name = "hang"});
	CHECK_INT(wire_client_error(&second, 4, NULL), RAMET_ENOTFOUND);
	wire_ask_name(&client, 20, "remove", "name", "hang");
	CHECK_INT(wire_client_error(&client, 20, NULL), RAMET_ENOTFOUND);
	wire_client_close(&second);
	CLIENT_END();
}

SUITE_MAIN("deployments of clients", TEST(test_deploy_then_call_everywhere),
	TEST(test_deploy_on_another_node), TEST(test_deploy_again),
	TEST(test_deployments_that_fail_leave_nothing), TEST(test_a_deployment_is_cancelled),
	TEST(test_remove))
