/* Modules of tenants, as ramet-wasm reads and renames them; what it writes it reads again. */
#include "tests/fuzz/fuzz.h"

#include "base/cleanup.h"
#include "cmd/ramet-wasm/binary.h"

#include <stdlib.h>

DEFINE_CLEANUP(struct binary, binary_destroy)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO(binary_destroy) struct binary *binary = NULL;
	AUTO(binary_destroy) struct binary *again = NULL;
	CLEANUP(buf_fini) struct buf renamed = {0};
	struct ramet_err err = {0};
	if (binary_read(data, len, &binary, &err) < 0)
		return 0;
	if (binary_rename(binary, data, len, &renamed, &err) < 0)
		abort();
	if (renamed.len > BINARY_MAX)
		return 0;
	if (binary_read(renamed.data, renamed.len, &again, &err) < 0 ||
		again->nexports != binary->nexports || again->has_memory != binary->has_memory)
		abort();
	return 0;
}
