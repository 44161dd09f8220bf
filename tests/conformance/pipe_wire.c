/* What the sides of a pipe say: positions over the ends of every counter, against a model that does
 * not wrap, and messages, which come back or are refused. */
#include "transport/pipe_wire.h"
#include "base/cleanup.h"
#include "tests/lib/suite.h"

#include <string.h>

#define STEPS 20000
#define IMMS_MAX 64u

/* an immediate under way, with what it means */
struct said {
	uint32_t imm;
	uint64_t posted, told;
};
struct side {
	struct pipe_positions at;
	struct said said[IMMS_MAX]; /* to the other one */
	unsigned first, last;
};

static void side_says(struct side *side)
{
	if (side->last - side->first == IMMS_MAX)
		return;
	struct said *said = &side->said[side->last++ % IMMS_MAX];
	said->imm = pipe_imm(&side->at);
	said->posted = side->at.posted;
	said->told = side->at.told;
	CHECK(said->told <= side->at.read && side->at.read - said->told < PIPE_STEP);
}

static void side_hears(struct side *side, struct side *other)
{
	if (other->first == other->last)
		return;
	const struct said *said = &other->said[other->first++ % IMMS_MAX];
	CHECK_INT(pipe_take_imm(&side->at, said->imm), 0);
	CHECK_INT(side->at.came, said->posted);
	CHECK_INT(side->at.acked, said->told);
	CHECK_INT(pipe_take_imm(&side->at, said->imm), 0); /* again: nothing */
	CHECK_INT(side->at.came, said->posted);
	CHECK_INT(side->at.acked, said->told);
}

/* what an honest peer cannot say now moves nothing */
static void side_hears_nonsense(struct side *side)
{
	const struct pipe_positions before = side->at;
	uint64_t room = PIPE_RING - (before.came - before.read);
	uint64_t beyond = 1 + suite_random() % (2 * PIPE_RING - 1 - room);
	struct pipe_positions peer = {.posted = before.came + room + beyond, .read = before.acked};
	if (suite_random() % 2) {
		uint64_t unsent = before.posted - before.acked;
		peer.posted = before.came;
		peer.read = before.acked + unsent + PIPE_STEP +
			suite_random() % (31 * PIPE_RING - unsent);
	}
	uint32_t imm = pipe_imm(&peer);
	if (peer.posted - before.came == 2 * PIPE_RING)
		return; /* which says nothing */
	CHECK_INT(pipe_take_imm(&side->at, imm), RAMET_EPROTO);
	CHECK(memcmp(&side->at, &before, sizeof(before)) == 0);
}

static uint64_t some(uint64_t most)
{
	uint64_t n = suite_random() % 8 ? suite_random() % (most + 1) : most;
	return suite_random() % 4 ? n : n % 5000;
}

static void step(struct side *side, struct side *other)
{
	switch (suite_random() % 8) {
	case 0:
	case 1:
		if (side->last - side->first == IMMS_MAX)
			break;
		side->at.posted += some(PIPE_RING - (side->at.posted - side->at.acked));
		side_says(side);
		break;
	case 2:
		side->at.read += some(side->at.came - side->at.read);
		break;
	case 3:
		side_says(side);
		break;
	case 4:
		side_hears_nonsense(side);
		break;
	default:
		side_hears(side, other);
		break;
	}
}

/* both sides have come this far */
static void walk(uint64_t from)
{
	const struct pipe_positions there = {from, from, from, from, from};
	struct side a = {.at = there}, b = {.at = there};
	for (unsigned i = 0; i < STEPS; i++) {
		bool first = suite_random() % 2;
		step(first ? &a : &b, first ? &b : &a);
	}
	CHECK(a.at.came > from + 4 * PIPE_RING && b.at.came > from + 4 * PIPE_RING);
}

static void test_positions_never_wrap(void)
{
	static const unsigned bits[] = {19, 25, 32, 63};
	walk(0);
	for (unsigned i = 0; i < ARRAY_LEN(bits); i++) {
		uint64_t end = (uint64_t)1 << bits[i];
		walk(end);
		walk(end - PIPE_STEP);
		walk(end - MIN(end, 4 * PIPE_RING));
	}
}

static void test_full_and_empty_differ(void)
{
	struct pipe_positions writer = {.posted = PIPE_RING}, reader = {0};
	CHECK_INT(pipe_take_imm(&reader, pipe_imm(&writer)), 0);
	CHECK_INT(reader.came, PIPE_RING);
	writer.posted++;
	CHECK_INT(pipe_take_imm(&reader, pipe_imm(&writer)), RAMET_EPROTO);
	reader.read = 1;
	CHECK_INT(pipe_take_imm(&reader, pipe_imm(&writer)), 0);
	CHECK_INT(reader.came, PIPE_RING + 1);
}

static void test_messages_come_back(void)
{
	static const struct pipe_message messages[] = {
		{.kind = PIPE_HELLO, .ring = {1, UINT64_MAX - 1, 0}},
		{.kind = PIPE_HELLO},
		{.kind = PIPE_END, .position = UINT64_MAX},
		{.kind = PIPE_END},
	};
	for (unsigned i = 0; i < ARRAY_LEN(messages); i++) {
		unsigned char bytes[PIPE_MESSAGE_BYTES + 1] = {0}, again[PIPE_MESSAGE_BYTES];
		struct pipe_message m;
		pipe_message_pack(&messages[i], bytes);
		CHECK_INT(pipe_message_parse(bytes, PIPE_MESSAGE_BYTES, &m), 0);
		CHECK_INT(m.kind, messages[i].kind);
		CHECK(m.ring.id == messages[i].ring.id && m.ring.key == messages[i].ring.key);
		CHECK(m.ring.offset == 0 && m.position == messages[i].position);
		pipe_message_pack(&m, again);
		CHECK(memcmp(bytes, again, sizeof(again)) == 0);
		for (size_t len = 0; len <= sizeof(bytes); len++)
			CHECK_INT(pipe_message_parse(bytes, len, &m),
				len == PIPE_MESSAGE_BYTES ? 0 : RAMET_EPROTO);
		for (size_t at = 0; at < 8; at++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				bytes[at] ^= (unsigned char)(1u << bit);
				CHECK_INT(pipe_message_parse(bytes, PIPE_MESSAGE_BYTES, &m),
					RAMET_EPROTO);
				bytes[at] ^= (unsigned char)(1u << bit);
			}
		}
	}
}

SUITE_MAIN("pipe_wire", TEST(test_positions_never_wrap), TEST(test_full_and_empty_differ),
	TEST(test_messages_come_back))
