/* A node's data side, as far as cluster/lease_stream.c and cluster/lease_relay.c use it. */
#ifndef TESTS_SLOTS_FAKE_SEGMENTS_H
#define TESTS_SLOTS_FAKE_SEGMENTS_H

#include "cluster/segments.h"

struct segments {
	struct loop *loop; /* set by the test */
	void (*on_stream)(void *user, int fd, const char *peer); /* for a token that is out */
	int (*on_pipe)(void *user, struct transport *transport, struct transport_accept *ret);
	void *user;
	struct transport *transport; /* set by the test: for pipes */
};

#endif
