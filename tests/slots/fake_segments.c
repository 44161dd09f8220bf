/* What lease_stream.c needs of a node's data side: here it is the one loop of the test, and the
 * stream is given by hand. */
#include "tests/slots/fake_segments.h"

#include <string.h>

struct loop *segments_loop(const struct segments *segments)
{
	return segments->loop;
}

int segments_stream_token(struct segments *segments,
	void (*on_stream)(void *user, int fd, const char *peer), void *user,
	uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err)
{
	(void)err;
	segments->on_stream = on_stream;
	segments->user = user;
	memset(ret_token, 0, SEGMENTS_TOKEN_BYTES);
	return 0;
}

int segments_pipe_token(struct segments *segments, const char *provider,
	int (*on_pipe)(void *user, struct transport *transport, struct transport_accept *ret),
	void *user, uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err)
{
	(void)provider;
	(void)err;
	segments->on_pipe = on_pipe;
	segments->user = user;
	memset(ret_token, 0, SEGMENTS_TOKEN_BYTES);
	return 0;
}

void segments_drop_stream(struct segments *segments, const void *user)
{
	if (segments->user != user)
		return;
	segments->on_stream = NULL;
	segments->on_pipe = NULL;
}

struct transport *segments_transport(const struct segments *segments, const char *provider)
{
	(void)provider;
	return segments->transport;
}
