/* rametd's client socket, on nodes whose instances are fakes: every request, and what bad ones get.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "cluster/clients.h"
#include "cluster/members.h"
#include "tests/cluster/wire_client.h"
#include "tests/cluster_node/world.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NODES(count) ((struct world_options){.nodes = (count)})

static const char *text_of(const struct wire_value *map, const char *key)
{
	static char texts[8][400];
	static unsigned next;
	char *text = texts[next++ % 8];
	snprintf(text, 400, "(no %s)", key);
	if (map)
		wire_get_str(map, key, text, 400, NULL);
	return text;
}

static uint64_t number_of(const struct wire_value *map, const char *key)
{
	uint64_t value = UINT64_MAX;
	if (map)
		wire_get_uint(map, key, UINT64_MAX, &value, NULL);
	return value;
}

static const char *error_code(const struct wire_value *result)
{
	const struct wire_value *error;
	if (!result || !wire_has(result, "error") ||
		wire_get_map(result, "error", &error, NULL) < 0)
		return "";
	return text_of(error, "code");
}

/* --- requests --- */

static void send_deploy(
	struct wire_client *client, uint64_t req, uint32_t node, const char *lang, const char *data)
{
	static const char *const functions[] = {"echo", "hang", "print", "fail"};
	struct buf b = {0};
	wire_client_begin(&b, "deploy", req, 5);
	wire_kstr(&b, "app", "app");
	wire_kstr(&b, "lang", lang);
	wire_key(&b, "functions");
	wire_array(&b, ARRAY_LEN(functions));
	for (unsigned i = 0; i < ARRAY_LEN(functions); i++) {
		char handler[32];
		snprintf(handler, sizeof(handler), "lib.so:%s", functions[i]);
		wire_map(&b, 2);
		wire_kstr(&b, "name", functions[i]);
		wire_kstr(&b, "handler", handler);
	}
	wire_key(&b, "files");
	wire_array(&b, 1);
	wire_map(&b, 3);
	wire_kstr(&b, "path", "lib.so");
	wire_kuint(&b, "mode", 0644);
	wire_kbin(&b, "data", data, strlen(data));
	wire_kuint(&b, "node", node);
	wire_client_send(client, &b);
}

static bool deploy(struct wire_client *client, uint64_t req, uint32_t node)
{
	send_deploy(client, req, node, "native", "first");
	return wire_client_wait(client, "deployed", req, 1) != NULL;
}

struct call {
	const char *name, *data;
	uint32_t node, deadline_ms;
	bool detach, follow;
};

static void send_call(struct wire_client *client, uint64_t req, struct call call)
{
	struct buf b = {0};
	const char *data = call.data ? call.data : "42";
	wire_client_begin(&b, "call", req, 6);
	wire_kstr(&b, "name", call.name);
	wire_kbin(&b, "data", data, strlen(data));
	wire_kuint(&b, "node", call.node);
	wire_kuint(&b, "deadline_ms", call.deadline_ms);
	wire_kbool(&b, "detach", call.detach);
	wire_kbool(&b, "follow", call.follow);
	wire_client_send(client, &b);
}

static void send_name(struct wire_client *client, uint64_t req, const char *type, const char *key,
	const char *value)
{
	struct buf b = {0};
	wire_client_begin(&b, type, req, 1);
	wire_kstr(&b, key, value);
	wire_client_send(client, &b);
}

static void send_plain(struct wire_client *client, uint64_t req, const char *type)
{
	struct buf b = {0};
	wire_client_begin(&b, type, req, 0);
	wire_client_send(client, &b);
}

static void send_cancel(struct wire_client *client, uint64_t req, uint64_t of)
{
	struct buf b = {0};
	wire_client_begin(&b, "cancel", req, 1);
	wire_kuint(&b, "of", of);
	wire_client_send(client, &b);
}

static const struct wire_value *rows_of(
	struct wire_client *client, uint64_t req, const char *what, uint32_t *ret_count)
{
	const struct wire_value *rows = NULL;
	*ret_count = 0;
	send_name(client, req, "list", "what", what);
	const struct wire_value *answer = wire_client_wait(client, "rows", req, 1);
	if (answer)
		wire_get_array(answer, "rows", &rows, ret_count, NULL);
	return rows;
}

/* a world and a client on its first node, as ourselves */
#define SETUP(count) \
	static struct world world; \
	static struct wire_client client; \
	REQUIRE(world_init(&world, &NODES(count))); \
	REQUIRE(wire_client_greet(&client, &world, 0, geteuid()))
#define TEARDOWN() \
	wire_client_close(&client); \
	world_fini(&world)

/* --- tests --- */

static void test_hello(void)
{
	SETUP(2);
	const struct wire_value *welcome = wire_client_wait(&client, "welcome", 1, 1);
	CHECK_INT(number_of(welcome, "proto"), CLIENT_PROTO);
	CHECK_INT(number_of(welcome, "node"), 1);
	CHECK_INT(number_of(welcome, "uid"), geteuid());
	CHECK_INT(number_of(welcome, "nodes"), 2);
	CHECK_INT(number_of(welcome, "expected"), 2);
	CHECK_INT(number_of(welcome, "pid"), getpid());
	TEARDOWN();
}

static bool is_closed(struct wire_client *client)
{
	return world_until(client->world, &client->closed, 1);
}

static void test_who_does_not_greet_is_closed(void)
{
	static struct wire_client rude, old, garbage;
	struct buf b = {0};
	SETUP(1);
	REQUIRE(wire_client_open(&rude, &world, 0, geteuid()));
	send_plain(&rude, 5, "doctor");
	CHECK_INT(wire_client_error(&rude, 5, NULL), RAMET_EPROTO);
	CHECK(is_closed(&rude));
	REQUIRE(wire_client_open(&old, &world, 0, geteuid()));
	wire_client_begin(&b, "hello", 7, 1);
	wire_kuint(&b, "proto", CLIENT_PROTO + 1);
	wire_client_send(&old, &b);
	CHECK_INT(wire_client_error(&old, 7, NULL), RAMET_EVERSION);
	CHECK(is_closed(&old));
	REQUIRE(wire_client_greet(&garbage, &world, 0, geteuid()));
	buf_append(&b, "\xc1nonsense", 9);
	wire_client_send(&garbage, &b);
	CHECK(is_closed(&garbage));
	send_plain(&client, 9, "doctor"); /* the others are unharmed */
	CHECK(wire_client_wait(&client, "checks", 9, 1) != NULL);
	wire_client_close(&rude);
	wire_client_close(&old);
	wire_client_close(&garbage);
	TEARDOWN();
}

static void test_wrong_requests_are_answered(void)
{
	struct buf b = {0};
	char text[400];
	SETUP(1);
	send_plain(&client, 2, "frobnicate");
	CHECK_INT(wire_client_error(&client, 2, text), RAMET_EPROTO);
	CHECK_STR(text, "unknown request frobnicate");
	send_call(&client, 3, (struct call){.name = "nothing"});
	CHECK_INT(wire_client_error(&client, 3, text), RAMET_ENOTFOUND);
	CHECK(strstr(text, "nothing") != NULL);
	send_call(&client, 4, (struct call){.name = "../x"});
	CHECK_INT(wire_client_error(&client, 4, NULL), RAMET_EINVAL);
	send_call(&client, 5, (struct call){.name = "echo", .node = 9});
	CHECK_INT(wire_client_error(&client, 5, text), RAMET_ENOTFOUND);
	CHECK(strstr(text, "node 9") != NULL);
	send_plain(&client, 6, "call"); /* no name */
	CHECK_INT(wire_client_error(&client, 6, NULL), RAMET_EPROTO);
	send_name(&client, 7, "list", "what", "everything");
	CHECK_INT(wire_client_error(&client, 7, NULL), RAMET_EINVAL);
	send_cancel(&client, 8, 99);
	CHECK_INT(wire_client_error(&client, 8, NULL), RAMET_ENOTFOUND);
	send_plain(&client, 10, "cancel");
	CHECK_INT(wire_client_error(&client, 10, NULL), RAMET_EPROTO);
	send_name(&client, 11, "wait", "call", "1-1-0");
	CHECK_INT(wire_client_error(&client, 11, NULL), RAMET_ENOTFOUND);
	wire_client_begin(&b, "burst", 12, 3);
	wire_kstr(&b, "name", "echo");
	wire_kbin(&b, "data", "1", 1);
	wire_kuint(&b, "n", 0);
	wire_client_send(&client, &b);
	CHECK_INT(wire_client_error(&client, 12, NULL), RAMET_ELIMIT);
	CHECK_INT(client.closed, 0);
	TEARDOWN();
}

static void test_ready(void)
{
	struct buf b = {0};
	SETUP(2);
	for (unsigned i = 0; i < 3; i++) {
		wire_client_begin(&b, "ready", 10 + i, 2);
		wire_kuint(&b, "nodes", 1 + i);
		wire_kuint(&b, "timeout_ms", 5000);
		wire_client_send(&client, &b);
	}
	CHECK_INT(number_of(wire_client_wait(&client, "ready", 10, 1), "nodes"), 2);
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
	TEARDOWN();
}

static void test_deploy_then_call_everywhere(void)
{
	static struct wire_client second;
	SETUP(2);
	REQUIRE(wire_client_greet(&second, &world, 1, geteuid()));
	REQUIRE(deploy(&client, 2, 0));
	const struct wire_value *deployed = wire_client_wait(&client, "deployed", 2, 1);
	CHECK_STR(text_of(deployed, "start"), "cold");
	CHECK_STR(text_of(deployed, "function"), "echo");
	CHECK_INT(number_of(deployed, "node"), 1);
	CHECK(number_of(deployed, "image_bytes") > 0);
	CHECK(wire_client_seen(&client, "progress", 2) >= 4);

	/* the other node knows of it at once, and forks: nothing is cold again */
	send_call(&second, 3, (struct call){.name = "echo", .data = "[1,2]", .node = 2});
	const struct wire_value *result = wire_client_wait(&second, "result", 3, 1);
	const void *output;
	size_t len;
	REQUIRE(result != NULL);
	CHECK_STR(error_code(result), "");
	CHECK_STR(text_of(result, "start"), "remote-fork");
	CHECK_INT(number_of(result, "node"), 2);
	CHECK_INT(number_of(result, "source_node"), 1);
	CHECK_STR(text_of(result, "version"), text_of(deployed, "version"));
	REQUIRE(wire_get_bin(result, "output", &output, &len, NULL) == 0);
	CHECK_INT(len, 5);
	CHECK_INT(wire_client_seen(&second, "accepted", 3), 1);
	CHECK_STR(text_of(result, "call"),
		text_of(wire_client_wait(&second, "accepted", 3, 1), "call"));

	send_call(&client, 4,
		(struct call){.name = "echo", .node = 2}); /* forwarded, and warm there */
	result = wire_client_wait(&client, "result", 4, 1);
	CHECK_STR(text_of(result, "start"), "warm");
	CHECK_INT(number_of(result, "node"), 2);
	CHECK_INT(world.fakes[0].hosts + world.fakes[1].hosts, 1);
	wire_client_close(&second);
	TEARDOWN();
}

static void test_deploy_on_another_node(void)
{
	SETUP(2);
	REQUIRE(deploy(&client, 2, 2));
	const struct wire_value *deployed = wire_client_wait(&client, "deployed", 2, 1);
	CHECK_STR(text_of(deployed, "start"), "cold");
	CHECK_INT(number_of(deployed, "node"), 2);
	CHECK(wire_client_seen(&client, "progress", 2) >= 4);
	CHECK_INT(world.fakes[0].hosts, 0);
	CHECK_INT(world.fakes[1].hosts, 1);
	send_call(&client, 3, (struct call){.name = "echo", .node = 1});
	CHECK_STR(text_of(wire_client_wait(&client, "result", 3, 1), "start"), "remote-fork");
	world.fakes[1].fail_load = true;
	send_deploy(&client, 4, 2, "native", "second");
	CHECK(wire_client_error(&client, 4, NULL) < 0); /* the error comes back over the bus */
	TEARDOWN();
}

static void test_deploy_again(void)
{
	uint32_t count;
	SETUP(1);
	REQUIRE(deploy(&client, 2, 0));
	REQUIRE(deploy(&client, 3, 0));
	CHECK_STR(text_of(wire_client_wait(&client, "deployed", 3, 1), "start"), "warm");
	CHECK_INT(world.fakes[0].hosts, 1);
	send_deploy(&client, 4, 0, "native", "second");
	const struct wire_value *deployed = wire_client_wait(&client, "deployed", 4, 1);
	CHECK_STR(text_of(deployed, "start"), "cold");
	const struct wire_value *rows = rows_of(&client, 5, "functions", &count);
	REQUIRE(count == 4);
	CHECK_STR(text_of(wire_at(rows, 0), "version"), text_of(deployed, "version"));
	TEARDOWN();
}

static void test_deployments_that_fail_leave_nothing(void)
{
	uint32_t count;
	char text[400];
	SETUP(1);
	send_deploy(&client, 2, 0, "cobol", "x");
	CHECK_INT(wire_client_error(&client, 2, text), RAMET_ENOTSUP);
	CHECK(strstr(text, "cobol") != NULL);
	world.fakes[0].fail_load = true;
	send_deploy(&client, 3, 0, "native", "x");
	CHECK(wire_client_error(&client, 3, NULL) < 0);
	world.fakes[0].fail_load = false;
	world.fakes[0].refuse_capture = true;
	send_deploy(&client, 4, 0, "native", "x");
	CHECK(wire_client_error(&client, 4, NULL) < 0);
	world.fakes[0].refuse_capture = false;
	rows_of(&client, 5, "functions", &count);
	CHECK_INT(count, 0);
	send_call(&client, 6, (struct call){.name = "echo"});
	CHECK_INT(wire_client_error(&client, 6, NULL), RAMET_ENOTFOUND);
	REQUIRE(deploy(&client, 7, 0));
	TEARDOWN();
}

static void test_a_deployment_is_cancelled(void)
{
	SETUP(1);
	world.fakes[0].no_ready = true;
	send_deploy(&client, 2, 0, "native", "x");
	while (world.fakes[0].hosts == 0)
		loop_turn(world.loop, 100 * NSEC_PER_MSEC, NULL);
	send_cancel(&client, 3, 2);
	CHECK(wire_client_wait(&client, "cancelled", 3, 1) != NULL);
	CHECK_INT(wire_client_error(&client, 2, NULL), RAMET_ECANCELED);
	TEARDOWN();
}

static void test_burst(void)
{
	struct buf b = {0};
	bool ranks[12] = {false};
	SETUP(2);
	REQUIRE(deploy(&client, 2, 0));
	wire_client_begin(&b, "burst", 3, 3);
	wire_kstr(&b, "name", "echo");
	wire_kbin(&b, "data", "1", 1);
	wire_kuint(&b, "n", 12);
	wire_client_send(&client, &b);
	const struct wire_value *summary = wire_client_wait(&client, "summary", 3, 1);
	REQUIRE(summary != NULL);
	CHECK_INT(wire_client_seen(&client, "result", 3), 12);
	for (unsigned i = 1; i <= 12; i++) {
		uint64_t rank = number_of(wire_client_wait(&client, "result", 3, i), "rank");
		REQUIRE(rank < 12);
		CHECK(!ranks[rank]);
		ranks[rank] = true;
	}
	CHECK_INT(number_of(summary, "ok"), 12);
	CHECK_INT(number_of(summary, "nodes"), 2);
	CHECK_INT(number_of(summary, "cold"), 0);
	TEARDOWN();
}

static void test_cancel_and_deadline(void)
{
	static struct wire_client other;
	SETUP(1);
	REQUIRE(deploy(&client, 2, 0));
	REQUIRE(wire_client_greet(&other, &world, 0, geteuid()));
	send_call(&client, 3, (struct call){.name = "hang"});
	REQUIRE(wire_client_wait(&client, "accepted", 3, 1) != NULL);
	send_cancel(&client, 4, 3);
	CHECK(wire_client_wait(&client, "cancelled", 4, 1) != NULL);
	CHECK_STR(error_code(wire_client_wait(&client, "result", 3, 1)), "ECANCELED");
	send_call(&client, 5, (struct call){.name = "hang"});
	const char *id = text_of(wire_client_wait(&client, "accepted", 5, 1), "call");
	send_name(&other, 6, "cancel", "call", id); /* by its id, from elsewhere */
	CHECK(wire_client_wait(&other, "cancelled", 6, 1) != NULL);
	CHECK_STR(error_code(wire_client_wait(&client, "result", 5, 1)), "ECANCELED");
	send_call(&client, 7, (struct call){.name = "hang", .deadline_ms = 50});
	CHECK_STR(error_code(wire_client_wait(&client, "result", 7, 1)), "EDEADLINE");
	send_call(&client, 8, (struct call){.name = "fail"});
	CHECK_STR(error_code(wire_client_wait(&client, "result", 8, 1)), "EUSER");
	wire_client_close(&other);
	TEARDOWN();
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
	SETUP(1);
	REQUIRE(deploy(&client, 2, 0));
	REQUIRE(wire_client_greet(&leaving, &world, 0, geteuid()));
	send_call(&leaving, 3, (struct call){.name = "hang"});
	send_call(&leaving, 4, (struct call){.name = "hang", .follow = true});
	REQUIRE(world_until_true(&world, two_are_busy));
	unsigned kills = world.fakes[0].kills;
	wire_client_close(&leaving);
	CHECK(world_until(&world, &world.fakes[0].kills, kills + 2));
	TEARDOWN();
}

static void test_detached(void)
{
	static struct wire_client other;
	SETUP(1);
	REQUIRE(deploy(&client, 2, 0));
	send_call(&client, 3, (struct call){.name = "echo", .detach = true});
	const struct wire_value *at_once = wire_client_wait(&client, "result", 3, 1);
	REQUIRE(at_once != NULL);
	const char *id = text_of(at_once, "call");
	CHECK_STR(text_of(at_once, "function"), "echo");
	wire_client_close(&client);
	REQUIRE(wire_client_greet(&other, &world, 0, geteuid()));
	send_name(&other, 4, "wait", "call", id);
	CHECK_STR(text_of(wire_client_wait(&other, "result", 4, 1), "call"), id);
	send_name(&other, 5, "wait", "call", id); /* given out once */
	CHECK_INT(wire_client_error(&other, 5, NULL), RAMET_ENOTFOUND);
	wire_client_close(&other);
	world_fini(&world);
}

static void test_lists(void)
{
	uint32_t count;
	SETUP(2);
	REQUIRE(deploy(&client, 2, 0));
	send_call(&client, 3, (struct call){.name = "echo", .node = 2});
	send_call(&client, 4, (struct call){.name = "fail", .node = 1});
	wire_client_wait(&client, "result", 3, 1);
	wire_client_wait(&client, "result", 4, 1);

	const struct wire_value *rows = rows_of(&client, 5, "nodes", &count);
	REQUIRE(count == 2);
	CHECK_STR(text_of(wire_at(rows, 0), "state"), "up");
	CHECK_STR(text_of(wire_at(rows, 1), "name"), "n2");
	rows = rows_of(&client, 6, "functions", &count);
	REQUIRE(count == 4);
	CHECK_STR(text_of(wire_at(rows, 0), "function"), "echo");
	CHECK_INT(number_of(wire_at(rows, 0), "calls"), 1); /* counted on the other node */
	CHECK_INT(number_of(wire_at(rows, 0), "remote_fork"), 1);
	CHECK_INT(number_of(wire_at(rows, 3), "failed"), 1);
	rows_of(&client, 7, "ps", &count);
	CHECK(count >= 2);
	rows = rows_of(&client, 8, "seeds", &count);
	REQUIRE(count >= 1);
	CHECK_STR(text_of(wire_at(rows, 0), "role"), "origin");

	world_stop_node(&world, 1);
	while (members_alive(world.nodes[0]->members) > 0)
		loop_turn(world.loop, 100 * NSEC_PER_MSEC, NULL);
	rows = rows_of(&client, 9, "nodes", &count);
	REQUIRE(count == 2);
	CHECK_STR(text_of(wire_at(rows, 1), "state"), "down");
	const struct wire_value *silent;
	rows_of(&client, 10, "ps", &count);
	REQUIRE(wire_get_array(wire_client_wait(&client, "rows", 10, 1), "silent", &silent, &count,
			NULL) == 0);
	CHECK_INT(count, 1);
	TEARDOWN();
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
	SETUP(2);
	REQUIRE(deploy(&client, 2, 0));
	send_call(&client, 3, (struct call){.name = "print", .node = 2});
	const struct wire_value *result = wire_client_wait(&client, "result", 3, 1);
	REQUIRE(result != NULL);
	send_logs(&client, 4, text_of(result, "call"), false);
	REQUIRE(wire_client_wait(&client, "end", 4, 1) != NULL);
	CHECK_INT(wire_client_seen(&client, "log", 4), 1);
	const struct wire_value *log = wire_client_wait(&client, "log", 4, 1);
	CHECK_INT(number_of(log, "node"), 2);
	CHECK_STR(text_of(log, "function"), "print");
	REQUIRE(wire_get_bin(log, "data", &data, &len, NULL) == 0);
	CHECK_INT(len, 6);
	CHECK(memcmp(data, "hello\n", 6) == 0);
	send_logs(&client, 5, "1-2-3", false);
	REQUIRE(wire_client_wait(&client, "end", 5, 1) != NULL);
	CHECK_INT(wire_client_seen(&client, "log", 5), 0);
	send_logs(&client, 6, text_of(result, "call"),
		true); /* the call is over: so is the following */
	CHECK(wire_client_wait(&client, "end", 6, 1) != NULL);
	CHECK_INT(wire_client_seen(&client, "log", 6), 1);
	TEARDOWN();
}

static void test_following(void)
{
	SETUP(2);
	REQUIRE(deploy(&client, 2, 0));
	send_logs(&client, 3, "", true);
	for (unsigned i = 0; i < 2; i++) {
		/* output comes before its result, from here and from another node */
		send_call(&client, 4 + i,
			(struct call){.name = "print", .node = 1 + i, .follow = true});
		REQUIRE(wire_client_wait(&client, "result", 4 + i, 1) != NULL);
		CHECK_INT(wire_client_seen(&client, "log", 4 + i), 1);
	}
	CHECK(wire_client_wait(&client, "log", 3, 2) != NULL);
	CHECK_INT(wire_client_seen(&client, "end", 3), 0);
	send_cancel(&client, 6, 3);
	CHECK_INT(number_of(wire_client_wait(&client, "end", 3, 1), "lost"), 0);
	TEARDOWN();
}

static void test_remove(void)
{
	static struct wire_client second;
	SETUP(2);
	REQUIRE(wire_client_greet(&second, &world, 1, geteuid()));
	REQUIRE(deploy(&client, 2, 0));
	send_call(&second, 3, (struct call){.name = "hang", .node = 2});
	REQUIRE(wire_client_wait(&second, "accepted", 3, 1) != NULL);
	const char *const names[] = {"echo", "fail", "print", "hang"};
	for (unsigned i = 0; i < 4; i++) {
		send_name(&client, 10 + i, "remove", "name", names[i]);
		REQUIRE(wire_client_wait(&client, "removed", 10 + i, 1) != NULL);
	}
	CHECK_STR(error_code(wire_client_wait(&second, "result", 3, 1)), "EREVOKED");
	send_call(&second, 4, (struct call){.name = "hang"});
	CHECK_INT(wire_client_error(&second, 4, NULL), RAMET_ENOTFOUND);
	send_name(&client, 20, "remove", "name", "hang");
	CHECK_INT(wire_client_error(&client, 20, NULL), RAMET_ENOTFOUND);
	wire_client_close(&second);
	TEARDOWN();
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
	REQUIRE(world_init(&world, &NODES(1)));
	REQUIRE(wire_client_greet(&client, &world, 0, 4001));
	REQUIRE(wire_client_greet(&other, &world, 0, 4002));
	REQUIRE(deploy(&client, 2, 0));
	send_call(&client, 3, (struct call){.name = "hang"});
	const char *id = text_of(wire_client_wait(&client, "accepted", 3, 1), "call");
	send_call(&other, 2, (struct call){.name = "echo"});
	CHECK_INT(wire_client_error(&other, 2, NULL), RAMET_ENOTFOUND);
	send_name(&other, 3, "cancel", "call", id);
	CHECK_INT(wire_client_error(&other, 3, NULL), RAMET_ENOTFOUND);
	send_name(&other, 4, "remove", "name", "echo");
	CHECK_INT(wire_client_error(&other, 4, NULL), RAMET_ENOTFOUND);
	rows_of(&other, 5, "functions", &count);
	CHECK_INT(count, 0);
	rows_of(&other, 6, "ps", &count);
	CHECK_INT(count, 0);
	rows_of(&other, 7, "seeds", &count);
	CHECK_INT(count, 0);
	send_plain(&other, 8, "shutdown");
	CHECK_INT(wire_client_error(&other, 8, NULL), RAMET_EPERM);
	rows_of(&client, 4, "functions", &count);
	CHECK_INT(count, 4);
	wire_client_close(&other);
	TEARDOWN();
}

static void on_stopped(void *user)
{
	(*(unsigned *)user)++;
}

static void test_shutdown(void)
{
	unsigned stopped = 0;
	SETUP(2);
	REQUIRE(deploy(&client, 2, 0));
	world.nodes[0]->on_stopped = on_stopped;
	world.nodes[0]->on_stopped_user = &stopped;
	send_call(&client, 3, (struct call){.name = "hang"});
	REQUIRE(wire_client_wait(&client, "accepted", 3, 1) != NULL);
	send_plain(&client, 4, "shutdown");
	CHECK(wire_client_wait(&client, "closing", 4, 1) != NULL);
	CHECK_INT(stopped, 1);
	CHECK_INT(wire_client_error(&client, 3, NULL), RAMET_ECLOSED);
	send_plain(&client, 5, "doctor");
	CHECK_INT(wire_client_error(&client, 5, NULL), RAMET_ECLOSED);
	CHECK(access(world.nodes[0]->config.client_socket, F_OK) != 0);
	CHECK_INT(client.closed, 0);
	world_stop_node(&world, 0);
	CHECK(is_closed(&client)); /* now all is gone */
	TEARDOWN();
}

static void test_doctor(void)
{
	const struct wire_value *checks;
	uint32_t count;
	unsigned of_second = 0;
	SETUP(2);
	send_plain(&client, 2, "doctor");
	REQUIRE(wire_get_array(wire_client_wait(&client, "checks", 2, 1), "checks", &checks, &count,
			NULL) == 0);
	CHECK(count >= 16);
	for (uint32_t i = 0; i < count; i++) {
		const char *state = text_of(wire_at(checks, i), "state");
		of_second += number_of(wire_at(checks, i), "node") == 2;
		CHECK(strcmp(state, "ok") == 0 || text_of(wire_at(checks, i), "remedy")[0] != 0);
	}
	CHECK_INT(of_second, count / 2);
	TEARDOWN();
}

static void test_a_second_daemon_on_the_socket_is_refused(void)
{
	SETUP(1);
	struct ramet_err err = {0};
	struct clients *other;
	CHECK_INT(clients_create(world.nodes[0], &other, &err), RAMET_EEXIST);
	CHECK(strstr(err.msg, world.nodes[0]->config.client_socket) != NULL);
	TEARDOWN();
}

#define TURNS 20

/* a socket that stays readable would keep the loop busy */
static void test_without_descriptors_the_loop_rests(void)
{
	SETUP(1);
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
	send_plain(&late, 1, "ready"); /* not a greeting: it is answered, then closed */
	CHECK(is_closed(&late));
	wire_client_close(&late);
	TEARDOWN();
}

SUITE_MAIN("clients", TEST(test_hello), TEST(test_who_does_not_greet_is_closed),
	TEST(test_wrong_requests_are_answered), TEST(test_ready),
	TEST(test_deploy_then_call_everywhere), TEST(test_deploy_on_another_node),
	TEST(test_deploy_again), TEST(test_deployments_that_fail_leave_nothing),
	TEST(test_a_deployment_is_cancelled), TEST(test_burst), TEST(test_cancel_and_deadline),
	TEST(test_calls_end_with_their_client), TEST(test_detached), TEST(test_lists),
	TEST(test_output), TEST(test_following), TEST(test_remove), TEST(test_tenants_do_not_meet),
	TEST(test_shutdown), TEST(test_doctor), TEST(test_a_second_daemon_on_the_socket_is_refused),
	TEST(test_without_descriptors_the_loop_rests))
