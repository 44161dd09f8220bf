/* base/log: the form of a line, levels, and that no value can forge one. */
#include "base/cleanup.h"
#include "base/log.h"
#include "tests/lib/suite.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ends[2];

static void capture_begin(enum log_level level)
{
	if (pipe(ends) < 0)
		ends[0] = ends[1] = -1;
	log_init("logtest", level, ends[1]);
}

/* what was logged since; terminated */
static void capture_end(char *text, size_t cap)
{
	log_init("logtest", LOG_ERROR, 2);
	close(ends[1]);
	size_t len = 0;
	for (ssize_t n; len < cap - 1 && (n = read(ends[0], text + len, cap - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	close(ends[0]);
}

static bool matches(const char *text, const char *pattern)
{
	regex_t re;
	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
		return false;
	bool yes = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return yes;
}

static void test_line_has_time_level_program_event_fields(void)
{
	char text[512];
	capture_begin(LOG_INFO);
	log_info("node.joined", "node=%u addr=%s", 2u, "10.0.0.2");
	capture_end(text, sizeof(text));
	CHECK(matches(text,
		"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z "
		"info logtest\\[[0-9]+\\] node\\.joined node=2 addr=10\\.0\\.0\\.2\n$"));
}

static void test_levels(void)
{
	char text[512];
	capture_begin(LOG_WARN);
	log_info("quiet", "x=1");
	log_debug("quiet", "x=1");
	log_warn("loud", "x=1");
	CHECK(log_enabled(LOG_ERROR) && !log_enabled(LOG_INFO));
	capture_end(text, sizeof(text));
	CHECK(!strstr(text, "quiet"));
	CHECK(strstr(text, " warn logtest") != NULL);

	enum log_level level = LOG_INFO;
	CHECK_INT(log_level_from_name("debug", &level), 0);
	CHECK_INT(level, LOG_DEBUG);
	CHECK_INT(log_level_from_name("loud", &level), RAMET_EINVAL);
	CHECK_INT(level, LOG_DEBUG);
}

static void test_a_value_cannot_forge_a_line(void)
{
	char text[512];
	capture_begin(LOG_INFO);
	log_info("e", "v=%s", "a\n2026-01-01T00:00:00.000Z error\x1b[2J");
	capture_end(text, sizeof(text));
	CHECK(strchr(text, '\n') == text + strlen(text) - 1);
	CHECK(strstr(text, "v=a\\x0a2026-01-01T00:00:00.000Z error\\x1b[2J\n") != NULL);
}

static void test_long_lines_are_cut_and_end(void)
{
	char value[8000], text[8192];
	memset(value, '\n', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	capture_begin(LOG_INFO);
	log_info("e", "v=%s", value);
	log_info("next", "x=%d", 1);
	capture_end(text, sizeof(text));
	char *end = strchr(text, '\n');
	REQUIRE(end != NULL);
	CHECK(end - text <= 2047 && end - text > 2000);
	CHECK(strstr(end, " next x=1\n") != NULL);
}

static void test_err_is_told_with_its_name(void)
{
	char text[512];
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECLASS, "kernel differs");
	capture_begin(LOG_INFO);
	log_err(LOG_ERROR, "fork.refused", &err);
	capture_end(text, sizeof(text));
	CHECK(strstr(text, "fork.refused err=ECLASS msg=\"kernel differs\"\n") != NULL);
}

static void test_limit(void)
{
	struct log_limit limit = {0};
	unsigned passed = 0;
	for (int i = 0; i < 100; i++)
		passed += log_limit(&limit, 3, 3600ull * 1000000000ull);
	CHECK_INT(passed, 3);
	limit.window_ns = 1; /* long ago */
	CHECK(log_limit(&limit, 3, 1000));
}

SUITE_MAIN("log", TEST(test_line_has_time_level_program_event_fields), TEST(test_levels),
	TEST(test_a_value_cannot_forge_a_line), TEST(test_long_lines_are_cut_and_end),
	TEST(test_err_is_told_with_its_name), TEST(test_limit))
