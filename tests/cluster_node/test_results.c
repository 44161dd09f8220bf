/* Results of calls as bytes: there and back, bounded, and with any byte changed. */
#include "cluster/calls_result.h"

#include "base/cleanup.h"
#include "cluster/client_proto.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

#define LIMITS ((struct wire_limits){.bytes = 1u << 20, .depth = 6, .items = 256})

static struct call_result sample(void)
{
	struct call_result r = {
		.id = "1-2-abc",
		.function = "f",
		.version = "v",
		.node = 3,
		.instance = 4,
		.pid = 5,
		.start = START_REMOTE_FORK,
		.source_node = 6,
		.rank = 7,
		.size = 8,
		.binary = true,
		.output = "bytes",
		.output_len = 5,
		.ns = {1, 2, 3, 4, 5},
	};
	return r;
}

static int there_and_back(
	const struct call_result *from, struct call_result *to, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct wire_msg *msg = NULL;
	call_result_pack(from, &b);
	int rc = wire_end(&b, err);
	if (rc == 0)
		rc = wire_parse(b.data, b.len, LIMITS, &msg, err);
	if (rc < 0)
		return rc;
	rc = call_result_parse(wire_root(msg), to, err);
	wire_free(msg);
	return rc;
}

static void test_a_result_survives_the_wire(void)
{
	struct call_result from = sample();
	struct call_result to = {0};
	struct ramet_err err = {0};
	REQUIRE_OK(there_and_back(&from, &to, &err), &err);
	CHECK_STR(to.id, "1-2-abc");
	CHECK_STR(to.function, "f");
	CHECK_STR(to.version, "v");
	CHECK_INT(to.node, 3);
	CHECK_INT(to.instance, 4);
	CHECK_INT(to.pid, 5);
	CHECK_INT(to.start, START_REMOTE_FORK);
	CHECK_INT(to.source_node, 6);
	CHECK_INT(to.rank, 7);
	CHECK_INT(to.size, 8);
	CHECK(to.binary);
	CHECK(to.output_len == 5 && memcmp(to.output, "bytes", 5) == 0);
	CHECK(memcmp(&to.ns, &from.ns, sizeof(to.ns)) == 0);
	CHECK_INT(to.error.err.code, 0);
	call_result_fini(&to);
}

static void test_an_error_survives_the_wire(void)
{
	struct call_result from = sample();
	struct call_result to = {0};
	struct ramet_err err = {0};
	char tail[] = "last words";
	char message[2000];
	memset(message, 'm', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	err_set(&from.error.err, RAMET_ECRASH, "short");
	from.error.message = message; /* longer than what ramet_err holds */
	from.error.type = (char *)"T";
	from.error.traceback = (char *)"tb";
	from.error.signal = 11;
	from.error.fault_address = 0x1234;
	from.error.node = 2;
	from.error.retryable = true;
	from.error.log_tail = tail;
	from.error.log_tail_len = strlen(tail);
	REQUIRE_OK(there_and_back(&from, &to, &err), &err);
	CHECK_INT(to.error.err.code, RAMET_ECRASH);
	CHECK_STR(call_error_message(&to.error), message);
	CHECK_STR(to.error.type, "T");
	CHECK_STR(to.error.traceback, "tb");
	CHECK_STR(to.error.kind, "user");
	CHECK_INT(to.error.signal, 11);
	CHECK_INT(to.error.fault_address, 0x1234);
	CHECK_INT(to.error.node, 2);
	CHECK(to.error.retryable);
	CHECK(to.error.log_tail_len == strlen(tail) &&
		memcmp(to.error.log_tail, tail, strlen(tail)) == 0);
	call_result_fini(&to);
}

static void test_long_texts_are_cut_between_characters(void)
{
	struct call_result from = sample();
	struct call_result to = {0};
	struct ramet_err err = {0};
	size_t len = CLIENT_ERROR_MAX + 10;
	auto_free char *text = malloc(len + 1);
	text[0] = 'x'; /* then two bytes each */
	for (size_t i = 1; i + 1 < len; i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	text[len - 1] = '\0';
	err_set(&from.error.err, RAMET_EUSER, "e");
	from.error.traceback = text;
	REQUIRE_OK(there_and_back(&from, &to, &err), &err);
	CHECK_INT(strlen(to.error.traceback), CLIENT_ERROR_MAX - 1);
	call_result_fini(&to);
}

static void test_any_byte_may_be_wrong(void)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct call_result from = sample();
	unsigned refused = 0;
	err_set(&from.error.err, RAMET_EUSER, "e");
	call_result_pack(&from, &b);
	REQUIRE(wire_end(&b, NULL) == 0);
	for (size_t at = 0; at < b.len; at++) {
		for (unsigned flip = 1; flip < 256; flip <<= 1) {
			struct wire_msg *msg = NULL;
			struct call_result to = {0};
			b.data[at] ^= (unsigned char)flip;
			int rc = wire_parse(b.data, b.len, LIMITS, &msg, NULL);
			if (rc == 0)
				rc = call_result_parse(wire_root(msg), &to, NULL);
			if (rc == 0)
				call_result_fini(&to);
			refused += rc < 0;
			wire_free(msg);
			b.data[at] ^= (unsigned char)flip;
		}
	}
	CHECK(refused > b.len); /* keys and types are checked */
}

SUITE_MAIN("results of calls", TEST(test_a_result_survives_the_wire),
	TEST(test_an_error_survives_the_wire), TEST(test_long_texts_are_cut_between_characters),
	TEST(test_any_byte_may_be_wrong))
