/* Whoever speaks verbs but not as we do: strangers with false greetings, and peers with a proper
 * one who break the protocol on the control queue pair. Each is turned away, and nobody else
 * notices. */
#include "tests/conformance/transport_apart.h"
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include "transport/addr.h"
#include "transport/greeting.h"
#include "transport/verbs_wire.h"

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <rdma/rdma_verbs.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVE_MS 5000
#define RAW_BYTES 4096

/* one end of a connection, made by librdmacm's synchronous calls */
struct raw {
	struct rdma_cm_id *id;
	struct ibv_mr *mr;
	unsigned char *memory; /* RAW_BYTES */
};

static void raw_close(struct raw *raw)
{
	if (raw->mr)
		rdma_dereg_mr(raw->mr);
	if (raw->id)
		rdma_destroy_ep(raw->id);
	free(raw->memory);
}

/* whether the listener let it in with these bytes */
static int raw_open(struct raw *raw, const struct server *s, const void *data, size_t len)
{
	struct ramet_err err = {0};
	struct sockaddr_storage sa;
	socklen_t sa_len;
	*raw = (struct raw){.memory = calloc(1, RAW_BYTES)};
	CHECK_INT(addr_parse(s->addr, &sa, &sa_len, &err), 0);
	struct ibv_qp_init_attr attr = {
		.cap = {.max_send_wr = 128,
			.max_recv_wr = 128,
			.max_send_sge = 1,
			.max_recv_sge = 1},
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
	};
	if (!CHECK(rdma_create_id(NULL, &raw->id, NULL, RDMA_PS_TCP) == 0) ||
		!CHECK(rdma_resolve_addr(raw->id, NULL, (struct sockaddr *)&sa, RESOLVE_MS) == 0) ||
		!CHECK(rdma_resolve_route(raw->id, RESOLVE_MS) == 0) ||
		!CHECK(rdma_create_qp(raw->id, NULL, &attr) == 0))
		return 0;
	raw->mr = rdma_reg_msgs(raw->id, raw->memory, RAW_BYTES);
	for (unsigned i = 0; raw->mr && i < 64; i++)
		rdma_post_recv(raw->id, NULL, raw->memory + 2048, VERBS_MESSAGE_SIZE, raw->mr);
	struct rdma_conn_param param = {.private_data = data,
		.private_data_len = (uint8_t)len,
		.rnr_retry_count = 7,
		.retry_count = 6};
	return CHECK(raw->mr != NULL) && rdma_connect(raw->id, &param) == 0;
}

static void good_hello(const struct server *s, unsigned char dst[GREETING_HELLO_SIZE])
{
	struct greeting_hello hello = {
		.depth = 16, .timeout_ms = 20000, .token_len = (uint32_t)s->token_len};
	memcpy(hello.token, s->token, s->token_len);
	greeting_hello_encode(&hello, dst);
}

static void test_false_greetings_are_refused(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	unsigned char hello[GREETING_HELLO_SIZE], bad[GREETING_HELLO_SIZE];
	good_hello(&p.server, hello);
	static const struct {
		unsigned at, flip;
	} flips[] = {{0, 1}, {4, 1}, {6, 0xff}, {7, 1}, {11, 0xff}, {17, 1}, {24, 1}, {55, 1}};
	for (unsigned i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
		struct raw raw;
		memcpy(bad, hello, sizeof(bad));
		bad[flips[i].at] ^= (unsigned char)flips[i].flip;
		if (CHECK(!raw_open(&raw, &p.server, bad, sizeof(bad))))
			CHECK(raw.id->event && raw.id->event->event == RDMA_CM_EVENT_REJECTED);
		raw_close(&raw);
		CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 100000), 0);
	}
	for (size_t len = 0; len < 24 + p.server.token_len; len += 11) { /* zeros follow */
		struct raw raw;
		CHECK(!raw_open(&raw, &p.server, hello, len ? len : 1));
		raw_close(&raw);
	}
	struct raw raw;
	CHECK(raw_open(&raw, &p.server, hello, sizeof(hello)));
	CHECK(pair_wait(&p, &p.server.connected, 1));
	raw_close(&raw);
	CHECK(pair_wait(&p, &p.server.closed, 1));
	CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 100000), 0);
	CHECK_INT(p.client.closed, 0);
	pair_close(&p);
}

static void raw_say(struct raw *raw, const void *bytes, size_t len)
{
	memcpy(raw->memory, bytes, len);
	CHECK(rdma_post_send(raw->id, NULL, raw->memory, len, raw->mr, 0) == 0);
	struct ibv_wc wc;
	CHECK(rdma_get_send_comp(raw->id, &wc) == 1);
}

static void test_hostile_messages_end_their_connection(void)
{
	const struct verbs_lane_end lane = {.epoch = 1, .qpn = 5, .rd_atomic = 1, .mtu = 3};
	const struct verbs_message hostiles[] = {
		{.type = VERBS_PING, .received = 1000},
		{.type = VERBS_PING, .received = UINT32_MAX},
		{.type = VERBS_PING, .lane_received = 1},
		{.type = VERBS_PING, .revoked = 1},
		{.type = VERBS_LANE_READY, .lane = lane},
		{.type = VERBS_LANE_OPEN, .lane = {.epoch = 2, .rd_atomic = 1, .mtu = 3}},
		{.type = VERBS_LANE_OPEN},
		{.type = VERBS_REVOKE},
		{.type = (enum verbs_message_type)200},
	};
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	unsigned char hello[GREETING_HELLO_SIZE], bytes[VERBS_MESSAGE_SIZE];
	good_hello(&p.server, hello);
	unsigned count = sizeof(hostiles) / sizeof(hostiles[0]);
	for (unsigned i = 0; i < count + 2; i++) {
		struct raw raw;
		size_t len = i == count ? 79 : sizeof(bytes);
		if (!CHECK(raw_open(&raw, &p.server, hello, sizeof(hello))))
			break;
		verbs_message_encode(&hostiles[i < count ? i : 0], bytes);
		if (i == count + 1)
			memset(bytes, 0xee, sizeof(bytes));
		raw_say(&raw, bytes, len);
		CHECK(pair_wait(&p, &p.server.closed, i + 1));
		if (!CHECK_INT(p.server.closed_code, RAMET_EPROTO))
			CHECK_INT(i, -1);
		raw_close(&raw);
		CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 100000), 0);
	}
	CHECK_INT(p.client.closed, 0);
	pair_close(&p);
}

/* well-formed nonsense: revocations of what never was, a lane to nowhere, and silence */
static void test_odd_peers_harm_only_themselves(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	unsigned char hello[GREETING_HELLO_SIZE], bytes[VERBS_MESSAGE_SIZE];
	good_hello(&p.server, hello);
	struct raw raw;
	if (!CHECK(raw_open(&raw, &p.server, hello, sizeof(hello))))
		return;
	struct verbs_message m = {
		.type = VERBS_REVOKE, .count = 8, .ids = {1, 2, 3, 4, 5, 6, 7, 8}};
	for (unsigned i = 0; i < 10; i++) {
		verbs_message_encode(&m, bytes);
		raw_say(&raw, bytes, sizeof(bytes));
	}
	m = (struct verbs_message){.type = VERBS_LANE_OPEN,
		.lane = {.epoch = 1, .qpn = 0xabcdef, .rd_atomic = 1, .mtu = 3}};
	verbs_message_encode(&m, bytes);
	raw_say(&raw, bytes, sizeof(bytes));
	CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 100000), 0);
	m = (struct verbs_message){.type = VERBS_BYE};
	verbs_message_encode(&m, bytes);
	raw_say(&raw, bytes, sizeof(bytes));
	CHECK(pair_wait(&p, &p.server.closed, 1));
	CHECK_INT(p.server.closed_code, RAMET_ECLOSED);
	raw_close(&raw);
	CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 100000), 0);
	CHECK_INT(p.client.closed, 0);
	pair_close(&p);
}

static const struct suite_test tests[] = {TEST(test_false_greetings_are_refused),
	TEST(test_hostile_messages_end_their_connection),
	TEST(test_odd_peers_harm_only_themselves)};

int main(int argc, char **argv)
{
	if (!provider_find(&PROVIDER))
		return 77;
	return apart_suite_run(
		"verbs_strangers", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
