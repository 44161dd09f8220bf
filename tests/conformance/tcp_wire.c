/* The parser of what `tcp` transports exchange: what was encoded comes back, what parses encodes to
 * the same bytes, and everything else is refused. */
#include "transport/tcp_wire.h"
#include "tests/lib/suite.h"
#include "transport/greeting.h"

#include <string.h>

static const struct tcp_frame frames[] = {
	{.op = TCP_READ, .want = 1, .number = 5, .ref = {1, 2, 3}},
	{.op = TCP_READ,
		.want = TRANSPORT_OP_MAX,
		.number = UINT32_MAX,
		.ref = {UINT64_MAX, UINT64_MAX, UINT64_MAX}},
	{.op = TCP_WRITE, .payload = TCP_CHUNK_MAX, .ref = {7, 8, 9}},
	{.op = TCP_WRITE, .flags = TCP_FLAG_LAST, .payload = 1},
	{.op = TCP_WRITE, .flags = TCP_FLAG_LAST | TCP_FLAG_IMM, .imm = 0xdeadbeef},
	{.op = TCP_SEND, .payload = TRANSPORT_SEND_MAX, .number = 9},
	{.op = TCP_DATA, .payload = TCP_CHUNK_MAX},
	{.op = TCP_DATA, .flags = TCP_FLAG_LAST, .payload = 1, .number = 3},
	{.op = TCP_DATA, .flags = TCP_FLAG_LAST, .status = RAMET_EREVOKED},
	{.op = TCP_ACK, .status = RAMET_EACCESS, .number = 4},
	{.op = TCP_ACK},
	{.op = TCP_PING},
	{.op = TCP_BYE},
};

static void test_frames_come_back(void)
{
	for (unsigned i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		unsigned char bytes[TCP_HEADER_SIZE];
		struct tcp_frame f;
		memset(&f, 0xff, sizeof(f));
		tcp_frame_encode(&frames[i], bytes);
		CHECK_INT(tcp_frame_parse(bytes, &f), 0);
		CHECK_INT(f.op, frames[i].op);
		CHECK_INT(f.flags, frames[i].flags);
		CHECK_INT(f.payload, frames[i].payload);
		CHECK_INT(f.want, frames[i].want);
		CHECK_INT(f.number, frames[i].number);
		CHECK_INT(f.imm, frames[i].imm);
		CHECK_INT(f.status, frames[i].status);
		CHECK(memcmp(&f.ref, &frames[i].ref, sizeof(f.ref)) == 0);
	}
}

static void test_false_frames_are_refused(void)
{
	static const struct tcp_frame bad[] = {
		{.op = TCP_READ},
		{.op = TCP_READ, .want = TRANSPORT_OP_MAX + 1},
		{.op = TCP_READ, .want = 1, .flags = TCP_FLAG_LAST},
		{.op = TCP_READ, .want = 1, .imm = 1},
		{.op = TCP_WRITE, .payload = TCP_CHUNK_MAX + 1},
		{.op = TCP_WRITE, .flags = TCP_FLAG_LAST},
		{.op = TCP_WRITE, .flags = TCP_FLAG_IMM, .payload = 1},
		{.op = TCP_WRITE, .payload = 1, .imm = 1},
		{.op = TCP_SEND},
		{.op = TCP_SEND, .payload = TRANSPORT_SEND_MAX + 1},
		{.op = TCP_SEND, .payload = 1, .ref.key = 1},
		{.op = TCP_DATA},
		{.op = TCP_DATA, .payload = UINT32_MAX},
		{.op = TCP_DATA, .status = RAMET_EACCESS},
		{.op = TCP_DATA, .flags = TCP_FLAG_LAST, .payload = 1, .status = RAMET_EACCESS},
		{.op = TCP_DATA, .flags = TCP_FLAG_LAST, .status = RAMET_EIO},
		{.op = TCP_DATA, .flags = TCP_FLAG_LAST | TCP_FLAG_IMM, .payload = 1},
		{.op = TCP_ACK, .status = 1},
		{.op = TCP_ACK, .payload = 1},
		{.op = TCP_ACK, .ref.id = 1},
		{.op = TCP_PING, .number = 1},
		{.op = TCP_BYE, .payload = 1},
		{.op = TCP_BYE, .imm = 1},
		{.op = (enum tcp_frame_op)0},
		{.op = (enum tcp_frame_op)8},
		{.op = (enum tcp_frame_op)255},
	};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned char bytes[TCP_HEADER_SIZE];
		struct tcp_frame f;
		tcp_frame_encode(&bad[i], bytes);
		CHECK_INT(tcp_frame_parse(bytes, &f), RAMET_EPROTO);
	}
}

/* what the parser takes means nothing but itself */
static void test_random_frames(void)
{
	unsigned taken = 0;
	for (unsigned i = 0; i < 300000; i++) {
		unsigned char bytes[TCP_HEADER_SIZE], again[TCP_HEADER_SIZE];
		tcp_frame_encode(
			&frames[suite_random() % (sizeof(frames) / sizeof(frames[0]))], bytes);
		for (unsigned flips = suite_random() % 4; flips > 0; flips--)
			bytes[suite_random() % sizeof(bytes)] ^=
				(unsigned char)(1u << suite_random() % 8);
		struct tcp_frame f;
		if (tcp_frame_parse(bytes, &f) < 0)
			continue;
		taken++;
		tcp_frame_encode(&f, again);
		if (memcmp(bytes, again, sizeof(bytes)) != 0)
			CHECK(!"a frame has two spellings");
	}
	CHECK(taken > 1000);
}

static void test_greetings(void)
{
	struct greeting_hello hello = {.depth = 1024,
				      .timeout_ms = 800,
				      .token_len = TRANSPORT_TOKEN_MAX},
			      back;
	memset(hello.token, 'x', sizeof(hello.token));
	unsigned char bytes[GREETING_HELLO_SIZE];
	greeting_hello_encode(&hello, bytes);
	CHECK_INT(greeting_hello_parse(bytes, &back), 0);
	CHECK_INT(back.token_len, TRANSPORT_TOKEN_MAX);
	CHECK(memcmp(back.token, hello.token, TRANSPORT_TOKEN_MAX) == 0);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		CHECK_INT(greeting_hello_glance(bytes, len), 0);
	bytes[5] = 1;
	CHECK_INT(greeting_hello_parse(bytes, &back), RAMET_EVERSION);
	CHECK_INT(greeting_hello_glance(bytes, 5), 0);
	CHECK_INT(greeting_hello_glance(bytes, 6), RAMET_EVERSION);
	CHECK_INT(greeting_hello_glance((const unsigned char *)"G", 1), RAMET_EPROTO);
	bytes[5] = 0;
	bytes[6] = TRANSPORT_TOKEN_MAX - 1; /* the token is longer than it says */
	CHECK_INT(greeting_hello_parse(bytes, &back), RAMET_EPROTO);
	bytes[6] = TRANSPORT_TOKEN_MAX + 1;
	CHECK_INT(greeting_hello_parse(bytes, &back), RAMET_EPROTO);

	struct greeting_welcome welcome = {.depth = 1, .timeout_ms = 50}, heard;
	unsigned char reply[GREETING_WELCOME_SIZE];
	greeting_welcome_encode(&welcome, reply);
	CHECK_INT(greeting_welcome_parse(reply, &heard), 0);
	CHECK_INT(heard.depth, 1);
	welcome.depth = 0;
	greeting_welcome_encode(&welcome, reply);
	CHECK_INT(greeting_welcome_parse(reply, &heard), RAMET_EPROTO);
	welcome = (struct greeting_welcome){.status = RAMET_EPERM};
	greeting_welcome_encode(&welcome, reply);
	CHECK_INT(greeting_welcome_parse(reply, &heard), 0);
	CHECK_INT(heard.status, RAMET_EPERM);
	welcome.status = 5;
	greeting_welcome_encode(&welcome, reply);
	CHECK_INT(greeting_welcome_parse(reply, &heard), RAMET_EPROTO);
}

SUITE_MAIN("tcp_wire", TEST(test_frames_come_back), TEST(test_false_frames_are_refused),
	TEST(test_random_frames), TEST(test_greetings))
