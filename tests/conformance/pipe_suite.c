/* The pipe suite: one set of cases, one binary for each provider. */
#include "tests/conformance/pipe_cases.h"
#include "tests/conformance/transport_pair.h"

#define SKIPPED 77

#define PIPE_CASE_ENTRY(fn) TEST(fn),
static const struct suite_test cases[] = {PIPE_CASES(PIPE_CASE_ENTRY)};

int main(int argc, char **argv)
{
	if (!provider_find(&PROVIDER))
		return SKIPPED;
	return suite_run("pipe", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
