/* Members: finding each other, what they tell, and who dies how. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/bus.h"
#include "cluster/members.h"
#include "tests/cluster/bus_pair.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct side {
	struct members *members;
	unsigned alive, dead, changes;
};

static struct side *side_of(void *user)
{
	return ((struct bus_side *)user)->user;
}

static void on_hello(void *user, struct bus_request *request, const struct wire_value *body)
{
	members_on_hello(side_of(user)->members, request, body);
}

static void on_ping(void *user, struct bus_request *request, const struct wire_value *body)
{
	members_on_ping(side_of(user)->members, request, body);
}

static void on_holdings(void *user, struct bus_request *request, const struct wire_value *body)
{
	members_on_holdings(side_of(user)->members, request, body);
}

static void on_bye(void *user, struct bus_request *request, const struct wire_value *body)
{
	members_on_bye(side_of(user)->members, request, body);
}

static const struct bus_handler handlers[] = {
	{"hello", on_hello},
	{"ping", on_ping},
	{"holdings", on_holdings},
	{"bye", on_bye},
};

static void on_alive(void *user, const struct member *member)
{
	((struct side *)user)->alive++;
}

static void on_dead(void *user, const struct member *member)
{
	((struct side *)user)->dead++;
}

static void on_change(void *user, const struct member *member)
{
	((struct side *)user)->changes++;
}

static const struct members_handler handler = {
	.on_alive = on_alive, .on_dead = on_dead, .on_change = on_change};

static void on_heard(void *user, uint32_t node, const struct wire_value *load)
{
	if (side_of(user)->members)
		members_heard(side_of(user)->members, node, load);
}

static void on_link(void *user, uint32_t node, bool up)
{
	struct bus_side *side = user;
	side->ups += up;
	side->downs += !up;
	if (side_of(user)->members)
		members_link(side_of(user)->members, node, up);
}

static void pack_load(void *user, struct buf *b)
{
	members_pack_load(side_of(user)->members, b);
}

struct fixture {
	struct loop *loop[2]; /* one each: one of them can be made to hang */
	struct bus_side bus[2];
	struct side side[2];
	char addr[2][64];
};

static bool side_start(
	struct fixture *f, unsigned i, const char *listen, uint64_t incarnation, uint32_t told_node)
{
	struct ramet_err err = {0};
	struct bus_side *bus = &f->bus[i];
	struct member_info self = {.node = told_node,
		.incarnation = incarnation,
		.class_id = 7 + i,
		.cores = 4,
		.pid = 99};
	snprintf(self.name, sizeof(self.name), "n%u", i + 1);
	snprintf(self.data, sizeof(self.data), "127.0.0.1:%u", 9000 + i);
	bus->node = i + 1;
	bus->user = &f->side[i];
	bus->options = (struct bus_options){
		.loop = f->loop[i],
		.node = i + 1,
		.listen = listen,
		.handlers = handlers,
		.nhandlers = ARRAY_LEN(handlers),
		.user = bus,
		.on_heard = on_heard,
		.on_link = on_link,
		.pack_load = pack_load,
	};
	if (!suite_check_ok(bus_create(&bus->options, &bus->bus, &err), &err, "bus_create",
		    __FILE__, __LINE__))
		return false;
	snprintf(f->addr[i], sizeof(f->addr[i]), "%s", bus_addr(bus->bus));
	struct members_options options = {
		.loop = f->loop[i],
		.bus = bus->bus,
		.self = &self,
		.handler = &handler,
		.user = &f->side[i],
		.beat_ms = 50,
		.silence_ms = 50,
	};
	return suite_check_ok(members_create(&options, &f->side[i].members, &err), &err, "members",
		__FILE__, __LINE__);
}

static void side_stop(struct fixture *f, unsigned i)
{
	members_destroy(f->side[i].members);
	f->side[i].members = NULL;
	bus_destroy(f->bus[i].bus);
	f->bus[i].bus = NULL;
}

static void know(struct fixture *f, unsigned i)
{
	struct ramet_err err = {0};
	CHECK_INT(members_add(f->side[i].members, 2 - i, f->addr[1 - i], &err), 0);
}

static bool setup(struct fixture *f, uint32_t second_says)
{
	struct ramet_err err = {0};
	memset(f, 0, sizeof(*f));
	bool ok = loop_create(&f->loop[0], &err) == 0 && loop_create(&f->loop[1], &err) == 0 &&
		side_start(f, 0, "127.0.0.1:0", 111, 1) &&
		side_start(f, 1, "127.0.0.1:0", 222, second_says);
	if (ok) {
		know(f, 0);
		know(f, 1);
	}
	return ok;
}

static void teardown(struct fixture *f)
{
	for (unsigned i = 0; i < 2; i++) {
		side_stop(f, i);
		loop_destroy(f->loop[i]);
	}
}

static void turn(struct fixture *f)
{
	loop_turn(f->loop[0], 5 * NSEC_PER_MSEC, NULL);
	loop_turn(f->loop[1], 5 * NSEC_PER_MSEC, NULL);
}

#define UNTIL(f, cond) \
	do { \
		uint64_t until_ = now_ns() + 5 * NSEC_PER_SEC; \
		while (!(cond) && now_ns() < until_) \
			turn(f); \
		REQUIRE(cond); \
	} while (0)

static bool both_ready(struct fixture *f)
{
	return members_ready(f->side[0].members) == 1 && members_ready(f->side[1].members) == 1;
}

static void test_they_find_each_other(void)
{
	struct fixture f;
	REQUIRE(setup(&f, 2));
	UNTIL(&f, both_ready(&f));
	const struct member *second = members_find(f.side[0].members, 2);
	REQUIRE(second != NULL);
	CHECK(second->alive && second->known);
	CHECK_STR(second->info.name, "n2");
	CHECK_STR(second->info.data, "127.0.0.1:9001");
	CHECK_STR(second->info.listen, f.addr[1]);
	CHECK_INT(second->info.incarnation, 222);
	CHECK_INT(second->info.class_id, 8);
	CHECK_INT(second->info.cores, 4);
	CHECK_INT(f.side[0].alive, 1);
	CHECK_INT(members_alive(f.side[0].members), 1);
	CHECK(members_find(f.side[0].members, 1) == NULL);
	CHECK(members_find(f.side[0].members, 3) == NULL);
	teardown(&f);
}

static void test_seeds_are_told(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	struct holding holding = {.key = {{1, 2, 3}, 4, {5, 6}}, .idle = 5, .origin = true};
	memset(holding.version, 'a', VERSION_HEX);
	REQUIRE(setup(&f, 2));
	/* also what was said before they met */
	REQUIRE_OK(members_set_holdings(f.side[1].members, &holding, 1, &err), &err);
	UNTIL(&f, both_ready(&f));
	const struct member *second = members_find(f.side[0].members, 2);
	UNTIL(&f, second->nholdings == 1);
	const struct holding *held = member_holds(second, holding.version);
	REQUIRE(held != NULL);
	CHECK_STR(held->version, holding.version);
	CHECK(seed_key_opens(&held->key, &holding.key));
	CHECK_INT(held->idle, 5);
	CHECK(held->origin);
	CHECK(member_holds(second, "b") == NULL);

	unsigned changes = f.side[0].changes;
	REQUIRE_OK(members_set_holdings(f.side[1].members, NULL, 0, &err), &err);
	UNTIL(&f, second->nholdings == 0);
	CHECK(f.side[0].changes > changes);
	teardown(&f);
}

static void test_load_is_told(void)
{
	struct fixture f;
	REQUIRE(setup(&f, 2));
	UNTIL(&f, both_ready(&f));
	const struct member *second = members_find(f.side[0].members, 2);
	REQUIRE(second != NULL);
	struct member_load load = {
		.instances = 3, .busy = 2, .queued = 1, .capacity = 8, .cache_bytes = 1u << 20};
	unsigned changes = f.side[0].changes;
	members_set_load(f.side[1].members, &load);
	members_set_registry(f.side[1].members, 42);
	UNTIL(&f, second->load.instances == 3);
	CHECK_INT(second->load.capacity, 8);
	CHECK_INT(second->load.registry, 42);
	CHECK(f.side[0].changes > changes);
	teardown(&f);
}

static void test_a_killed_peer_is_dead_at_once(void)
{
	struct fixture f;
	REQUIRE(setup(&f, 2));
	UNTIL(&f, both_ready(&f));
	uint64_t begin = now_ns();
	side_stop(&f, 1); /* as the kernel closes a dead process's sockets */
	while (f.side[0].dead == 0 && now_ns() < begin + 5 * NSEC_PER_SEC)
		loop_turn(f.loop[0], NSEC_PER_MSEC, NULL);
	CHECK_INT(f.side[0].dead, 1);
	CHECK(now_ns() - begin < NSEC_PER_SEC);
	CHECK_INT(members_alive(f.side[0].members), 0);
	CHECK_INT(members_ready(f.side[0].members), 0);
	teardown(&f);
}

static void test_a_hanging_peer_is_dead_in_time(void)
{
	struct fixture f;
	REQUIRE(setup(&f, 2));
	UNTIL(&f, both_ready(&f));
	uint64_t begin = now_ns();
	/* its loop does not turn; its connection stands */
	while (f.side[0].dead == 0 && now_ns() < begin + 5 * NSEC_PER_SEC)
		loop_turn(f.loop[0], 10 * NSEC_PER_MSEC, NULL);
	CHECK_INT(f.side[0].dead, 1);
	CHECK(now_ns() - begin < NSEC_PER_SEC);
	UNTIL(&f, both_ready(&f)); /* it goes on, and they find each other again */
	CHECK_INT(f.side[0].alive, 2);
	teardown(&f);
}

static void test_standing_still_ourselves_kills_nobody(void)
{
	struct fixture f;
	REQUIRE(setup(&f, 2));
	UNTIL(&f, both_ready(&f));
	uint64_t begin = now_ns();
	/* the first stands still, for longer than a peer may; the second goes on */
	while (now_ns() < begin + 200 * NSEC_PER_MSEC)
		loop_turn(f.loop[1], NSEC_PER_MSEC, NULL);
	for (unsigned i = 0; i < 20; i++)
		turn(&f);
	CHECK_INT(f.side[0].dead, 0);
	teardown(&f);
}

static void test_goodbye(void)
{
	struct fixture f;
	REQUIRE(setup(&f, 2));
	UNTIL(&f, both_ready(&f));
	members_bye(f.side[1].members);
	UNTIL(&f, f.side[0].dead == 1);
	teardown(&f);
}

static void test_a_restarted_peer_died_and_lives(void)
{
	struct fixture f;
	REQUIRE(setup(&f, 2));
	UNTIL(&f, both_ready(&f));
	side_stop(&f, 1);
	REQUIRE(side_start(&f, 1, f.addr[1], 333, 2));
	know(&f, 1);
	UNTIL(&f, f.side[0].alive == 2 && both_ready(&f));
	CHECK_INT(f.side[0].dead, 1);
	CHECK_INT(members_find(f.side[0].members, 2)->info.incarnation, 333);
	teardown(&f);
}

static void test_a_node_that_calls_itself_another_is_refused(void)
{
	struct fixture f;
	REQUIRE(setup(&f, 5));
	uint64_t begin = now_ns();
	while (now_ns() < begin + 150 * NSEC_PER_MSEC) /* three beats */
		turn(&f);
	CHECK_INT(f.side[0].alive, 0);
	CHECK_INT(members_alive(f.side[0].members), 0);
	teardown(&f);
}

SUITE_MAIN("members", TEST(test_they_find_each_other), TEST(test_seeds_are_told),
	TEST(test_load_is_told), TEST(test_a_killed_peer_is_dead_at_once),
	TEST(test_a_hanging_peer_is_dead_in_time), TEST(test_standing_still_ourselves_kills_nobody),
	TEST(test_goodbye), TEST(test_a_restarted_peer_died_and_lives),
	TEST(test_a_node_that_calls_itself_another_is_refused))
