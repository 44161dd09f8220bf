/* The transport suite: one set of cases, one binary for each provider. */
#include "tests/conformance/transport_apart.h"
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include <string.h>

#define SKIPPED 77

#define TRANSPORT_CASE_ENTRY(fn) TEST(fn),
static const struct suite_test cases[] = {TRANSPORT_CASES(TRANSPORT_CASE_ENTRY)};

int main(int argc, char **argv)
{
	if (!provider_find(&PROVIDER))
		return SKIPPED;
	if (argc == 3 && strcmp(argv[1], MORTAL) == 0)
		return mortal_main(argv[2]);
	return apart_suite_run("transport", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
