/* One CUnit binary per file: SUITE_MAIN("name", SETUP, TEST(fn), …). Exit status 0 all passed, 1 a
 * failure, 77 nothing could run (suite_skip_all said why). Each failure names file, line and what
 * was expected. */
#ifndef TESTS_LIB_SUITE_H
#define TESTS_LIB_SUITE_H

#include <CUnit/CUnit.h>
#include <stdint.h>

struct suite_test {
	const char *name;
	void (*fn)(void);
};

#define TEST(fn) \
	{ \
#fn, fn \
	}
#define SUITE_MAIN(name, ...) \
	int main(int argc, char **argv) \
	{ \
		static const struct suite_test tests[] = {__VA_ARGS__}; \
		return suite_run(name, tests, sizeof(tests) / sizeof(tests[0]), argc, argv); \
	}

/* runs all, or those whose names contain argv[1] */
int suite_run(
	const char *name, const struct suite_test *tests, unsigned count, int argc, char **argv);

/* suite_skip - within a test: prints "SKIP name: reason", counts it, and the caller returns */
void suite_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* asserts with values in the message; a failed REQUIRE ends the test function it is in */
#define CHECK(cond) suite_check((cond), #cond, __FILE__, __LINE__)
#define CHECK_INT(actual, expected) \
	suite_check_int((long long)(actual), (long long)(expected), #actual, __FILE__, __LINE__)
#define CHECK_STR(actual, expected) \
	suite_check_str((actual), (expected), #actual, __FILE__, __LINE__)
#define REQUIRE(cond) \
	do { \
		if (!suite_check((cond), #cond, __FILE__, __LINE__)) \
			return; \
	} while (0)
/* a call that returned rc with err filled in must have succeeded */
#define REQUIRE_OK(rc, err) \
	do { \
		if (!suite_check_ok((rc), (err), #rc, __FILE__, __LINE__)) \
			return; \
	} while (0)

struct ramet_err;
void suite_record(int cond, const char *text, const char *file, int line);
void suite_record_ok(
	int rc, const struct ramet_err *err, const char *text, const char *file, int line);
int suite_check_int(
	long long actual, long long expected, const char *text, const char *file, int line);
int suite_check_str(
	const char *actual, const char *expected, const char *text, const char *file, int line);
/* inline, so that compilers and analyzers see what holds after a REQUIRE */
static inline int suite_check(int cond, const char *text, const char *file, int line)
{
	suite_record(cond, text, file, line);
	return cond;
}
static inline int suite_check_ok(
	int rc, const struct ramet_err *err, const char *text, const char *file, int line)
{
	suite_record_ok(rc, err, text, file, line);
	return rc >= 0;
}

/* how many of them failed in this process, on any thread and outside of tests too */
unsigned suite_failed_checks(void);

/* descriptors open in this process: take before and after to show that nothing leaked */
unsigned suite_count_fds(void);

/* suite_patience - a bound on a wait that is there to end a hang; more than that where all is slow:
 * in guests (tests/vm/suites), by the factor RAMET_TEST_PATIENCE */
uint64_t suite_patience(uint64_t bound);

/* numbers for made-up input, the same in every run; for one thread at a time */
uint64_t suite_random(void);

#endif
