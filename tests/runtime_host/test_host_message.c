/* The host's msgpack: what it writes base/wire.h reads, and no bytes make it read beyond their end.
 */
#include "base/cleanup.h"
#include "base/wire.h"
#include "ramet/error.h"
#include "runtime/host/host_internal.h"
#include "runtime/host/message.h"
#include "runtime/host_proto.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 60000
#define LIMITS ((struct wire_limits){.bytes = 1u << 20, .depth = 8, .items = 256})

/* --- writing --- */

static void test_what_is_written_can_be_read(void)
{
	static const uint64_t values[] = {0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX,
		(uint64_t)UINT32_MAX + 1, UINT64_MAX};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		unsigned char bytes[64];
		struct message_writer w = {bytes, bytes + sizeof(bytes), false};
		message_map(&w, 2);
		message_kuint(&w, "number", values[i]);
		message_str(&w, "flag");
		message_bool(&w, true);
		CHECK(!w.full);
		struct message_reader r = {bytes, w.at};
		struct message_span key;
		uint32_t pairs = 0;
		uint64_t value = 0;
		bool flag = false;
		CHECK_INT(message_read_map(&r, &pairs), 0);
		CHECK_INT(pairs, 2);
		CHECK_INT(message_read_str(&r, &key), 0);
		CHECK(message_is(key, "number"));
		CHECK_INT(message_read_uint(&r, &value), 0);
		CHECK(value == values[i]);
		CHECK_INT(message_skip(&r), 0);
		CHECK_INT(message_read_bool(&r, &flag), 0);
		CHECK(flag);
		CHECK(r.at == r.end);
	}
}

static void test_full_writer_says_so_and_stays_in_bounds(void)
{
	for (size_t cap = 0; cap < 24; cap++) {
		unsigned char *bytes = malloc(cap ? cap : 1);
		struct message_writer w = {bytes, bytes + cap, false};
		message_map(&w, 1);
		message_str(&w, "text");
		message_text(&w, "0123456789abcdefg", 17, 100);
		CHECK_INT(w.full, cap < 1 + 5 + 18);
		CHECK(w.at <= bytes + cap);
		free(bytes);
	}
}

/* message_text()'s string as wire.h, which wants valid UTF-8 without NULs, reads it */
static void check_text(const char *text, size_t len, size_t max, const char *expected)
{
	unsigned char bytes[256];
	char got[128] = "";
	struct ramet_err err = {0};
	struct wire_msg *msg = NULL;
	struct message_writer w = {bytes, bytes + sizeof(bytes), false};
	message_map(&w, 1);
	message_str(&w, "x");
	message_text(&w, text, len, max);
	REQUIRE_OK(wire_parse(bytes, (size_t)(w.at - bytes), LIMITS, &msg, &err), &err);
	CHECK_INT(wire_get_str(wire_root(msg), "x", got, sizeof(got), &err), 0);
	CHECK_STR(got, expected);
	wire_free(msg);
}

static void test_broken_text_is_mended_and_cut_at_characters(void)
{
	check_text("h\xc3\xa9llo", 6, 100, "h\xc3\xa9llo");
	check_text("h\xc3\xa9llo", 6, 2, "h"); /* no half of a character */
	check_text("h\xc3\xa9llo", 6, 3, "h\xc3\xa9");
	check_text("a\0b", 3, 100, "a?b");
	check_text("\xff\xfe", 2, 100, "??");
	check_text("\xc3", 1, 100, "?"); /* cut short by its sender */
	check_text("\xe2\x82", 2, 100, "??");
	check_text("\xed\xa0\x80", 3, 100, "???"); /* a surrogate */
	check_text("\xc0\xaf", 2, 100, "??"); /* longer than needed */
	check_text("\xf4\x90\x80\x80", 4, 100, "????"); /* beyond Unicode */
	check_text("\xf0\x9f\x98\x80!", 5, 4, "\xf0\x9f\x98\x80");
	check_text("", 0, 100, "");
}

/* --- reading --- */

static void pack_call(struct buf *b)
{
	wire_map(b, 9);
	wire_kstr(b, "t", "call");
	wire_kuint(b, "id", 300);
	wire_kstr(b, "fn", "f");
	wire_kbin(b, "data", "\x01\x02", 2);
	wire_kbool(b, "binary", true);
	wire_kuint(b, "max_output", 70000);
	wire_kdouble(b, "later", 1.5); /* keys of a later version */
	wire_kint(b, "less", -70000);
	wire_key(b, "ctx");
	wire_map(b, 2);
	wire_kstr(b, "version", "abc");
	wire_kuint(b, "node", 1);
}

static void pack_load(struct buf *b)
{
	wire_map(b, 5);
	wire_kstr(b, "t", "load");
	wire_kstr(b, "dir", "/a");
	wire_key(b, "functions");
	wire_array(b, 1);
	wire_map(b, 2);
	wire_kstr(b, "name", "f");
	wire_kstr(b, "handler", "l.so:f");
	wire_key(b, "env");
	wire_map(b, 1);
	wire_kstr(b, "K", "V");
	wire_key(b, "nothing");
	wire_nil(b);
}

static void test_messages_of_rametd_are_understood(void)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct host_message m;
	pack_call(&b);
	CHECK_INT(host_message_parse(b.data, b.len, &m), 0);
	CHECK(message_is(m.type, "call") && message_is(m.function, "f"));
	CHECK_INT(m.id, 300);
	CHECK_INT(m.max_output, 70000);
	CHECK(m.binary);
	CHECK_INT(m.data.len, 2);
	CHECK(m.context.end - m.context.at == 1 + 8 + 4 + 5 + 1);
	buf_reset(&b);
	pack_load(&b);
	CHECK_INT(host_message_parse(b.data, b.len, &m), 0);
	CHECK(message_is(m.type, "load") && message_is(m.dir, "/a"));
	CHECK(m.functions.at < m.functions.end && m.env.at < m.env.end);
	CHECK_INT(m.max_output, HOST_MAX_PAYLOAD); /* where none is given */
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static bool within(const void *at, size_t len, const unsigned char *start, size_t size)
{
	uintptr_t from = (uintptr_t)at;
	return len == 0 || (from >= (uintptr_t)start && from + len <= (uintptr_t)start + size);
}

/* parses bytes that end where the memory ends, so that the sanitizer sees a step too far */
static void parse_copy(const unsigned char *data, size_t len, unsigned *io_accepted)
{
	unsigned char *copy = malloc(len ? len : 1);
	struct host_message m;
	memcpy(copy, data, len);
	int rc = host_message_parse(copy, len, &m);
	if (rc == 0) {
		(*io_accepted)++;
		bool inside = within(m.type.data, m.type.len, copy, len) &&
			within(m.function.data, m.function.len, copy, len) &&
			within(m.data.data, m.data.len, copy, len) &&
			within(m.dir.data, m.dir.len, copy, len) &&
			within(m.context.at, (size_t)(m.context.end - m.context.at), copy, len) &&
			within(m.env.at, (size_t)(m.env.end - m.env.at), copy, len);
		if (!inside)
			CHECK(inside);
	} else if (rc != RAMET_EPROTO) {
		CHECK_INT(rc, RAMET_EPROTO);
	}
	free(copy);
}

static void test_damaged_messages_are_read_within_bounds(void)
{
	CLEANUP(buf_fini) struct buf call = {0};
	CLEANUP(buf_fini) struct buf load = {0};
	unsigned accepted = 0;
	uint32_t state = 0x2545f491;
	pack_call(&call);
	pack_load(&load);
	for (unsigned i = 0; i < ROUNDS; i++) {
		const struct buf *from = i & 1 ? &call : &load;
		unsigned char bytes[256];
		size_t len = from->len;
		memcpy(bytes, from->data, len);
		for (unsigned n = next_random(&state) % 4; n > 0; n--)
			bytes[next_random(&state) % len] = (unsigned char)next_random(&state);
		if (next_random(&state) % 4 == 0)
			len = next_random(&state) % (len + 1);
		parse_copy(bytes, len, &accepted);
	}
	CHECK(accepted > 0 && accepted < ROUNDS);
}

static void test_counts_nobody_could_send_end_at_once(void)
{
	static const unsigned char map[] = {0x81, 0xa1, 'x', 0xdf, 0xff, 0xff, 0xff, 0xff};
	static const unsigned char array[] = {0x81, 0xa1, 'x', 0xdd, 0xff, 0xff, 0xff, 0xff, 0x01};
	static const unsigned char text[] = {0x81, 0xa1, 'x', 0xdb, 0xff, 0xff, 0xff, 0xff};
	static const unsigned char ext[] = {0x81, 0xa1, 'x', 0xc9, 0xff, 0xff, 0xff, 0xff, 0};
	unsigned char nested[4096];
	unsigned accepted = 0;
	memset(nested, 0x91, sizeof(nested)); /* arrays in arrays: no recursion */
	memcpy(nested, map, 3);
	nested[sizeof(nested) - 1] = 0xc0;
	parse_copy(map, sizeof(map), &accepted);
	parse_copy(array, sizeof(array), &accepted);
	parse_copy(text, sizeof(text), &accepted);
	parse_copy(ext, sizeof(ext), &accepted);
	CHECK_INT(accepted, 0);
	parse_copy(nested, sizeof(nested), &accepted);
	CHECK_INT(accepted, 1);
}

SUITE_MAIN("host_message", TEST(test_what_is_written_can_be_read),
	TEST(test_full_writer_says_so_and_stays_in_bounds),
	TEST(test_broken_text_is_mended_and_cut_at_characters),
	TEST(test_messages_of_rametd_are_understood),
	TEST(test_damaged_messages_are_read_within_bounds),
	TEST(test_counts_nobody_could_send_end_at_once))
