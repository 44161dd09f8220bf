/* base/wire: what is packed is read back, and nothing that a peer may send does harm. */
#include "base/cleanup.h"
#include "base/wire.h"
#include "tests/lib/suite.h"

#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void cleanup_buf(struct buf *b)
{
	buf_fini(b);
}
#define auto_buf CLEANUP(cleanup_buf)

DEFINE_CLEANUP(struct wire_msg, wire_free)
#define auto_msg AUTO(wire_free)

static struct wire_msg *parse(const struct buf *b)
{
	struct wire_msg *msg = NULL;
	struct ramet_err err = {0};
	int rc = wire_parse(b->data, b->len, WIRE_LIMITS_CONTROL, &msg, &err);
	suite_check_ok(rc, &err, "wire_parse", __FILE__, __LINE__);
	return msg;
}

static int parse_bytes(const void *data, size_t len, struct ramet_err *err)
{
	struct wire_msg *msg = NULL;
	int rc = wire_parse(data, len, WIRE_LIMITS_CONTROL, &msg, err);
	wire_free(msg);
	return rc;
}

/* --- buffers --- */

static void test_buffer_grows_and_is_stolen(void)
{
	struct buf b = {0};
	size_t len;
	for (unsigned i = 0; i < 1000; i++)
		buf_append(&b, &(uint16_t){(uint16_t)i}, 2);
	CHECK_INT(b.len, 2000);
	buf_append(&b, NULL, 0);
	auto_free unsigned char *data = buf_steal(&b, &len);
	CHECK_INT(len, 2000);
	CHECK_INT(data[1998] | data[1999] << 8, 999);
	CHECK(b.data == NULL && b.len == 0);
	buf_fini(&b);
}

static void test_buffer_out_of_memory_is_told_once_at_the_end(void)
{
	struct buf b = {0};
	struct ramet_err err = {0};
	wire_kuint(&b, "a", 1);
	CHECK(buf_extend(&b, SIZE_MAX / 2 + 1) == NULL);
	CHECK(b.oom);
	size_t len = b.len;
	wire_kuint(&b, "b", 1);
	CHECK_INT(b.len, len);
	CHECK_INT(wire_end(&b, &err), RAMET_ENOMEM);
	buf_reset(&b);
	wire_nil(&b);
	CHECK_INT(wire_end(&b, &err), 0);
	buf_fini(&b);
}

/* --- round trips --- */

static void test_every_type_comes_back(void)
{
	auto_buf struct buf b = {0};
	wire_map(&b, 12);
	wire_kuint(&b, "max", UINT64_MAX);
	wire_kint(&b, "min", INT64_MIN);
	wire_kint(&b, "pos", 5);
	wire_kbool(&b, "yes", true);
	wire_kbool(&b, "no", false);
	wire_kdouble(&b, "pi", 3.25);
	wire_kstr(&b, "text", "p\xc3\xa4ng");
	wire_kstr(&b, "none", NULL);
	wire_kbin(&b, "bin", "\0\1\2", 3);
	wire_key(&b, "list");
	wire_array(&b, 2);
	wire_uint(&b, 7);
	wire_str(&b, "eight");
	wire_key(&b, "map");
	wire_map(&b, 0);
	wire_kstr(&b, "empty", "");
	CHECK_INT(wire_end(&b, NULL), 0);

	auto_msg struct wire_msg *msg = parse(&b);
	REQUIRE(msg != NULL);
	const struct wire_value *root = wire_root(msg), *v;
	struct ramet_err err = {0};
	uint64_t u = 0;
	int64_t i = 0;
	bool yes = false, no = true;
	double d = 0;
	char text[16];
	const void *bin;
	const char *span;
	size_t len;
	uint32_t count;
	CHECK_INT(wire_get_uint(root, "max", UINT64_MAX, &u, &err), 0);
	CHECK(u == UINT64_MAX);
	CHECK_INT(wire_get_int(root, "min", &i, &err), 0);
	CHECK(i == INT64_MIN);
	CHECK_INT(wire_get_int(root, "pos", &i, &err), 0);
	CHECK_INT(i, 5);
	CHECK_INT(wire_get_bool_or(root, "yes", false, &yes, &err), 0);
	CHECK_INT(wire_get_bool_or(root, "no", true, &no, &err), 0);
	CHECK(yes && !no);
	CHECK_INT(wire_get_double_or(root, "pi", 0, &d, &err), 0);
	CHECK(d == 3.25);
	CHECK_INT(wire_get_double_or(root, "pos", 0, &d, &err), 0);
	CHECK(d == 5.0);
	CHECK_INT(wire_get_str(root, "text", text, sizeof(text), &err), 0);
	CHECK_STR(text, "p\xc3\xa4ng");
	CHECK_INT(wire_get_str(root, "empty", text, 1, &err), 0);
	CHECK_STR(text, "");
	CHECK_INT(wire_get_bin(root, "bin", &bin, &len, &err), 0);
	CHECK(len == 3 && memcmp(bin, "\0\1\2", 3) == 0);
	CHECK_INT(wire_get_array(root, "list", &v, &count, &err), 0);
	CHECK_INT(count, 2);
	CHECK_INT(wire_as_uint(wire_at(v, 0), 10, &u, &err), 0);
	CHECK_INT(u, 7);
	CHECK_INT(wire_as_span(wire_at(v, 1), &span, &len, &err), 0);
	CHECK(len == 5 && memcmp(span, "eight", 5) == 0);
	CHECK(wire_at(v, 2) == NULL);
	CHECK_INT(wire_as_uint(wire_at(v, 2), 10, &u, &err), RAMET_EPROTO);
	CHECK_INT(wire_get_map(root, "map", &v, &err), 0);
	CHECK(wire_is_map(v));
	CHECK(wire_has(root, "max") && !wire_has(root, "none") && !wire_has(root, "nix"));
}

static void test_missing_and_wrong_keys_are_named(void)
{
	auto_buf struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "name", "x");
	wire_kuint(&b, "n", 300);
	auto_msg struct wire_msg *msg = parse(&b);
	REQUIRE(msg != NULL);
	const struct wire_value *root = wire_root(msg);
	struct ramet_err err = {0};
	uint64_t u = 99;
	int64_t i = 99;
	bool yes;
	CHECK_INT(wire_get_uint(root, "count", 1, &u, &err), RAMET_EPROTO);
	CHECK_STR(err.msg, "message lacks \"count\"");
	CHECK_INT(wire_get_uint(root, "name", 1, &u, &err), RAMET_EPROTO);
	CHECK_STR(err.msg, "message's \"name\" is not an unsigned integer");
	CHECK_INT(wire_get_uint(root, "n", 255, &u, &err), RAMET_EPROTO);
	CHECK_STR(err.msg, "message's \"n\" is 300, more than 255");
	CHECK_INT(wire_get_uint_or(root, "name", 9, 4, &u, &err), RAMET_EPROTO);
	CHECK_INT(u, 99);
	CHECK_INT(wire_get_uint_or(root, "count", 9, 4, &u, &err), 0);
	CHECK_INT(u, 4);
	CHECK_INT(wire_get_int(root, "name", &i, &err), RAMET_EPROTO);
	CHECK_INT(wire_get_bool_or(root, "n", false, &yes, &err), RAMET_EPROTO);
	char small[1];
	CHECK_INT(wire_get_str(root, "name", small, sizeof(small), &err), RAMET_EPROTO);
	CHECK_STR(err.msg, "message's \"name\" is longer than 0 bytes");
	CHECK_INT(wire_get_uint(wire_at(root, 0), "n", 1, &u, &err), RAMET_EPROTO);
	CHECK_INT(wire_get_uint(NULL, "n", 1, &u, &err), RAMET_EPROTO);
}

static void test_numbers_beyond_a_signed_integer_are_refused(void)
{
	auto_buf struct buf b = {0};
	wire_map(&b, 2);
	wire_kuint(&b, "big", (uint64_t)INT64_MAX + 1);
	wire_kint(&b, "neg", -1);
	auto_msg struct wire_msg *msg = parse(&b);
	REQUIRE(msg != NULL);
	int64_t i;
	uint64_t u;
	CHECK_INT(wire_get_int(wire_root(msg), "big", &i, NULL), RAMET_EPROTO);
	CHECK_INT(wire_get_uint(wire_root(msg), "neg", UINT64_MAX, &u, NULL), RAMET_EPROTO);
}

static void test_strings_are_text(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool text;
	} cases[] = {
		{"plain", 5, true},
		{"a\0b", 3, false},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\xb4", 9, true},
		{"\xc3", 1, false},
		{"\xc0\xaf", 2, false},
		{"\xe0\x80\xaf", 3, false},
		{"\xed\xa0\x80", 3, false}, /* a surrogate */
		{"\xf4\x90\x80\x80", 4, false},
		{"\xf0\x80\x80\x80", 4, false},
		{"\xff", 1, false},
		{"\x80", 1, false},
		{"\xe2\x82", 2, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf b = {0};
		char text[16];
		wire_map(&b, 1);
		wire_key(&b, "s");
		wire_strn(&b, cases[i].bytes, cases[i].len);
		auto_msg struct wire_msg *msg = parse(&b);
		REQUIRE(msg != NULL);
		CHECK_INT(wire_get_str(wire_root(msg), "s", text, sizeof(text), NULL),
			cases[i].text ? 0 : RAMET_EPROTO);
	}
}

static void test_errors_travel(void)
{
	auto_buf struct buf b = {0};
	struct ramet_err sent = {0}, got = {0}, err = {0};
	err_set(&sent, RAMET_EREVOKED, "segment 7 was removed");
	sent.sys = 13;
	wire_map(&b, 2);
	wire_key(&b, "error");
	wire_err(&b, &sent);
	wire_kstr(&b, "no", "map");
	auto_msg struct wire_msg *msg = parse(&b);
	REQUIRE(msg != NULL);
	CHECK_INT(wire_get_err(wire_root(msg), "error", &got, &err), 0);
	CHECK_INT(got.code, RAMET_EREVOKED);
	CHECK_INT(got.sys, 13);
	CHECK_STR(got.msg, sent.msg);
	CHECK_INT(wire_get_err(wire_root(msg), "no", &got, &err), RAMET_EPROTO);
	CHECK_INT(got.code, RAMET_EREVOKED);
}

static void test_errors_that_quote_no_text_travel(void)
{
	static const char *const cases[][2] = {
		{"open /a\xff\xc3", "open /a??"},
		{"\xc3\xa4\xe2\x82 x", "\xc3\xa4?? x"},
		{"\xf0\x9f\x8d\xb4\x80", "\xf0\x9f\x8d\xb4?"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf b = {0};
		struct ramet_err sent = {0}, got = {0}, err = {0};
		err_set(&sent, RAMET_EIO, "%s", cases[i][0]);
		wire_map(&b, 1);
		wire_key(&b, "error");
		wire_err(&b, &sent);
		auto_msg struct wire_msg *msg = parse(&b);
		REQUIRE(msg != NULL);
		REQUIRE_OK(wire_get_err(wire_root(msg), "error", &got, &err), &err);
		CHECK_STR(got.msg, cases[i][1]);
	}
}

static void test_pairs_are_iterated(void)
{
	auto_buf struct buf b = {0};
	wire_map(&b, 2);
	wire_kuint(&b, "one", 1);
	wire_kuint(&b, "two", 2);
	auto_msg struct wire_msg *msg = parse(&b);
	REQUIRE(msg != NULL);
	const char *key;
	size_t len;
	const struct wire_value *v;
	uint64_t u = 0;
	CHECK(wire_pair(wire_root(msg), 1, &key, &len, &v));
	CHECK(len == 3 && memcmp(key, "two", 3) == 0);
	CHECK_INT(wire_as_uint(v, 9, &u, NULL), 0);
	CHECK_INT(u, 2);
	CHECK(!wire_pair(wire_root(msg), 2, &key, &len, &v));
	CHECK(!wire_pair(v, 0, &key, &len, &v));
}

/* --- what a peer may send --- */

static void test_malformed_messages_are_refused(void)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{"", 0},
		{"\xc1", 1}, /* never used */
		{"\xc7\x01\x05x", 4}, /* ext */
		{"\xd4\x05x", 3}, /* fixext */
		{"\x81\xa1k", 3}, /* no value */
		{"\x81", 1}, /* no key */
		{"\x81\x01\x01", 3}, /* key is a number */
		{"\x81\xc4\x01k\x01", 5}, /* key is binary */
		{"\x81\xa1\xff\x01", 4}, /* key is not UTF-8 */
		{"\x81\xa1\x00\x01", 4}, /* key has a NUL */
		{"\x80\x80", 2}, /* stray bytes */
		{"\xda\xff\xff"
		 "x",
			4}, /* longer than there are bytes */
		{"\xdb\xff\xff\xff\xff"
		 "x",
			6},
		{"\xc6\xff\xff\xff\xff"
		 "x",
			6},
		{"\xcf\x00\x00", 3},
		{"\xd9", 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ramet_err err = {0};
		CHECK_INT(parse_bytes(cases[i].bytes, cases[i].len, &err), RAMET_EPROTO);
		CHECK(err.msg[0]);
	}
}

static void test_limits(void)
{
	struct ramet_err err = {0};
	unsigned char deep[40];
	memset(deep, 0x91, sizeof(deep));
	deep[8] = 0x01;
	CHECK_INT(parse_bytes(deep, 9, &err), 0);
	deep[8] = 0x91;
	deep[9] = 0x01;
	CHECK_INT(parse_bytes(deep, 10, &err), RAMET_ELIMIT);
	CHECK_INT(parse_bytes("\xdf\xff\xff\xff\xff", 5, &err), RAMET_ELIMIT);
	CHECK_INT(parse_bytes("\xdd\x00\x01\x00\x01", 5, &err), RAMET_ELIMIT);
	CHECK_INT(parse_bytes("\xdd\x00\x01\x00\x00", 5, &err),
		RAMET_EPROTO); /* allowed, but not there */

	auto_buf struct buf b = {0};
	void *big = buf_extend(&b, (1u << 20) + 1);
	REQUIRE(big != NULL);
	memset(big, 0xc0, b.len);
	CHECK_INT(parse_bytes(b.data, b.len, &err), RAMET_ELIMIT);
	memset(deep, 0x91, sizeof(deep));
	deep[39] = 0xc0;
	struct wire_msg *msg = NULL;
	struct wire_limits limits = {.bytes = 100, .depth = 1000, .items = 1000};
	CHECK_INT(wire_parse(deep, sizeof(deep), limits, &msg, &err), RAMET_ELIMIT);
	CHECK_INT(
		wire_parse(deep + 8, 32, limits, &msg, &err), 0); /* as deep as the unpacker goes */
	wire_free(msg);
	CHECK(msg != NULL);
}

static void sample(struct buf *b)
{
	wire_map(b, 6);
	wire_kstr(b, "t", "call");
	wire_kuint(b, "id", 1234567890123);
	wire_kint(b, "x", -70000);
	wire_kdouble(b, "d", DBL_MAX);
	wire_key(b, "list");
	wire_array(b, 3);
	wire_bool(b, true);
	wire_nil(b);
	wire_map(b, 1);
	wire_kbin(b, "raw", "0123456789", 10);
	wire_key(b, "long");
	char text[300];
	memset(text, 'y', sizeof(text));
	wire_strn(b, text, sizeof(text));
}

static void touch_all(const struct wire_value *v)
{
	struct ramet_err err = {0};
	char text[64];
	uint64_t u;
	bool flag;
	const struct wire_value *list;
	uint32_t count;
	wire_get_str(v, "t", text, sizeof(text), &err);
	wire_get_uint(v, "id", 1u << 20, &u, &err);
	wire_get_bool_or(v, "x", true, &flag, &err);
	if (wire_get_array(v, "list", &list, &count, &err) == 0)
		for (uint32_t i = 0; i < count; i++)
			wire_get_str_or(wire_at(list, i), "raw", "", text, sizeof(text), &err);
}

static void test_every_truncation_is_refused(void)
{
	auto_buf struct buf b = {0};
	sample(&b);
	CHECK_INT(parse_bytes(b.data, b.len, NULL), 0);
	for (size_t len = 0; len < b.len; len++) {
		auto_free unsigned char *exact =
			malloc(len ? len : 1); /* so that ASan sees a read beyond */
		REQUIRE(exact != NULL);
		memcpy(exact, b.data, len);
		CHECK_INT(parse_bytes(exact, len, NULL), RAMET_EPROTO);
	}
}

static void test_mutations_do_no_harm(void)
{
	auto_buf struct buf b = {0};
	sample(&b);
	unsigned x = 42, accepted = 0;
	for (unsigned round = 0; round < 20000; round++) {
		unsigned char m[512];
		memcpy(m, b.data, b.len);
		for (unsigned k = 0; k <= round % 3; k++) {
			x = x * 1103515245 + 12345;
			m[(x >> 8) % b.len] = (unsigned char)(x >> 24);
		}
		struct wire_msg *msg = NULL;
		struct ramet_err err = {0};
		int rc = wire_parse(m, b.len, WIRE_LIMITS_CONTROL, &msg, &err);
		if (rc == 0) {
			touch_all(wire_root(msg));
			accepted++;
		} else {
			/* the unpacker agrees with the scan about what is well-formed */
			CHECK(strcmp(err.msg, "message is not msgpack") != 0);
		}
		wire_free(msg);
	}
	CHECK(accepted > 1000 && accepted < 19000);
}

SUITE_MAIN("wire", TEST(test_buffer_grows_and_is_stolen),
	TEST(test_buffer_out_of_memory_is_told_once_at_the_end), TEST(test_every_type_comes_back),
	TEST(test_missing_and_wrong_keys_are_named),
	TEST(test_numbers_beyond_a_signed_integer_are_refused), TEST(test_strings_are_text),
	TEST(test_errors_travel), TEST(test_errors_that_quote_no_text_travel),
	TEST(test_pairs_are_iterated), TEST(test_malformed_messages_are_refused), TEST(test_limits),
	TEST(test_every_truncation_is_refused), TEST(test_mutations_do_no_harm))
