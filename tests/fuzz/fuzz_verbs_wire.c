/* What a peer sends on the control queue pair of `verbs`, and the keys of segments that it names.
 */
#include "tests/fuzz/fuzz.h"

#include "transport/verbs_wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	unsigned char again[VERBS_MESSAGE_SIZE];
	struct verbs_message parsed;
	struct segment_ref ref;
	uint32_t rkey;
	uint64_t start;
	if (verbs_message_parse(data, len, &parsed) == 0) {
		if (parsed.count > VERBS_REVOKE_MAX)
			abort();
		verbs_message_encode(&parsed, again); /* what was accepted has one spelling */
		if (memcmp(again, data, sizeof(again)) != 0)
			abort();
	}
	if (len >= sizeof(ref)) {
		memcpy(&ref, data, sizeof(ref));
		if (verbs_key_split(&ref, &rkey, &start) == 0 &&
			verbs_key_make(ref.id, rkey, (uint32_t)start) != ref.key)
			abort();
	}
	return 0;
}
