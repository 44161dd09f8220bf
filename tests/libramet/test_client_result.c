/* Decoding what rametd sends: results, failures, and everything that they must not be. */
#include "base/err.h"
#include "cluster/client_proto.h"
#include "libramet/message.h"
#include "libramet/result.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

static struct message *message_of(struct buf *b)
{
	struct message *message = NULL;
	struct ramet_err err = {0};
	if (wire_end(b, &err) < 0 || message_parse(b->data, b->len, &message, &err) < 0)
		printf("  %s\n", err.msg);
	buf_fini(b);
	return message;
}

static void test_result(void)
{
	struct buf b = {0};
	struct ramet_err err = {0};
	struct ramet_result *r = NULL;
	message_begin(&b, "result", 9, 10);
	wire_kstr(&b, "function", "f");
	wire_kstr(&b, "version", "abc");
	wire_kuint(&b, "node", 2);
	wire_kuint(&b, "pid", 77);
	wire_kuint(&b, "rank", 3);
	wire_kuint(&b, "size", 8);
	wire_kstr(&b, "start", "local-fork");
	wire_kbin(&b, "output", "\0x", 2);
	wire_kbool(&b, "binary", true);
	wire_key(&b, "ns");
	wire_map(&b, 1);
	wire_kuint(&b, "run", 1500);
	struct message *m = message_of(&b);
	REQUIRE(m != NULL);
	CHECK_INT(m->req, 9);
	REQUIRE_OK(result_parse(m, "other", &r, &err), &err);
	message_free(m); /* the result stands on its own */
	CHECK_STR(r->function, "f");
	CHECK_STR(r->version, "abc");
	CHECK_STR(r->call, "");
	CHECK_INT(r->node, 2);
	CHECK_INT(r->pid, 77);
	CHECK_INT(r->rank, 3);
	CHECK_INT(r->group, 8);
	CHECK_INT(r->start, RAMET_START_LOCAL_FORK);
	CHECK_INT(r->output_len, 2);
	CHECK(memcmp(r->output, "\0x", 3) == 0);
	CHECK_INT(r->binary, 1);
	CHECK(r->run_us == 1.5 && r->total_us == 0);
	CHECK(r->failure == NULL);
	CHECK_INT(result_status(r, &err), 0);
	ramet_result_free(r);
}

static void test_error_without_kind(void)
{
	static const struct {
		const char *code;
		enum ramet_kind kind;
	} cases[] = {
		{"EUSER", RAMET_KIND_USER},
		{"EDEADLINE", RAMET_KIND_LIMIT},
		{"ELOST", RAMET_KIND_SYSTEM},
		{"ENOTFOUND", RAMET_KIND_REFUSED},
		{"ENEWCODE", RAMET_KIND_SYSTEM}, /* of a later version */
		{"OK", RAMET_KIND_SYSTEM},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = {0};
		struct ramet_err err = {0};
		struct ramet_result *r = NULL;
		message_begin(&b, "error", 1, 1);
		wire_key(&b, "error");
		wire_map(&b, 1);
		wire_kstr(&b, "code", cases[i].code);
		struct message *m = message_of(&b);
		REQUIRE(m != NULL);
		REQUIRE_OK(result_parse(m, "f", &r, &err), &err);
		CHECK_STR(r->function, "f");
		REQUIRE(r->failure != NULL);
		CHECK_INT(r->failure->kind, cases[i].kind);
		CHECK(result_status(r, &err) < 0);
		CHECK(err.msg[0] != '\0');
		ramet_result_free(r);
		message_free(m);
	}
}

static void check_refused(struct buf *b)
{
	struct ramet_err err = {0};
	struct ramet_result *r = NULL;
	struct message *m = message_of(b);
	REQUIRE(m != NULL);
	CHECK_INT(result_parse(m, "f", &r, &err), RAMET_EPROTO);
	CHECK(r == NULL);
	message_free(m);
}

static void test_wrong_fields(void)
{
	struct buf b = {0};
	message_begin(&b, "result", 1, 1);
	wire_kstr(&b, "node", "two");
	check_refused(&b);
	message_begin(&b, "result", 1, 1);
	wire_kuint(&b, "pid", 1ull << 40);
	check_refused(&b);
	message_begin(&b, "result", 1, 2);
	wire_kuint(&b, "node", 1);
	wire_kstr(&b, "start", "magic");
	check_refused(&b);
	message_begin(&b, "result", 1, 1);
	wire_kstr(&b, "output", "text");
	check_refused(&b);
	message_begin(&b, "result", 1, 1);
	wire_kstr(&b, "error", "bad");
	check_refused(&b);
	message_begin(&b, "error", 1, 0);
	check_refused(&b);
	message_begin(&b, "error", 1, 1);
	wire_key(&b, "error");
	wire_map(&b, 2);
	wire_kstr(&b, "code", "EUSER");
	wire_kstr(&b, "kind", "cosmic");
	check_refused(&b);
}

static void test_no_message(void)
{
	static const char *const bad[] = {"", "\xc1", "\x80", "\x93\x01\x02\x03", "\x81\xa1t\xa1x",
		"\x82\xa1t\x01\xa3req\x01", "\x82\xa1t\xa1x\xa3req\xff", "\xdf\xff\xff\xff\xff",
		"\x82\xa1t\xb4ghijklmnopqrstuvwxyz\xa3req\x01"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct message *m = NULL;
		struct ramet_err err = {0};
		CHECK(message_parse(bad[i], strlen(bad[i]), &m, &err) < 0);
		CHECK(m == NULL && err.code < 0);
	}
}

/* a good message with every single byte changed: either decoded or refused, never worse */
static void test_flipped_bytes(void)
{
	struct buf b = {0};
	message_begin(&b, "result", 1, 4);
	wire_kstr(&b, "function", "f");
	wire_kstr(&b, "start", "cold");
	wire_kbin(&b, "output", "abc", 3);
	wire_key(&b, "error");
	wire_map(&b, 2);
	wire_kstr(&b, "code", "EUSER");
	wire_kstr(&b, "traceback", "line\n");
	REQUIRE(wire_end(&b, NULL) == 0);
	unsigned decoded = 0;
	for (size_t at = 0; at < b.len * 255; at++) {
		struct message *m = NULL;
		struct ramet_result *r = NULL;
		unsigned char kept = b.data[at / 255];
		b.data[at / 255] = (unsigned char)(kept + 1 + at % 255);
		if (message_parse(b.data, b.len, &m, NULL) == 0 &&
			result_parse(m, "f", &r, NULL) == 0)
			decoded++;
		ramet_result_free(r);
		message_free(m);
		b.data[at / 255] = kept;
	}
	CHECK(decoded > 0 && decoded < b.len * 255);
	buf_fini(&b);
}

static void test_words(void)
{
	CHECK_STR(ramet_start_name(RAMET_START_REMOTE_FORK), "remote-fork");
	CHECK_STR(ramet_start_name((enum ramet_start)99), "");
	CHECK_STR(ramet_kind_name(RAMET_KIND_REFUSED), "refused");
	CHECK_STR(ramet_error_name(RAMET_ENOTFOUND), "ENOTFOUND");
	CHECK(strlen(ramet_error_text(RAMET_ELOST)) > 5);
	CHECK(strchr(ramet_version(), '.') != NULL);
}

SUITE_MAIN("client_result", TEST(test_result), TEST(test_error_without_kind),
	TEST(test_wrong_fields), TEST(test_no_message), TEST(test_flipped_bytes), TEST(test_words))
