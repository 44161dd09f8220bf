/* The node's side of a lease that a client on another node has: on the data thread, its calls come
 * from a stream (a socket's, or a pipe's over RDMA) into the lease's slots, and answers go back.
 * What is watched and how it ends is the lease's affair (leases.h), on the control loop, from where
 * everything here is called and where the callbacks come. */
#ifndef CLUSTER_LEASE_STREAM_H
#define CLUSTER_LEASE_STREAM_H

#include "base/err.h"
#include "base/loop.h"
#include "cluster/segments.h"

#include <stdbool.h>
#include <stdint.h>

struct lease_stream;

struct lease_stream_handler {
	/* the client has gone, or is none of ours; nothing follows but lease_stream_end() */
	void (*on_gone)(void *user);
	/* the same, and the instance wrote what cannot be */
	void (*on_broken)(void *user);
	/* the client wants a call to end */
	void (*on_cancel)(void *user, unsigned slot, uint32_t generation);
};

/* lease_stream_create - slots_fd, wake_fd (wakes the instance), event_fd (which the instance
 * writes): duplicated. verbs: it comes as a pipe over RDMA, else as a bare TCP stream. token: opens
 * it, within SEGMENTS_TOKEN_MS. Callbacks come until lease_stream_end(). RAMET_ENOTSUP: this node
 * has no such transport. */
int lease_stream_create(struct segments *segments, struct loop *control, const int fds[3],
	bool verbs, const struct lease_stream_handler *handler, void *user,
	uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct lease_stream **ret_stream,
	struct ramet_err *err);
/* lease_stream_look - there may be answers of which the instance told nobody */
void lease_stream_look(struct lease_stream *stream);
/* lease_stream_heard - whether anything has come or gone since it was last asked, or is to go */
bool lease_stream_heard(struct lease_stream *stream);
/* lease_stream_end - answers that are there are sent, then the client is told; linger: that may
 * take minutes, since clients read when they come to it, else it is tried once. The handle ends
 * now; NULL is fine. */
void lease_stream_end(struct lease_stream *stream, bool linger);

#endif
