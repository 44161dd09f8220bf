/* The parser of control messages of `verbs`: what was encoded comes back, what parses encodes to
 * the same bytes, and everything else is refused. Keys fit the ids they were made for only. */
#include "transport/verbs_wire.h"
#include "tests/lib/suite.h"

#include <string.h>

#define LANE \
	{ \
		.epoch = 7, .qpn = 0xffffff, .psn = 5, .rd_atomic = 16, .mtu = 5, \
		.gid = { 1, \
			2, \
			3 } \
	}

static const struct verbs_message messages[] = {
	{.type = VERBS_PING, .received = 1, .lane_received = UINT32_MAX, .revoked = 3},
	{.type = VERBS_BYE},
	{.type = VERBS_LANE_OPEN, .lane = LANE},
	{.type = VERBS_LANE_OPEN,
		.lane = LANE,
		.suspect = {.any = true, .write = true, .len = TRANSPORT_OP_MAX, .ref = {1, 2, 3}}},
	{.type = VERBS_LANE_OPEN,
		.lane = LANE,
		.suspect = {.any = true, .len = 1, .ref = {UINT64_MAX, UINT64_MAX, UINT64_MAX}}},
	{.type = VERBS_LANE_READY, .lane = LANE, .verdict = RAMET_EREVOKED},
	{.type = VERBS_LANE_READY, .lane = LANE},
	{.type = VERBS_REVOKE, .count = 1, .ids = {9}},
	{.type = VERBS_REVOKE, .count = VERBS_REVOKE_MAX, .ids = {1, 2, 3, 4, 5, 6, 7, 8}},
};

static void test_messages_come_back(void)
{
	for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		unsigned char bytes[VERBS_MESSAGE_SIZE], again[VERBS_MESSAGE_SIZE];
		struct verbs_message m;
		memset(&m, 0xff, sizeof(m));
		verbs_message_encode(&messages[i], bytes);
		CHECK_INT(verbs_message_parse(bytes, sizeof(bytes), &m), 0);
		CHECK_INT(m.type, messages[i].type);
		CHECK_INT(m.received, messages[i].received);
		CHECK_INT(m.lane_received, messages[i].lane_received);
		CHECK_INT(m.revoked, messages[i].revoked);
		CHECK(memcmp(&m.lane, &messages[i].lane, sizeof(m.lane)) == 0);
		CHECK_INT(m.suspect.any, messages[i].suspect.any);
		CHECK_INT(m.suspect.write, messages[i].suspect.write);
		CHECK_INT(m.suspect.len, messages[i].suspect.len);
		CHECK_INT(m.verdict, messages[i].verdict);
		CHECK_INT(m.count, messages[i].count);
		verbs_message_encode(&m, again);
		CHECK(memcmp(bytes, again, sizeof(bytes)) == 0);
		CHECK_INT(verbs_message_parse(bytes, sizeof(bytes) - 1, &m), RAMET_EPROTO);
	}
}

static void test_false_messages_are_refused(void)
{
	static const struct verbs_message bad[] = {
		{.type = (enum verbs_message_type)0},
		{.type = (enum verbs_message_type)6},
		{.type = VERBS_REVOKE},
		{.type = VERBS_LANE_OPEN},
		{.type = VERBS_LANE_OPEN, .lane = {.epoch = 1, .rd_atomic = 1}},
		{.type = VERBS_LANE_OPEN, .lane = {.epoch = 1, .rd_atomic = 1, .mtu = 6}},
		{.type = VERBS_LANE_OPEN, .lane = {.epoch = 1, .rd_atomic = 256, .mtu = 1}},
		{.type = VERBS_LANE_OPEN, .lane = {.rd_atomic = 1, .mtu = 1}},
		{.type = VERBS_LANE_OPEN,
			.lane = {.epoch = 1, .qpn = 1 << 24, .rd_atomic = 1, .mtu = 1}},
		{.type = VERBS_LANE_OPEN,
			.lane = {.epoch = 1, .psn = 1 << 24, .rd_atomic = 1, .mtu = 1}},
		{.type = VERBS_LANE_OPEN, .lane = LANE, .suspect = {.any = true}},
		{.type = VERBS_LANE_OPEN,
			.lane = LANE,
			.suspect = {.any = true, .len = TRANSPORT_OP_MAX + 1}},
		{.type = VERBS_LANE_READY, .lane = LANE, .verdict = RAMET_EPEER},
		{.type = VERBS_LANE_READY, .lane = LANE, .verdict = 1},
	};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned char bytes[VERBS_MESSAGE_SIZE];
		struct verbs_message m;
		verbs_message_encode(&bad[i], bytes);
		if (!CHECK_INT(verbs_message_parse(bytes, sizeof(bytes), &m), RAMET_EPROTO))
			CHECK_INT(i, -1);
	}
	unsigned char bytes[VERBS_MESSAGE_SIZE];
	struct verbs_message m;
	verbs_message_encode(&messages[7], bytes);
	bytes[2] = VERBS_REVOKE_MAX + 1;
	CHECK_INT(verbs_message_parse(bytes, sizeof(bytes), &m), RAMET_EPROTO);
}

static void test_random_messages(void)
{
	unsigned taken = 0;
	for (unsigned i = 0; i < 300000; i++) {
		unsigned char bytes[VERBS_MESSAGE_SIZE], again[VERBS_MESSAGE_SIZE];
		struct verbs_message m;
		verbs_message_encode(
			&messages[suite_random() % (sizeof(messages) / sizeof(messages[0]))],
			bytes);
		for (unsigned flips = suite_random() % 4; flips > 0; flips--)
			bytes[suite_random() % sizeof(bytes)] ^=
				(unsigned char)(1u << suite_random() % 8);
		if (verbs_message_parse(bytes, sizeof(bytes), &m) < 0)
			continue;
		taken++;
		verbs_message_encode(&m, again);
		if (memcmp(bytes, again, sizeof(bytes)) != 0)
			CHECK(!"a message has two spellings");
	}
	CHECK(taken > 1000);
}

static void test_keys(void)
{
	unsigned accepted = 0;
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t rkey = (uint32_t)suite_random(), at = (uint32_t)suite_random() & 0xfff,
			 got = 0;
		uint64_t id = suite_random() | 1, start = 0;
		struct segment_ref ref = {.id = id, .key = verbs_key_make(id, rkey, at)};
		CHECK_INT(verbs_key_split(&ref, &got, &start), 0);
		CHECK(got == rkey && start == at);
		ref.key ^= (uint64_t)1 << suite_random() % 64;
		accepted += verbs_key_split(&ref, &got, &start) == 0;
		ref.key = verbs_key_make(id, rkey, at);
		ref.id += 1 + suite_random() % 1000;
		accepted += verbs_key_split(&ref, &got, &start) == 0;
	}
	CHECK(accepted <= 2); /* the check has 20 bits */
	struct segment_ref none = {0};
	uint32_t rkey;
	uint64_t start;
	CHECK_INT(verbs_key_split(&none, &rkey, &start), RAMET_EACCESS);
}

SUITE_MAIN("verbs_wire", TEST(test_messages_come_back), TEST(test_false_messages_are_refused),
	TEST(test_random_messages), TEST(test_keys))
