/* Manifests from peers: what is accepted must be walked without harm. */
#include "tests/fuzz/fuzz.h"

#include "runtime/files/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char path[MANIFEST_MAX_PATH];
	struct manifest m;
	auto_free void *copy = malloc(len ? len : 1); /* aligned */
	if (!copy)
		return 0;
	memcpy(copy, data, len);
	if (manifest_open(copy, len, &m, NULL) < 0)
		return 0;
	if (manifest_len(&m) != len)
		abort();
	for (uint32_t i = 0; i < m.header->nentries; i++) {
		const struct manifest_entry *e = &m.entries[i];
		if (i && manifest_child(&m, e->parent, manifest_name(&m, e)) != i)
			abort();
		if (manifest_path(&m, i, path, sizeof(path)) == 0 && manifest_find(&m, path) != i)
			abort();
	}
	return 0;
}
