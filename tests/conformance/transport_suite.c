/* The transport suite: one set of cases, one binary for each provider. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#define TRANSPORT_CASE_ENTRY(fn) TEST(fn),
SUITE_MAIN("transport", TRANSPORT_CASES(TRANSPORT_CASE_ENTRY))
