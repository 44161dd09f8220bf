/* Output of functions that is printed as JSON only if it is JSON. */
#include "tests/fuzz/fuzz.h"

#include "base/json_check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t at = 0;
	if (!json_check((const char *)data, len, &at) && at > len)
		abort();
	return 0;
}
