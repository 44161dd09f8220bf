/* base/parse: whole texts, ranges, units. */
#include "base/cleanup.h"
#include "base/parse.h"
#include "ramet/error.h"
#include "tests/lib/suite.h"

struct parse_case {
	const char *text;
	uint64_t value; /* BAD: refused */
};
#define BAD UINT64_MAX
#define UNTOUCHED 77

static void check_cases(
	int (*parse)(const char *, uint64_t *), const struct parse_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = UNTOUCHED;
		int rc = parse(cases[i].text, &value);
		CHECK_INT(rc, cases[i].value == BAD ? RAMET_EINVAL : 0);
		if (value != (cases[i].value == BAD ? UNTOUCHED : cases[i].value)) {
			printf("  \"%s\" came out as %llu\n", cases[i].text,
				(unsigned long long)value);
			CHECK(!"a wrong value");
		}
	}
}

static void test_u64(void)
{
	uint64_t value = UNTOUCHED;
	CHECK_INT(parse_u64("18446744073709551615", UINT64_MAX, &value), 0);
	CHECK(value == UINT64_MAX);
	CHECK_INT(parse_u64("0", 0, &value), 0);
	CHECK_INT(value, 0);
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1e3", "101"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(parse_u64(bad[i], 100, &value), RAMET_EINVAL);
	CHECK_INT(value, 0);
}

static void test_hex(void)
{
	static const struct parse_case cases[] = {{"0", 0}, {"fF", 255},
		{"7fffffffffffffff", INT64_MAX}, {"", BAD}, {"0x1", BAD},
		{"10000000000000000", BAD}, {"g", BAD}, {"-1", BAD}};
	check_cases(parse_hex64, cases, ARRAY_LEN(cases));
}

static void test_bytes(void)
{
	static const struct parse_case cases[] = {{"0", 0}, {"4096", 4096}, {"4096B", 4096},
		{"1K", 1024}, {"1k", 1024}, {"2KiB", 2048}, {"3MB", 3ull << 20}, {"4G", 4ull << 30},
		{"5TiB", 5ull << 40}, {"16777215T", 16777215ull << 40}, {"16777216T", BAD},
		{"", BAD}, {"K", BAD}, {"1X", BAD}, {"1Kx", BAD}, {"1 K", BAD}, {"-1K", BAD},
		{"1.5G", BAD}};
	check_cases(parse_bytes, cases, ARRAY_LEN(cases));
}

static void test_durations(void)
{
	static const struct parse_case cases[] = {{"0", 0}, {"0s", 0}, {"250us", 250000},
		{"30ms", 30000000}, {"1.5s", 1500000000}, {"0.000001s", 1000},
		{"2m", 120000000000ull}, {"1h", 3600000000000ull}, {"7ns", 7}, {"", BAD},
		{"5", BAD}, {"s", BAD}, {"1.s", BAD}, {".5s", BAD}, {"1.1234567s", BAD},
		{"-1s", BAD}, {"1 s", BAD}, {"1S", BAD}, {"99999999999h", BAD}};
	check_cases(parse_duration, cases, ARRAY_LEN(cases));
}

SUITE_MAIN("parse", TEST(test_u64), TEST(test_hex), TEST(test_bytes), TEST(test_durations))
