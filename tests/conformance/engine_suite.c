/* The conformance suite of engines: see engine_cases.h. */
#include "tests/conformance/engine_cases.h"

#define ENGINE_CASE_ENTRY(fn) TEST(fn),
static const struct suite_test cases[] = {ENGINE_CASES(ENGINE_CASE_ENTRY)};

int main(int argc, char **argv)
{
	return suite_run(engine_spec.name, cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
