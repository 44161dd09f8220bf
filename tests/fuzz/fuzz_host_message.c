/* What a host reads from its control socket. */
#include "tests/fuzz/fuzz.h"

#include "runtime/host/host_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct host_message message;
	struct message_span span;
	char text[64];
	uint32_t pairs;
	if (host_message_parse(data, len, &message) < 0)
		return 0;
	(void)message_copy(message.type, text, sizeof(text));
	struct message_reader r = message.context;
	if (r.at && message_read_map(&r, &pairs) == 0)
		while (message_read_str(&r, &span) == 0 && message_skip(&r) == 0)
			;
	return 0;
}
