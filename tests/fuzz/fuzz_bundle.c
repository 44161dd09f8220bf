/* Archives of deployed files, from a client or a peer: nothing may be written outside the version's own
 * directory, whatever names they hold. */
#include "tests/fuzz/fuzz.h"

#include "base/hash.h"
#include "cluster/bundle_archive.h"

#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/ramet-fuzz-XXXXXX";

static void clean(void)
{
	(void)rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static bool made;
	struct sha256 sha;
	char version[SHA256_HEX_LEN + 1];
	if (!made) {
		if (!mkdtemp(dir))
			abort();
		atexit(clean);
		made = true;
	}
	if (sha256_bytes(data, len, &sha, NULL) < 0)
		return 0;
	hex_encode(sha.bytes, SHA256_LEN, version);
	(void)bundle_install(dir, version, data, len, NULL);
	(void)bundle_delete(dir, version, NULL);
	return 0;
}
