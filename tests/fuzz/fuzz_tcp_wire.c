/* What a stranger or a peer sends over TCP: greetings and frame headers. */
#include "tests/fuzz/fuzz.h"

#include "transport/greeting.h"
#include "transport/tcp_wire.h"

#include <stdlib.h>
#include <string.h>

static void frame(const uint8_t *data)
{
	unsigned char again[TCP_HEADER_SIZE];
	struct tcp_frame parsed, second;
	if (tcp_frame_parse(data, &parsed) < 0)
		return;
	tcp_frame_encode(&parsed, again); /* what was accepted can be said again */
	if (tcp_frame_parse(again, &second) < 0 || second.payload != parsed.payload ||
		second.op != parsed.op)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct greeting_hello hello;
	struct greeting_welcome welcome;
	if (len <= GREETING_HELLO_SIZE)
		(void)greeting_hello_glance(data, len);
	if (len >= GREETING_HELLO_SIZE && greeting_hello_parse(data, &hello) == 0 &&
		hello.token_len > TRANSPORT_TOKEN_MAX)
		abort();
	if (len >= GREETING_WELCOME_SIZE)
		(void)greeting_welcome_parse(data, &welcome);
	if (len >= TCP_HEADER_SIZE)
		frame(data);
	return 0;
}
