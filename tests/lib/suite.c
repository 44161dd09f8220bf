/* Running a suite: CUnit's automated registry, printed one line a test, so that a log says what ran
 * and what was skipped. */
#include "tests/lib/suite.h"

#include "ramet/error.h"

#include <CUnit/Basic.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned skipped;
static atomic_uint failed_checks;

void suite_skip(const char *fmt, ...)
{
	const CU_Test *test = CU_get_current_test();
	char reason[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	printf("SKIP %s: %s\n", test ? test->pName : "suite", reason);
	skipped++;
}

void suite_record(int cond, const char *text, const char *file, int line)
{
	if (!cond) {
		atomic_fetch_add(&failed_checks, 1);
		printf("  %s:%d: %s\n", file, line, text);
	}
	if (CU_get_current_test()) /* else we are a process that a test started */
		CU_assertImplementation(
			cond ? CU_TRUE : CU_FALSE, (unsigned)line, text, file, "", CU_FALSE);
}

int suite_check_int(
	long long actual, long long expected, const char *text, const char *file, int line)
{
	if (actual != expected)
		printf("  %s:%d: %s is %lld, expected %lld\n", file, line, text, actual, expected);
	return suite_check(actual == expected, text, file, line);
}

int suite_check_str(
	const char *actual, const char *expected, const char *text, const char *file, int line)
{
	int same = actual && expected && strcmp(actual, expected) == 0;
	if (!same)
		printf("  %s:%d: %s is \"%s\", expected \"%s\"\n", file, line, text,
			actual ? actual : "(null)", expected ? expected : "(null)");
	return suite_check(same, text, file, line);
}

void suite_record_ok(
	int rc, const struct ramet_err *err, const char *text, const char *file, int line)
{
	if (rc < 0)
		printf("  %s:%d: %s failed: %d %s\n", file, line, text, rc, err ? err->msg : "");
	suite_record(rc >= 0, text, file, line);
}

unsigned suite_failed_checks(void)
{
	return atomic_load(&failed_checks);
}

unsigned suite_count_fds(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 3; /* ".", ".." and the directory itself */
}

uint64_t suite_patience(uint64_t bound)
{
	const char *factor = getenv("RAMET_TEST_PATIENCE");
	return factor ? bound * strtoul(factor, NULL, 10) : bound;
}

int suite_run(
	const char *name, const struct suite_test *tests, unsigned count, int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	CU_pSuite suite = CU_add_suite(name, NULL, NULL);
	unsigned added = 0;
	for (unsigned i = 0; suite && i < count; i++) {
		if (argc > 1 && !strstr(tests[i].name, argv[1]))
			continue;
		CU_add_test(suite, tests[i].name, tests[i].fn);
		added++;
	}
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_tests_failed();
	unsigned asserts_failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	printf("%s: %u tests, %u failed, %u skipped\n", name, added, failed, skipped);
	if (failed || asserts_failed || added == 0)
		return 1;
	return skipped == added ? 77 : 0;
}

uint64_t suite_random(void)
{
	static uint64_t state = 88172645463325252u;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}
