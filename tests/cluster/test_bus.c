/* The bus between two nodes: answers, errors, time-outs, large messages, lost peers, garbage. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/bus.h"
#include "cluster/bus_proto.h"
#include "tests/cluster/bus_pair.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static unsigned notices;
static struct bus_request *held;

static void on_echo(void *user, struct bus_request *request, const struct wire_value *body)
{
	const void *data;
	size_t len;
	struct ramet_err err = {0};
	if (wire_get_bin(body, "data", &data, &len, &err) < 0) {
		bus_reply_err(request, &err);
		return;
	}
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kbin(&b, "data", data, len);
	wire_kuint(&b, "from", bus_request_node(request));
	bus_reply(request, &b);
}

static void on_fail(void *user, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	err_set(&err, RAMET_EREFUSED, "not today");
	bus_reply_err(request, &err);
}

static void on_hold(void *user, struct bus_request *request, const struct wire_value *body)
{
	held = request;
}

static void on_notice(void *user, struct bus_request *request, const struct wire_value *body)
{
	notices++;
	bus_reply(request, NULL);
}

/* three parts, of which there is no memory for the second if that is asked for */
static void on_parts(void *user, struct bus_request *request, const struct wire_value *body)
{
	bool lose = wire_has(body, "lose");
	for (unsigned i = 0; i < 3; i++) {
		struct buf b = {0};
		wire_map(&b, 1);
		wire_kuint(&b, "part", i);
		b.oom = lose && i == 1;
		bus_part(request, &b);
	}
	bus_reply(request, NULL);
}

static const struct bus_handler handlers[] = {
	{"parts", on_parts},
	{"echo", on_echo},
	{"fail", on_fail},
	{"hold", on_hold},
	{"notice", on_notice},
};

struct answer {
	unsigned count;
	struct ramet_err err;
	unsigned char *data;
	size_t len;
	uint64_t from;
};

static void on_answer(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct answer *answer = user;
	const void *data;
	answer->count++;
	if (error) {
		answer->err = *error;
		return;
	}
	if (wire_get_bin(body, "data", &data, &answer->len, NULL) == 0) {
		answer->data = malloc(answer->len + 1);
		memcpy(answer->data, data, answer->len);
		wire_get_uint(body, "from", UINT32_MAX, &answer->from, NULL);
	}
}

static struct buf echo_of(const void *data, size_t len)
{
	struct buf b = {0};
	wire_map(&b, 1);
	wire_kbin(&b, "data", data, len);
	return b;
}

static bool linked(struct bus_pair *pair)
{
	return pair->side[0].ups > 0 && pair->side[1].ups > 0;
}

#define PAIR(pair) \
	struct bus_pair pair; \
	notices = 0; \
	held = NULL; \
	REQUIRE(bus_pair_init(&pair, handlers, ARRAY_LEN(handlers))); \
	bus_pair_link(&pair, 0, 1); \
	bus_pair_link(&pair, 1, 0); \
	BUS_PAIR_UNTIL(&pair, linked(&pair))

static void test_answers(void)
{
	struct ramet_err err = {0};
	struct answer answer = {0};
	PAIR(pair);
	struct buf b = echo_of("hello", 5);
	REQUIRE_OK(
		bus_call(pair.side[0].bus, 2, "echo", &b, 0, on_answer, &answer, NULL, &err), &err);
	CHECK(b.data == NULL); /* taken */
	CHECK_INT(answer.count, 0);
	BUS_PAIR_UNTIL(&pair, answer.count == 1);
	CHECK_INT(answer.err.code, 0);
	CHECK_INT(answer.len, 5);
	CHECK_INT(answer.from, 1);
	free(answer.data);
	bus_pair_fini(&pair);
}

struct parts {
	struct answer answer; /* first: both callbacks have one user */
	unsigned count;
};

static void on_part(void *user, const struct wire_value *body)
{
	struct parts *parts = user;
	uint64_t part = 0;
	CHECK_INT(parts->answer.count, 0);
	CHECK_INT(wire_get_uint(body, "part", 2, &part, NULL), 0);
	CHECK_INT(part, parts->count++);
}

static void test_a_lost_part_is_an_error(void)
{
	struct ramet_err err = {0};
	PAIR(pair);
	for (unsigned lose = 0; lose < 2; lose++) {
		struct parts parts = {0};
		struct buf b = {0};
		uint64_t id = 0;
		wire_map(&b, 1);
		wire_kbool(&b, lose ? "lose" : "keep", true);
		REQUIRE_OK(
			bus_call(pair.side[0].bus, 2, "parts", &b, 0, on_answer, &parts, &id, &err),
			&err);
		bus_want_parts(pair.side[0].bus, id, on_part);
		BUS_PAIR_UNTIL(&pair, parts.answer.count == 1);
		CHECK_INT(parts.answer.err.code, lose ? RAMET_EIO : 0);
		CHECK_INT(parts.count, lose ? 1 : 3); /* none after what was lost */
	}
	bus_pair_fini(&pair);
}

static void test_errors_travel(void)
{
	struct ramet_err err = {0};
	struct answer refused = {0}, unknown = {0}, malformed = {0};
	PAIR(pair);
	REQUIRE_OK(bus_call(pair.side[0].bus, 2, "fail", NULL, 0, on_answer, &refused, NULL, &err),
		&err);
	REQUIRE_OK(
		bus_call(pair.side[0].bus, 2, "nonsense", NULL, 0, on_answer, &unknown, NULL, &err),
		&err);
	REQUIRE_OK(
		bus_call(pair.side[0].bus, 2, "echo", NULL, 0, on_answer, &malformed, NULL, &err),
		&err);
	BUS_PAIR_UNTIL(&pair, refused.count && unknown.count && malformed.count);
	CHECK_INT(refused.err.code, RAMET_EREFUSED);
	CHECK_STR(refused.err.msg, "not today");
	CHECK_INT(unknown.err.code, RAMET_EPROTO);
	CHECK_INT(malformed.err.code, RAMET_EPROTO);
	CHECK(strstr(malformed.err.msg, "data") != NULL);
	bus_pair_fini(&pair);
}

static void test_many_at_once_both_ways(void)
{
	enum { N = 2000 };
	static struct answer answers[2][N];
	struct ramet_err err = {0};
	unsigned total = 0;
	memset(answers, 0, sizeof(answers));
	PAIR(pair);
	for (unsigned i = 0; i < N; i++) {
		for (unsigned side = 0; side < 2; side++) {
			struct buf b = echo_of(&i, sizeof(i));
			REQUIRE_OK(bus_call(pair.side[side].bus, 2 - side, "echo", &b, 0, on_answer,
					   &answers[side][i], NULL, &err),
				&err);
		}
	}
	for (unsigned i = 0; i < N; i++) {
		BUS_PAIR_UNTIL(&pair, answers[0][i].count && answers[1][i].count);
		total += answers[0][i].count + answers[1][i].count;
		CHECK(answers[0][i].data && memcmp(answers[0][i].data, &i, sizeof(i)) == 0);
		free(answers[0][i].data);
		free(answers[1][i].data);
	}
	CHECK_INT(total, 2 * N);
	bus_pair_fini(&pair);
}

static void test_a_payload_of_64_mib(void)
{
#ifdef __SANITIZE_THREAD__ /* moves some 10 MB/s there */
	const size_t len = 8u << 20;
#else
	const size_t len = 64u << 20;
#endif
	struct ramet_err err = {0};
	struct answer answer = {0};
	auto_free unsigned char *data = malloc(len);
	REQUIRE(data != NULL);
	for (size_t i = 0; i < len; i += 4096)
		data[i] = (unsigned char)(i >> 12);
	PAIR(pair);
	struct buf b = echo_of(data, len);
	REQUIRE_OK(
		bus_call(pair.side[0].bus, 2, "echo", &b, 0, on_answer, &answer, NULL, &err), &err);
	BUS_PAIR_UNTIL(&pair, answer.count == 1);
	CHECK_INT(answer.len, len);
	CHECK(answer.len == len && memcmp(answer.data, data, len) == 0);
	free(answer.data);
	bus_pair_fini(&pair);
}

static void test_timeout_and_a_late_answer(void)
{
	struct ramet_err err = {0};
	struct answer late = {0}, next = {0};
	PAIR(pair);
	REQUIRE_OK(bus_call(pair.side[0].bus, 2, "hold", NULL, 20 * NSEC_PER_MSEC, on_answer, &late,
			   NULL, &err),
		&err);
	BUS_PAIR_UNTIL(&pair, late.count == 1 && held != NULL);
	CHECK_INT(late.err.code, RAMET_ETIMEOUT);
	CHECK_STR(late.err.msg, "node 2 did not answer hold in time");
	bus_reply(held, NULL);
	struct buf b = echo_of("x", 1);
	REQUIRE_OK(
		bus_call(pair.side[0].bus, 2, "echo", &b, 0, on_answer, &next, NULL, &err), &err);
	BUS_PAIR_UNTIL(&pair, next.count == 1);
	CHECK_INT(late.count, 1);
	free(next.data);
	bus_pair_fini(&pair);
}

static void test_forgotten_answers_are_not_told(void)
{
	struct ramet_err err = {0};
	struct answer forgotten = {0}, next = {0};
	uint64_t id;
	PAIR(pair);
	REQUIRE_OK(bus_call(pair.side[0].bus, 2, "fail", NULL, NSEC_PER_SEC, on_answer, &forgotten,
			   &id, &err),
		&err);
	bus_forget(pair.side[0].bus, id);
	bus_forget(pair.side[0].bus, id);
	REQUIRE_OK(
		bus_call(pair.side[0].bus, 2, "fail", NULL, 0, on_answer, &next, NULL, &err), &err);
	BUS_PAIR_UNTIL(&pair, next.count == 1);
	CHECK_INT(forgotten.count, 0);
	bus_pair_fini(&pair);
}

static void test_a_lost_peer_fails_what_is_in_flight(void)
{
	struct ramet_err err = {0};
	struct answer answer = {0};
	PAIR(pair);
	REQUIRE_OK(bus_call(pair.side[0].bus, 2, "hold", NULL, 0, on_answer, &answer, NULL, &err),
		&err);
	BUS_PAIR_UNTIL(&pair, held != NULL);
	bus_destroy(pair.side[1].bus);
	pair.side[1].bus = NULL;
	bus_reply(held, NULL); /* answered too late: nothing happens */
	BUS_PAIR_UNTIL(&pair, answer.count == 1 && pair.side[0].downs > 0);
	CHECK_INT(answer.err.code, RAMET_EPEER);
	CHECK_INT(bus_call(pair.side[0].bus, 2, "fail", NULL, 0, on_answer, &answer, NULL, &err),
		RAMET_EPEER);
	CHECK_INT(bus_call(pair.side[0].bus, 3, "fail", NULL, 0, on_answer, &answer, NULL, &err),
		RAMET_ENOTFOUND);
	CHECK_INT(answer.count, 1);
	bus_pair_fini(&pair);
}

static void test_a_peer_comes_back(void)
{
	struct ramet_err err = {0};
	struct answer answer = {0};
	char addr[64];
	PAIR(pair);
	snprintf(addr, sizeof(addr), "%s", bus_addr(pair.side[1].bus));
	bus_destroy(pair.side[1].bus);
	BUS_PAIR_UNTIL(&pair, pair.side[0].downs > 0);
	pair.side[1].options.listen = addr;
	REQUIRE_OK(bus_create(&pair.side[1].options, &pair.side[1].bus, &err), &err);
	bus_pair_link(&pair, 1, 0);
	BUS_PAIR_UNTIL(&pair, pair.side[0].ups == 2);
	REQUIRE_OK(bus_call(pair.side[0].bus, 2, "fail", NULL, 0, on_answer, &answer, NULL, &err),
		&err);
	BUS_PAIR_UNTIL(&pair, answer.count == 1);
	CHECK_INT(answer.err.code, RAMET_EREFUSED);
	bus_pair_fini(&pair);
}

static void test_notices(void)
{
	PAIR(pair);
	bus_notify(pair.side[0].bus, 2, "notice", NULL);
	BUS_PAIR_UNTIL(&pair, notices == 1);
	bus_notify(pair.side[0].bus, 9, "notice", NULL);
	bus_notify(pair.side[0].bus, 2, "unknown", NULL);
	bus_notify(pair.side[0].bus, 2, "notice", NULL);
	BUS_PAIR_UNTIL(&pair, notices == 2);
	bus_pair_fini(&pair);
}

static void send_raw(
	void *zmq, const void *header, size_t header_len, const void *body, size_t body_len)
{
	CHECK(zmq_send(zmq, header, header_len, ZMQ_SNDMORE) >= 0);
	CHECK(zmq_send(zmq, body, body_len, 0) >= 0);
}

static struct buf header_of(const char *type, uint64_t from)
{
	struct buf b = {0};
	wire_map(&b, 3);
	wire_kstr(&b, "t", type);
	wire_kuint(&b, "from", from);
	wire_kuint(&b, "req", 0);
	return b;
}

static void test_garbage_is_dropped(void)
{
	char endpoint[128];
	PAIR(pair);
	void *ctx = zmq_ctx_new(), *zmq = zmq_socket(ctx, ZMQ_DEALER);
	int linger = 0;
	zmq_setsockopt(zmq, ZMQ_LINGER, &linger, sizeof(linger));
	snprintf(endpoint, sizeof(endpoint), "tcp://%s", bus_addr(pair.side[1].bus));
	REQUIRE(zmq_connect(zmq, endpoint) == 0);
	struct buf good = header_of("notice", 1), stranger = header_of("notice", 77);
	struct buf long_type = header_of("a-type-that-is-much-longer-than-any-type-may-be", 1);
	const unsigned char map[] = {0x80}, number[] = {0x01},
			    huge[] = {0xdf, 0xff, 0xff, 0xff, 0xff};

	CHECK(zmq_send(zmq, "one part", 8, 0) >= 0);
	send_raw(zmq, "\xc1garbage", 8, map, 1);
	send_raw(zmq, "", 0, "", 0);
	send_raw(zmq, huge, sizeof(huge), map, 1);
	send_raw(zmq, good.data, good.len, huge, sizeof(huge));
	send_raw(zmq, good.data, good.len, number, 1);
	send_raw(zmq, good.data, good.len, "", 0);
	send_raw(zmq, stranger.data, stranger.len, map, 1);
	send_raw(zmq, long_type.data, long_type.len, map, 1);
	CHECK(zmq_send(zmq, good.data, good.len, ZMQ_SNDMORE) >= 0);
	CHECK(zmq_send(zmq, map, 1, ZMQ_SNDMORE) >= 0);
	CHECK(zmq_send(zmq, map, 1, 0) >= 0); /* a part too many */
	send_raw(zmq, good.data, good.len, map, 1); /* and one that is right */
	BUS_PAIR_UNTIL(&pair, notices > 0);
	CHECK_INT(notices, 1);

	bus_notify(pair.side[0].bus, 2, "notice", NULL); /* the others are unharmed */
	BUS_PAIR_UNTIL(&pair, notices == 2);
	buf_fini(&good);
	buf_fini(&stranger);
	buf_fini(&long_type);
	zmq_close(zmq);
	zmq_ctx_term(ctx);
	bus_pair_fini(&pair);
}

static void test_a_port_in_use_is_named(void)
{
	struct ramet_err err = {0};
	struct bus *other;
	PAIR(pair);
	struct bus_options options = pair.side[0].options;
	options.listen = bus_addr(pair.side[1].bus);
	CHECK_INT(bus_create(&options, &other, &err), RAMET_EEXIST);
	CHECK(strstr(err.msg, options.listen) != NULL);
	CHECK(strstr(err.msg, "in use") != NULL);
	bus_pair_fini(&pair);
}

static void test_nothing_is_left_behind(void)
{
	unsigned fds = suite_count_fds();
	struct ramet_err err = {0};
	struct answer answer = {0};
	PAIR(pair);
	REQUIRE_OK(bus_call(pair.side[0].bus, 2, "hold", NULL, 0, on_answer, &answer, NULL, &err),
		&err);
	bus_pair_fini(&pair);
	if (held)
		bus_reply(held, NULL);
	CHECK_INT(answer.count, 1);
	CHECK(answer.err.code == RAMET_ECLOSED || answer.err.code == RAMET_EPEER);
	CHECK_INT(suite_count_fds(), fds);
}

SUITE_MAIN("bus", TEST(test_answers), TEST(test_a_lost_part_is_an_error), TEST(test_errors_travel),
	TEST(test_many_at_once_both_ways), TEST(test_a_payload_of_64_mib),
	TEST(test_timeout_and_a_late_answer), TEST(test_forgotten_answers_are_not_told),
	TEST(test_a_lost_peer_fails_what_is_in_flight), TEST(test_a_peer_comes_back),
	TEST(test_notices), TEST(test_garbage_is_dropped), TEST(test_a_port_in_use_is_named),
	TEST(test_nothing_is_left_behind))
