/* base/err: what errors say, and that no message is too long or loses its code. */
#include "base/err.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <string.h>

static void test_set_returns_and_stores_code(void)
{
	struct ramet_err err = {.sys = 7};
	CHECK_INT(err_set(&err, RAMET_EPERM, "open %s", "x"), RAMET_EPERM);
	CHECK_INT(err.code, RAMET_EPERM);
	CHECK_INT(err.sys, 0);
	CHECK_STR(err.msg, "open x");
	CHECK_INT(err_set(NULL, RAMET_EPERM, "nobody listens"), RAMET_EPERM);
	CHECK_INT(err_errno(NULL, RAMET_EIO, "nobody listens"), RAMET_EIO);
}

static void test_errno_is_kept_and_told(void)
{
	struct ramet_err err = {0};
	errno = ENOENT;
	CHECK_INT(err_errno(&err, RAMET_EIO, "open %s", "/x"), RAMET_EIO);
	CHECK_INT(err.sys, ENOENT);
	CHECK_STR(err.msg, "open /x: No such file or directory");
	CHECK_INT(errno, ENOENT);
	errno = 4000;
	err_errno(&err, RAMET_EIO, "open");
	CHECK_STR(err.msg, "open: errno 4000");
}

static void test_prefix_keeps_code_and_errno(void)
{
	struct ramet_err err = {0};
	errno = EPERM;
	err_errno(&err, RAMET_EIO, "read");
	CHECK_INT(err_prefix(&err, "seed %d", 3), RAMET_EIO);
	CHECK_STR(err.msg, "seed 3: read: Operation not permitted");
	CHECK_INT(err.sys, EPERM);
}

static void test_long_messages_end_at_a_whole_character(void)
{
	struct ramet_err err = {0};
	char text[2 * RAMET_ERR_MSG];
	for (unsigned shift = 0; shift < 4; shift++) {
		memset(text, 'a', sizeof(text));
		for (size_t i = shift; i + 4 < sizeof(text); i += 4)
			memcpy(text + i, "\xf0\x9f\x8d\xb4", 4);
		text[sizeof(text) - 1] = '\0';
		err_set(&err, RAMET_EINVAL, "%s", text);
		CHECK_INT((strlen(err.msg) - shift) % 4, 0);
		CHECK(strlen(err.msg) > RAMET_ERR_MSG - 6);
	}
	memset(text, 'b', sizeof(text));
	text[RAMET_ERR_MSG - 1] = '\0';
	err_set(&err, RAMET_EINVAL, "%s", text);
	CHECK_INT(strlen(err.msg), RAMET_ERR_MSG - 1);
	err_prefix(&err, "where");
	CHECK_INT(strlen(err.msg), RAMET_ERR_MSG - 1);
	CHECK(strncmp(err.msg, "where: bbb", 10) == 0);
}

static void test_codes_have_names_and_back(void)
{
	CHECK_STR(err_name(RAMET_ENOTFOUND), "ENOTFOUND");
	CHECK_STR(err_name(0), "OK");
	CHECK_STR(err_name(-9999), "EINTERNAL");
	CHECK_STR(err_text(RAMET_ENOTFOUND), "no such function, seed, node or object");
	CHECK_INT(err_from_name("nonsense"), RAMET_EINTERNAL);
	CHECK_INT(err_from_name(NULL), RAMET_EINTERNAL);
#define ROUND_TRIP(name, number, text) CHECK_INT(err_from_name(err_name(RAMET_##name)), -(number));
	RAMET_ERRORS(ROUND_TRIP)
#undef ROUND_TRIP
}

static void test_copy_and_clear(void)
{
	struct ramet_err a = {0}, b = {0};
	err_set(&a, RAMET_ELIMIT, "too much");
	err_copy(&b, &a);
	CHECK_INT(b.code, RAMET_ELIMIT);
	CHECK_STR(b.msg, "too much");
	err_copy(NULL, &a);
	err_clear(&b);
	CHECK_INT(b.code, 0);
	CHECK_STR(b.msg, "");
}

SUITE_MAIN("err", TEST(test_set_returns_and_stores_code), TEST(test_errno_is_kept_and_told),
	TEST(test_prefix_keeps_code_and_errno), TEST(test_long_messages_end_at_a_whole_character),
	TEST(test_codes_have_names_and_back), TEST(test_copy_and_clear))
